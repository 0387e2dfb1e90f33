{#-
  At least so many of the predictions are right, as a ratio from 0 to 1.

  A row whose label is NULL does not count. A prediction that is NULL, or of a row that failed, is wrong. A table without
  labels passes, unless `at_least_rows` says how many there must be.
-#}
{% test min_accuracy(model, actual, at_least, predicted=none, column_name=none, at_least_rows=0, error='ml_error') %}
  {{ config(fail_calc='coalesce(max(dbt_failures), 0)') }}
  {%- do dbt_triton.check_test_ratio('min_accuracy', 'at_least', at_least) -%}
  {{- dbt_triton.accuracy_sql(model, dbt_triton.tested_column('min_accuracy', predicted, column_name), actual, at_least, at_least_rows, error) -}}
{% endtest %}


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
