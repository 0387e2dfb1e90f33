-- The rows that the inference model of SQL and the one of YAML do not answer alike.
select
    id,
    sql_door.predicted_sentiment as sql_prediction,
    yaml_door.predicted_sentiment as yaml_prediction
from {{ ref('classified_snippets') }} as sql_door
full join {{ ref('classified_snippets_yaml') }} as yaml_door using (id)
where sql_door.predicted_sentiment is distinct from yaml_door.predicted_sentiment
