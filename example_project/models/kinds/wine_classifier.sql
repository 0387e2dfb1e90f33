{{ config(materialized='inference_model') }}

-- With 'classification' the columns are the best class: STRING its label, FLOAT its score.
CREATE MODEL wine_classifier
INPUT (alcohol FLOAT, malic_acid FLOAT, flavanoids FLOAT, color_intensity FLOAT, proline INT)
OUTPUT (predicted_cultivar STRING, probability FLOAT)
WITH (
    'provider' = 'triton',
    'endpoint' = '{{ env_var("TRITON_URL", "http://localhost:8000") }}/v2/models',
    'model-name' = 'wine-cultivar',
    'classification' = '1'
)
