{{ config(materialized='inference_model') }}

CREATE MODEL sentence_embedder
INPUT (text STRING)
OUTPUT (embedding FLOAT[384])
WITH (
    'provider' = 'triton',
    'endpoint' = '{{ env_var("TRITON_URL", "http://localhost:8000") }}/v2/models',
    'model-name' = 'sentence-embedding'
)
