{{ config(materialized='ml_predict') }}

-- The output of one call is the input of the next.
with decoded as (

    select file_name, actual_digit, pixels
    from ML_PREDICT(TABLE {{ ref('digit_images') }}, MODEL {{ ref('image_preprocessor') }}, DESCRIPTOR(image))

)

select file_name, actual_digit, digit as predicted_digit, score
from ML_PREDICT(TABLE decoded, MODEL {{ ref('digit_classifier') }}, DESCRIPTOR(pixels))
