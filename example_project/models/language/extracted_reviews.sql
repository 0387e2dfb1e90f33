{{ config(materialized='ml_predict') }}

with prompts as (

    select
        id,
        user_review,
        'Return a JSON object with the keys sentiment (positive, negative or neutral), score (-1 to 1) and topics '
        || '(a list of at most three words) for this movie review.' || chr(10) || user_review as prompt
    from {{ ref('movie_review_snippets') }}
    where id % 50 = 0

)

select id, user_review, sentiment, score, topics
from ML_PREDICT(TABLE prompts, MODEL {{ ref('review_extractor') }}, DESCRIPTOR(prompt))
