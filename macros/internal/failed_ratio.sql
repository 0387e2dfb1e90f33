{% macro failed_ratio_sql(relation, at_most, column, error) -%}
  {%- set named = column if column and column | lower != error | lower else none -%}
  {%- set counted = namespace(sql=none) -%}
  {%- if dbt_triton.only_renders() or dbt_triton.has_column(relation, error) -%}
    {%- set failed = dbt_triton.quoted(error) ~ ' is not null' -%}
    {%- set sent = 'true' if named is none else failed ~ ' or ' ~ dbt_triton.quoted(named) ~ ' is not null' -%}
    {%- set counted.sql -%}
select count(case when {{ failed }} then 1 end) as failed_rows, count(case when {{ sent }} then 1 end) as sent_rows
from {{ relation }}
    {%- endset -%}
  {%- else -%}
    {%- set runs = dbt_triton.runs_for_test('max_failed_ratio', 'the table has no column ' ~ error) -%}
    {%- set run = dbt_triton.last_runs(runs, 1) if runs else [] -%}
    {%- if not run -%}
      {%- do exceptions.raise_compiler_error(
        'max_failed_ratio: the table has no column ' ~ error ~ ", and ml_predict_runs has no run of it that succeeded; set 'on-error' = 'null', "
        ~ 'which adds ml_error, or test the model that makes the predictions'
      ) -%}
    {%- endif -%}
    {%- set counted.sql -%}
select coalesce(sum(failed_rows), 0) as failed_rows, coalesce(sum({{ dbt_triton.quoted('rows') }}), 0) as sent_rows
from {{ runs }} where {{ dbt_triton.of_runs(run) }}
    {%- endset -%}
  {%- endif -%}
  {%- set sql -%}
select failed_rows, sent_rows, failed_rows / cast(sent_rows as double) as failed_ratio, cast({{ at_most }} as double) as at_most,
cast(failed_rows as bigint) as dbt_failures
from ({{ counted.sql }}) as counted
where sent_rows > 0 and failed_rows / cast(sent_rows as double) > cast({{ at_most }} as double)
  {%- endset -%}
  {{- return(sql) -}}
{%- endmacro %}
