{% macro freshness_sql(relation, count, period, timestamp) -%}
  {%- set nothing = dbt_triton.nothing_found(['newest', 'age_seconds', 'dbt_failures']) -%}
  {%- if not execute -%}{{- return(nothing) -}}{%- endif -%}
  {%- set seconds = {'minute': 60, 'hour': 3600, 'day': 86400}.get(period) -%}
  {%- if not seconds or count is not number or count is boolean -%}
    {%- do exceptions.raise_compiler_error(
      "prediction_freshness: write a number as count, and 'minute', 'hour' or 'day' as period, not " ~ count ~ ' and ' ~ period
    ) -%}
  {%- endif -%}
  {%- set of = namespace(newest=none, rows=none) -%}
  {%- if timestamp -%}
    {%- set of.newest = 'max(' ~ dbt_triton.quoted(timestamp) ~ ')' -%}
    {%- set of.age = dbt_triton.seconds_since(of.newest) -%}
    {%- set of.rows = relation | string -%}
  {%- elif dbt_triton.only_renders() -%}
    {{- return(nothing) -}}
  {%- else -%}
    {%- set runs = dbt_triton.runs_for_test('prediction_freshness', 'it was given no timestamp column') -%}
    {%- if not runs -%}
      {#- No run has made the table yet. -#}
      {%- set of.rows = '(select 1 as never) as no_runs where 1 = 0' -%}
      {%- set of.newest = 'max(never)' -%}
      {%- set of.age = 'max(never)' -%}
    {%- else -%}
      {%- set node = dbt_triton.sql_text(dbt_triton.tested_node().unique_id) -%}
      {%- set of.rows = runs ~ ' where node = ' ~ node ~ " and outcome = 'succeeded'" -%}
      {%- set of.newest = 'max(ended_at)' -%}
      {%- set of.age = dbt_triton.seconds_since_utc(of.newest) -%}
    {%- endif -%}
  {%- endif -%}
  {%- set sql -%}
select newest, age_seconds, case when age_seconds is null then cast(999999 as bigint)
else greatest(cast(floor(age_seconds / {{ seconds }}) as bigint), cast(1 as bigint)) end as dbt_failures
from (
select cast({{ of.newest }} as {{ dbt_triton.text_type() }}) as newest, cast({{ of.age }} as double) as age_seconds from {{ of.rows }}
) as aged
where age_seconds is null or age_seconds > {{ count * seconds }}
  {%- endset -%}
  {{- return(sql) -}}
{%- endmacro %}


{#- The seconds since a time that a column holds; one without a time zone is UTC on DuckDB, and the session's on Spark. -#}
{% macro seconds_since(time) -%}
  {{- return(adapter.dispatch('seconds_since', 'dbt_triton')(time)) -}}
{%- endmacro %}


{% macro default__seconds_since(time) -%}
  {{- dbt_triton.refuse_warehouse() -}}
{%- endmacro %}


{#- Without DuckDB's extension for time zones. -#}
{% macro duckdb__seconds_since(time) -%}
  {{- return('epoch(now()) - epoch(' ~ time ~ ')') -}}
{%- endmacro %}


{% macro spark__seconds_since(time) -%}
  {{- return('unix_timestamp(current_timestamp()) - unix_timestamp(cast(' ~ time ~ ' as timestamp))') -}}
{%- endmacro %}


{#- The seconds since a time of ml_predict_runs, which are UTC and have no time zone. -#}
{% macro seconds_since_utc(time) -%}
  {{- return(adapter.dispatch('seconds_since_utc', 'dbt_triton')(time)) -}}
{%- endmacro %}


{% macro default__seconds_since_utc(time) -%}
  {{- dbt_triton.refuse_warehouse() -}}
{%- endmacro %}


{% macro duckdb__seconds_since_utc(time) -%}
  {{- return('epoch(now()) - epoch(' ~ time ~ ')') -}}
{%- endmacro %}


{% macro spark__seconds_since_utc(time) -%}
  {{- return('unix_timestamp(current_timestamp()) - unix_timestamp(from_utc_timestamp(cast(' ~ time ~ ' as timestamp), current_timezone()))') -}}
{%- endmacro %}
