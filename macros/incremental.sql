{#-
  Whether this run adds to the table of the current ml_predict model, rather than making it anew.

  As dbt's own is_incremental(), which is only ever true for materialized='incremental': the model has an
  incremental_strategy or a unique_key, its table is there, and this is no --full-refresh.
-#}
{% macro is_incremental() -%}
  {%- if not execute or dbt_triton.in_unit_test() or not dbt_triton.incremental_strategy() -%}
    {{- return(false) -}}
  {%- endif -%}
  {%- set existing_relation = load_cached_relation(this) -%}
  {{- return(existing_relation is not none and existing_relation.is_table and not should_full_refresh()) -}}
{%- endmacro %}


{#-
  Warn of dbt's own is_incremental() in a predicting model: it is always false there, so that what it guards is left out and
  every row is sent again.

  dbt notes the macros that a model has called; one that is behind a condition stands in the text only, in a block of Jinja.
-#}
{% macro warn_of_is_incremental() -%}
  {%- set text = modules.re.sub('(?s)[{]#.*?#[}]', '', model.get('raw_code') or '') -%}
  {%- set blocks = modules.re.findall('(?s)[{][{%].*?[%}][}]', text) | join(' ') -%}
  {%- set called = modules.re.search('(?:^|[^\\w.])(?:dbt[.])?is_incremental\\s*[(]', modules.re.sub("'[^']*'|\"[^\"]*\"", '', blocks)) -%}
  {%- if called or 'macro.dbt.is_incremental' in model.depends_on.macros -%}
    {%- do exceptions.warn(
      model.name ~ ": dbt's is_incremental() is always false with materialized='ml_predict', so that every run sends all rows: "
      ~ 'write dbt_triton.is_incremental()'
      ~ ('' if dbt_triton.incremental_strategy() else ', and give the model an incremental_strategy or a unique_key')
    ) -%}
  {%- endif -%}
{%- endmacro %}


{#- The strategy by which an ml_predict model is incremental, or none. With a unique_key alone it is dbt-duckdb's own default. -#}
{% macro incremental_strategy() -%}
  {#- A strategy that is set for a whole folder does not concern the inference models in it. -#}
  {%- if config.get('materialized') != 'ml_predict' -%}{{- return(none) -}}{%- endif -%}
  {%- set strategy = config.get('incremental_strategy') -%}
  {%- if strategy == 'microbatch' -%}
    {%- do exceptions.raise_compiler_error(
      model.name ~ ": incremental_strategy='microbatch' cannot work with materialized='ml_predict', since dbt makes batches only for "
      ~ "materialized='incremental'. Write a dbt Python model with materialized='incremental', which calls dbt_triton.ml_predict "
      ~ "(door 3), or use append, delete+insert or merge"
    ) -%}
  {%- endif -%}
  {{- return(strategy or ('delete+insert' if config.get('unique_key') else none)) -}}
{%- endmacro %}


{#- Read the unique_key, a column, an expression or several, of a SELECT without rows: DuckDB names a column that is none. -#}
{% macro check_unique_key(check_sql) -%}
  {%- set unique_key = config.get('unique_key') -%}
  {%- set keys = [unique_key] if unique_key is string else unique_key -%}
  {%- do run_query('select ' ~ keys | join(', ') ~ ' from (' ~ check_sql ~ '\n) as unique_key_of_the_model limit 0') -%}
{%- endmacro %}


{#- Add the rows of a SELECT to the table, by the model's strategy, within the open transaction. Returns how many they are. -#}
{% macro add_increment(target_relation, build_sql) -%}
  {#- dbt-duckdb 1.10 knows temporary tables only. -#}
  {%- set temporary_relation = duckdb__dispatch_temporary_relation(target_relation)
    if duckdb__dispatch_temporary_relation is defined else {'relation': make_temp_relation(target_relation), 'temporary': true} -%}
  {%- set temp_relation = temporary_relation.relation -%}
  {%- call statement('dbt_triton_increment') -%}
    {#- Not dbt's create_table_as, which would run the sql_header once more. -#}
    {%- set own = not temporary_relation.temporary %}
    create or replace {{ '' if own else 'temporary' }} table {{ temp_relation.include(database=own, schema=own) }} as (
      {{ build_sql }}
    )
  {%- endcall -%}
  {%- set rows = run_query('select count(*) from ' ~ temp_relation).columns[0].values()[0] | int -%}

  {%- do adapter.expand_target_column_types(from_relation=temp_relation, to_relation=target_relation) -%}
  {%- set on_schema_change = incremental_validate_on_schema_change(config.get('on_schema_change'), default='ignore') -%}
  {%- set dest_columns = process_schema_changes(on_schema_change, temp_relation, target_relation)
    or adapter.get_columns_in_relation(target_relation) -%}
  {%- set strategy_macro = adapter.get_incremental_strategy_macro(context, dbt_triton.incremental_strategy()) -%}
  {%- set strategy_sql = strategy_macro({
    'target_relation': target_relation,
    'temp_relation': temp_relation,
    'unique_key': config.get('unique_key'),
    'dest_columns': dest_columns,
    'incremental_predicates': config.get('predicates', none) or config.get('incremental_predicates', none),
  }) | trim -%}
  {#- A merge brings the sql_header, which was run before the step. -#}
  {%- set header = (config.get('sql_header', '') or '') | trim -%}
  {%- call statement('main') -%}
    {{ strategy_sql[header | length:] if strategy_sql.startswith(header) else strategy_sql }}
  {%- endcall -%}
  {%- if not temporary_relation.temporary -%}{%- do adapter.drop_relation(temp_relation) -%}{%- endif -%}
  {{- return(rows) -}}
{%- endmacro %}
