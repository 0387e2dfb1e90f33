-- A kind of model that is right less often than it should be on what it has not seen.
select 'wine' as kind, avg(cast(predicted_cultivar = cultivar as integer)) as accuracy
from {{ ref('classified_wines') }}
where id % 5 = 0
having accuracy < 0.9
union all
select 'digit' as kind, avg(cast(predicted_digit = actual_digit as integer)) as accuracy
from {{ ref('read_digits') }}
having accuracy < 0.9
union all
select 'digit by ensemble' as kind, avg(cast(predicted_digit = actual_digit as integer)) as accuracy
from {{ ref('digits_by_ensemble') }}
having accuracy < 0.9
union all
select 'dial tone' as kind, avg(cast(predicted_key = actual_key as integer)) as accuracy
from {{ ref('read_dial_tones') }}
having accuracy < 0.9
