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
    {%- set of.newest = 'max(' ~ dbt_triton.time_of(dbt_triton.quoted(timestamp), dbt_triton.kind_of_time(relation, timestamp)) ~ ')' -%}
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


{#-
  What a column of times holds: 'time', 'date' or 'text'. Anything else is an error, and so is a text that is no time, or a
  newest time that is still to come: either would make the test pass for ever, or fail for a reason that nobody can see.
-#}
{% macro kind_of_time(relation, timestamp) -%}
  {%- if dbt_triton.only_renders() -%}{{- return('time') -}}{%- endif -%}
  {%- set column = dbt_triton.quoted(timestamp) -%}
  {%- set where = 'prediction_freshness: the column ' ~ timestamp -%}
  {%- set type = run_query('select typeof(max(' ~ column ~ ')) as type from ' ~ relation).rows[0][0] | string | lower -%}
  {%- set kind = 'time' if type.startswith('timestamp') else 'date' if type == 'date' else 'text' if type in ['varchar', 'string'] else none -%}
  {%- if kind is none -%}
    {%- do exceptions.raise_compiler_error(where ~ ' is ' ~ type | upper ~ ', which is no time; name one that is a timestamp, a date, or a text of one') -%}
  {%- endif -%}
  {%- set time = dbt_triton.time_of(column, kind) -%}
  {%- if kind == 'text' -%}
    {%- set wrong = run_query('select count(*) as wrong from ' ~ relation ~ ' where ' ~ column ~ ' is not null and ' ~ time ~ ' is null').rows[0][0] -%}
    {%- if wrong -%}
      {%- do exceptions.raise_compiler_error(where ~ ' is a text, and no time in ' ~ wrong ~ ' row(s); write it as 2026-11-01 06:30:00, or 2026-11-01T06:30:00Z') -%}
    {%- endif -%}
  {%- endif -%}
  {#- Clocks differ a little; and a date may be that of a place where it is tomorrow already. -#}
  {%- set ahead = 86400 if kind == 'date' else 600 -%}
  {%- set age = run_query('select cast(' ~ dbt_triton.seconds_since('max(' ~ time ~ ')') ~ ' as double) as age from ' ~ relation).rows[0][0] -%}
  {%- if age is not none and age < -ahead -%}
    {%- do exceptions.raise_compiler_error(
      where ~ ' has its newest time ' ~ (-age / 60) | round | int ~ ' minutes in the future, so its age says nothing; '
      ~ 'is it the time of a place? Without a time zone it is taken for UTC on DuckDB, and for that of the session on Spark'
    ) -%}
  {%- endif -%}
  {{- return(kind) -}}
{%- endmacro %}


{#- A column of times as a time. -#}
{% macro time_of(column, kind) -%}
  {{- return(dbt_triton.time_of_text(column) if kind == 'text' else column) -}}
{%- endmacro %}


{#- A time that a text says; NULL where it says none. -#}
{% macro time_of_text(text) -%}
  {{- return(adapter.dispatch('time_of_text', 'dbt_triton')(text)) -}}
{%- endmacro %}


{% macro default__time_of_text(text) -%}
  {{- dbt_triton.refuse_warehouse() -}}
{%- endmacro %}


{#- A text without a time zone is UTC, whatever zone the session has. DuckDB would take it for the session's. -#}
{% macro duckdb__time_of_text(text) -%}
  {{- return(
    'case when regexp_matches(trim(' ~ text ~ "), ':.*([+-]|[a-zA-Z])') then try_cast(" ~ text ~ ' as timestamptz) '
    ~ 'else to_timestamp(epoch_us(try_cast(' ~ text ~ ' as timestamp)) / 1e6) end'
  ) -}}
{%- endmacro %}


{% macro spark__time_of_text(text) -%}
  {{- return('try_cast(' ~ text ~ ' as timestamp)') -}}
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
