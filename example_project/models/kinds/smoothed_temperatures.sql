{{ config(materialized='ml_predict') }}

select sensor, read_at, temperature, mean as mean_so_far, count as readings_so_far
from ML_PREDICT(
    TABLE {{ ref('sensor_readings') }}, MODEL {{ ref('temperature_smoother') }}, DESCRIPTOR(temperature)
)
