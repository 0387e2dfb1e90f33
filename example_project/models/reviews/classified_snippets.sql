{{ config(materialized='ml_predict') }}

with reviews as (

    select * from {{ ref('movie_review_snippets') }}

)

select
    id,
    user_review,
    rating,
    actual_sentiment,
    output as predicted_sentiment,
    id % 5 = 0 as held_out
from ML_PREDICT(TABLE reviews, MODEL {{ ref('review_classifier') }}, DESCRIPTOR(user_review))
