{{ config(materialized='inference_model') }}

-- A BLOB is the bytes of a file as STRING, or the pixels themselves as UINT8.
CREATE MODEL digit_reader
INPUT (image BLOB)
OUTPUT (digit UTINYINT, pixels BLOB)
WITH (
    'provider' = 'triton',
    'endpoint' = '{{ env_var("TRITON_URL", "http://localhost:8000") }}/v2/models',
    'model-name' = 'digit-image'
)
