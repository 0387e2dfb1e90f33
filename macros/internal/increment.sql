{#- Add the rows of a SELECT to the table, by the model's strategy. Returns how many they are. -#}
{% macro add_increment(target_relation, build_sql) -%}
  {{- return(adapter.dispatch('add_increment', 'dbt_triton')(target_relation, build_sql)) -}}
{%- endmacro %}


{% macro default__add_increment(target_relation, build_sql) -%}
  {{- dbt_triton.refuse_warehouse() -}}
{%- endmacro %}


{% macro duckdb__add_increment(target_relation, build_sql) -%}
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
  {%- set rows = dbt_triton.rows_of(temp_relation) -%}

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


{#- By way of a table: the rows are worked out once, and the SELECT may read the table that it adds to. -#}
{% macro spark__add_increment(target_relation, build_sql) -%}
  {%- set existing_relation = dbt_triton.as_it_is(load_cached_relation(this)) -%}
  {%- set staging_relation = dbt_triton.beside('tmp') -%}
  {%- call statement('dbt_triton_increment') -%}
    create table {{ staging_relation }} {{ file_format_clause() }} {{ dbt_triton.instead_of_hive() }} as
    {{ build_sql }}
  {%- endcall -%}
  {%- do adapter.cache_added(staging_relation) -%}
  {%- set rows = dbt_triton.rows_of(staging_relation) -%}

  {%- set on_schema_change = incremental_validate_on_schema_change(config.get('on_schema_change'), default='ignore') -%}
  {%- do process_schema_changes(on_schema_change, staging_relation, existing_relation) -%}
  {%- set strategy = dbt_triton.incremental_strategy() -%}
  {%- if strategy == 'insert_overwrite' and not dbt_triton.overwrites_partitions() -%}
    {#- Of this table alone: dbt-spark sets it for the session, and so for every thread. -#}
    {%- call statement('dbt_triton_dynamic') -%}
      alter table {{ target_relation }} set serdeproperties ('partitionOverwriteMode' = 'dynamic')
    {%- endcall -%}
  {%- endif -%}
  {%- set predicates = config.get('predicates', none) or config.get('incremental_predicates', none) -%}
  {%- call statement('main') -%}
    {{ dbt_spark_get_incremental_sql(strategy, staging_relation, target_relation, existing_relation, config.get('unique_key'), predicates) }}
  {%- endcall -%}
  {%- do dbt_triton.drop_table(staging_relation) -%}
  {%- do dbt_triton.drop_left_beside() -%}
  {{- return(rows) -}}
{%- endmacro %}
