{#- Whether SQL is only rendered, and nothing may be asked of the warehouse, in which the tested table may not be. -#}
{% macro only_renders() -%}
  {{- return(not execute or flags.WHICH in ['compile', 'generate', 'list', 'parse', 'docs']) -}}
{%- endmacro %}


{#- The node that a generic test is of. The test's own argument is called `model`, too; here it is dbt's test. -#}
{% macro tested_node() -%}
  {%- set unique_id = model.attached_node or (model.depends_on.nodes | first) -%}
  {{- return(graph.nodes.get(unique_id) or graph.sources.get(unique_id)) -}}
{%- endmacro %}


{#- The column of predictions: the one that a test stands at, or that it names. -#}
{% macro tested_column(test, named, column_name) -%}
  {%- if execute and not (named or column_name) -%}
    {%- do exceptions.raise_compiler_error(test ~ ' needs the column of predictions: write `predicted`, or put the test at that column') -%}
  {%- endif -%}
  {{- return(named or dbt_triton.plain_name(column_name)) -}}
{%- endmacro %}


{#- The name of the column that a test stands at: with `quote: true`, dbt hands it over in quotes. -#}
{% macro plain_name(column_name) -%}
  {{- return(none if column_name is none else dbt_triton.unquoted(column_name)) -}}
{%- endmacro %}


{#- A wrong argument is an error of the test that has it. While dbt parses, it would be one of every command. -#}
{% macro check_test_ratio(test, argument, value) -%}
  {%- if not execute -%}{{- return('') -}}{%- endif -%}
  {%- if value is not number or value is boolean or not (0 <= value <= 1) -%}
    {%- do exceptions.raise_compiler_error(test ~ ': ' ~ argument ~ ' is a ratio from 0 to 1, not ' ~ value) -%}
  {%- endif -%}
{%- endmacro %}


{#- Whether a relation, or the query that `where` makes of one, has a column, whatever its case. -#}
{% macro has_column(relation, name) -%}
  {%- set names = get_columns_in_query('select * from ' ~ relation) | map('lower') | list -%}
  {{- return(name | lower in names) -}}
{%- endmacro %}


{#- The run log; none where no run has made it yet. An error, with the reason that it is asked for, where none is written. -#}
{% macro runs_for_test(test, reason) -%}
  {%- set runs = dbt_triton.runs_relation() -%}
  {%- if runs is none -%}
    {%- do exceptions.raise_compiler_error(
      test ~ ': ' ~ reason ~ ', so it reads ml_predict_runs, which the variable dbt_triton_runs says is not written'
    ) -%}
  {%- endif -%}
  {#- dbt's own list of relations was made before the run log was. -#}
  {{- return(runs if dbt_triton.is_there(dbt_triton.runs_place()) else none) -}}
{%- endmacro %}


{#- Whether a table or view is there, by the warehouse's own word: a map of `database`, `schema` and `identifier`. -#}
{% macro is_there(relation) -%}
  {{- return(run_query(dbt_triton.is_there_sql(relation)).rows | length > 0) -}}
{%- endmacro %}


{% macro is_there_sql(relation) -%}
  {{- return(adapter.dispatch('is_there_sql', 'dbt_triton')(relation)) -}}
{%- endmacro %}


{% macro default__is_there_sql(relation) -%}
  {{- dbt_triton.refuse_warehouse() -}}
{%- endmacro %}


{% macro duckdb__is_there_sql(relation) -%}
  {%- set conditions = [] -%}
  {%- for part, name in [('table_catalog', relation.database), ('table_schema', relation.schema), ('table_name', relation.identifier)] if name -%}
    {%- do conditions.append('lower(' ~ part ~ ') = ' ~ dbt_triton.sql_text(name | lower)) -%}
  {%- endfor -%}
  {{- return('select 1 as found from information_schema.tables where ' ~ conditions | join(' and ')) -}}
{%- endmacro %}


{% macro spark__is_there_sql(relation) -%}
  {{- return('show tables in ' ~ dbt_triton.full_name(relation.database, relation.schema, none) ~ ' like ' ~ dbt_triton.sql_text(relation.identifier)) -}}
{%- endmacro %}


{#- The last invocations in which the tested model succeeded, the newest first: lists of one text. -#}
{% macro last_runs(runs, limit) -%}
  {%- set node = dbt_triton.tested_node() -%}
  {%- set found = run_query(
    'select invocation_id from (select invocation_id, max(started_at) as began from ' ~ runs ~ ' where node = '
    ~ dbt_triton.sql_text(node.unique_id) ~ " and outcome = 'succeeded' group by invocation_id) as invocations order by began desc limit " ~ limit
  ) -%}
  {%- set ids = [] -%}
  {%- for row in found.rows -%}{%- do ids.append(row[0]) -%}{%- endfor -%}
  {{- return(ids) -}}
{%- endmacro %}


{#- The condition on ml_predict_runs for the calls of the tested model in some invocations. -#}
{% macro of_runs(invocation_ids) -%}
  {%- set texts = [] -%}
  {%- for id in invocation_ids -%}{%- do texts.append(dbt_triton.sql_text(id | string)) -%}{%- endfor -%}
  {{- return(
    'node = ' ~ dbt_triton.sql_text(dbt_triton.tested_node().unique_id) ~ " and outcome = 'succeeded' and invocation_id in ("
    ~ texts | join(', ') ~ ')'
  ) -}}
{%- endmacro %}


{#- A query without rows, of numbers; for a test that has nothing to say. -#}
{% macro nothing_found(columns) -%}
  {%- set nulls = [] -%}
  {%- for name in columns -%}{%- do nulls.append('cast(null as ' ~ ('bigint' if name == 'dbt_failures' else 'double') ~ ') as ' ~ name) -%}{%- endfor -%}
  {{- return('select * from (select ' ~ nulls | join(', ') ~ ') as nothing where 1 = 0') -}}
{%- endmacro %}
