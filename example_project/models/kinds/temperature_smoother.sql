{{ config(materialized='inference_model') }}

-- One sequence for each sensor, its readings in the order of time.
CREATE MODEL temperature_smoother
INPUT (value DOUBLE)
OUTPUT (mean DOUBLE, "count" BIGINT)
WITH (
    'provider' = 'triton',
    'endpoint' = '{{ env_var("TRITON_URL", "http://localhost:8000") }}/v2/models',
    'model-name' = 'running-mean',
    'sequence-by' = 'sensor',
    'order-by' = 'read_at'
)
