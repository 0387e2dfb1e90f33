{{ config(materialized='inference_model') }}

CREATE MODEL dial_tone_reader
INPUT (audio BLOB)
OUTPUT ("key" STRING, share FLOAT)
WITH (
    'provider' = 'triton',
    'endpoint' = '{{ env_var("TRITON_URL", "http://localhost:8000") }}/v2/models',
    'model-name' = 'dial-tone-ensemble'
)
