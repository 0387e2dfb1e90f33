{{ config(materialized='ml_predict') }}

with prompts as (

    select
        id,
        user_review,
        'Summarise this movie review in a few words.' || chr(10) || user_review as prompt
    from {{ ref('movie_review_snippets') }}
    where id % 50 = 0

)

select id, user_review, answer as summary, finish_reason, num_output_tokens
from ML_PREDICT(TABLE prompts, MODEL {{ ref('review_writer') }}, DESCRIPTOR(prompt))
