{{ config(materialized='ml_predict') }}

with reviews as (

    -- The embedding was learned from the others.
    select id, user_review from {{ ref('movie_review_snippets') }} where id % 5 = 0

)

select *
from ML_PREDICT(TABLE reviews, MODEL {{ ref('review_embedder') }}, DESCRIPTOR(user_review))
