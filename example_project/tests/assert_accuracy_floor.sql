-- One row when the model is right less than three times in four on reviews that it has not seen.
select coalesce(max(accuracy), 0) as held_out_accuracy
from {{ ref('review_accuracy') }}
where held_out
having coalesce(max(accuracy), 0) < 0.75
