{{ config(materialized='inference_model') }}

-- A file in, channels by rows by columns out; config.pbtxt says which size.
CREATE MODEL image_preprocessor
INPUT (image BLOB)
OUTPUT (pixels FLOAT[][][])
WITH (
    'provider' = 'triton',
    'endpoint' = '{{ env_var("TRITON_URL", "http://localhost:8000") }}/v2/models',
    'model-name' = 'image-preprocessing'
)
