{{ config(materialized='inference_model') }}

-- Three outputs of one model: an array of fixed length, a number, and an array of texts.
CREATE MODEL review_embedder
INPUT (input_text STRING)
OUTPUT (embedding FLOAT[128], known_terms INT, top_terms ARRAY<STRING>)
WITH (
    'provider' = 'triton',
    'endpoint' = '{{ env_var("TRITON_URL", "http://localhost:8000") }}/v2/models',
    'model-name' = 'review-embedding'
)
