{{ config(materialized='inference_model') }}

-- The two above, put together on the server.
CREATE MODEL digit_ensemble
INPUT (image BLOB)
OUTPUT (digit INT, score FLOAT, label STRING)
WITH (
    'provider' = 'triton',
    'endpoint' = '{{ env_var("TRITON_URL", "http://localhost:8000") }}/v2/models',
    'model-name' = 'digit-ensemble',
    'classification' = '1'
)
