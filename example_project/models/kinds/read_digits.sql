{{ config(materialized='ml_predict') }}

select file_name, actual_digit, digit as predicted_digit, pixels
from ML_PREDICT(TABLE {{ ref('digit_images') }}, MODEL {{ ref('digit_reader') }}, DESCRIPTOR(image))
