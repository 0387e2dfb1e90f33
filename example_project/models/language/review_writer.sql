{{ config(materialized='inference_model') }}

-- review-writer has the interface of Triton's vLLM backend, and is no language model. With one of yours, only these
-- names change: the prompts are written for a real one.
CREATE MODEL review_writer
INPUT (prompt STRING)
OUTPUT (answer STRING, finish_reason STRING, num_output_tokens BIGINT)
WITH (
    'provider' = 'triton',
    'endpoint' = '{{ env_var("TRITON_URL", "http://localhost:8000") }}',
    'model-name' = 'review-writer',
    'parameters' = '{"temperature": 0, "max_tokens": 32}'
)
