{{ config(materialized='inference_model') }}

CREATE MODEL review_classifier
INPUT (`input` STRING)
OUTPUT (`output` STRING)
WITH (
    'provider' = 'triton',
    'endpoint' = '{{ env_var("TRITON_URL", "http://localhost:8000") }}/v2/models',
    'model-name' = 'movie-review-sentiment',
    'batch-size' = '64'
)
