{{ config(materialized='ml_predict') }}

select file_name, replace(replace(actual_key, 'star', '*'), 'hash', '#') as actual_key, key as predicted_key, share
from ML_PREDICT(TABLE {{ ref('dial_tones') }}, MODEL {{ ref('dial_tone_reader') }}, DESCRIPTOR(sound))
