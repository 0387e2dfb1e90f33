with polar_snippets as (

    select * from {{ ref('classified_snippets') }}
    where actual_sentiment <> 'neutral'

)

select
    held_out,
    count(*) as row_count,
    avg(case when predicted_sentiment = actual_sentiment then 1 else 0 end) as accuracy
from polar_snippets
group by held_out
