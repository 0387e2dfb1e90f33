-- The images that an ensemble on the server and two calls of ML_PREDICT read differently.
select
    file_name,
    by_ensemble.predicted_digit as ensemble_digit,
    in_two_steps.predicted_digit as two_steps_digit
from {{ ref('digits_by_ensemble') }} as by_ensemble
full join {{ ref('digits_in_two_steps') }} as in_two_steps using (file_name)
where
    by_ensemble.predicted_digit is distinct from in_two_steps.predicted_digit
    or abs(by_ensemble.score - in_two_steps.score) > 0.00001
