{{ config(materialized='ml_predict') }}

select
    id,
    user_review,
    rating,
    actual_sentiment,
    output as predicted_sentiment,
    id % 5 = 0 as held_out
from {{ dbt_triton.ml_predict(ref('movie_review_snippets'), ref('review_classifier_yaml'), 'user_review') }}
