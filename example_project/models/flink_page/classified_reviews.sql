{{ config(materialized='ml_predict') }}

SELECT id, movie_name, output as predicted_sentiment, actual_sentiment
FROM ML_PREDICT(
  TABLE {{ ref('movie_reviews') }},
  MODEL {{ ref('triton_sentiment_classifier') }},
  DESCRIPTOR(user_review)
);
