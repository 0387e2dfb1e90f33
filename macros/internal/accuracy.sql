{% macro accuracy_sql(relation, predicted, actual, at_least, at_least_rows, error) -%}
  {%- set failed = 'false' -%}
  {%- if not dbt_triton.only_renders() and dbt_triton.has_column(relation, error) -%}
    {%- set failed = dbt_triton.quoted(error) ~ ' is not null' -%}
  {%- endif -%}
  {%- set sql -%}
select labelled_rows, right_rows, right_rows / cast(nullif(labelled_rows, 0) as double) as accuracy,
cast({{ at_least }} as double) as at_least, cast({{ at_least_rows }} as bigint) as at_least_rows,
greatest(cast(labelled_rows - right_rows as bigint), cast(1 as bigint)) as dbt_failures
from (
select count({{ dbt_triton.quoted(actual) }}) as labelled_rows,
count(case when not ({{ failed }}) and {{ dbt_triton.quoted(predicted) }} = {{ dbt_triton.quoted(actual) }} then 1 end) as right_rows
from {{ relation }}
) as counted
where right_rows / cast(nullif(labelled_rows, 0) as double) < cast({{ at_least }} as double)
or labelled_rows < cast({{ at_least_rows }} as bigint)
  {%- endset -%}
  {{- return(sql) -}}
{%- endmacro %}
