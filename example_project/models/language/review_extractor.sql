{{ config(materialized='inference_model') }}

-- The answer is read as a JSON object. Its keys are the columns, by their types.
CREATE MODEL review_extractor
INPUT (prompt STRING)
OUTPUT (sentiment STRING, score DOUBLE, topics ARRAY<STRING>)
WITH (
    'provider' = 'triton',
    'endpoint' = '{{ env_var("TRITON_URL", "http://localhost:8000") }}',
    'model-name' = 'review-writer',
    'response-format' = 'json',
    'temperature' = '0',
    'max-tokens' = '64'
)
