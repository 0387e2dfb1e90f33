{{ config(materialized='ml_predict') }}

with reviews as (

    -- Every tenth: the model computes about 100 reviews a second on two cores.
    select id, user_review from {{ ref('movie_review_snippets') }} where id % 10 = 0

)

select *
from ML_PREDICT(TABLE reviews, MODEL {{ ref('sentence_embedder') }}, DESCRIPTOR(user_review))
