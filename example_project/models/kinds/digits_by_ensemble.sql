{{ config(materialized='ml_predict') }}

select file_name, actual_digit, digit as predicted_digit, score, label
from ML_PREDICT(TABLE {{ ref('digit_images') }}, MODEL {{ ref('digit_ensemble') }}, DESCRIPTOR(image))
