{{ config(materialized='ml_predict') }}

select *
from ML_PREDICT(
    TABLE {{ ref('wines') }},
    MODEL {{ ref('wine_classifier') }},
    DESCRIPTOR(alcohol, malic_acid, flavanoids, color_intensity, proline)
)
