{{ config(materialized='inference_model') }}

CREATE MODEL digit_classifier
INPUT (pixels FLOAT[][][])
OUTPUT (digit INT, score FLOAT)
WITH (
    'provider' = 'triton',
    'endpoint' = '{{ env_var("TRITON_URL", "http://localhost:8000") }}/v2/models',
    'model-name' = 'digit-classifier',
    'classification' = '1'
)
