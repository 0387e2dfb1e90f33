{#- The strategy by which an ml_predict model is incremental, or none. With a unique_key alone it is the adapter's own default. -#}
{% macro incremental_strategy() -%}
  {#- A strategy that is set for a whole folder does not concern the inference models in it. -#}
  {%- if config.get('materialized') != 'ml_predict' -%}{{- return(none) -}}{%- endif -%}
  {%- set strategy = config.get('incremental_strategy') -%}
  {%- if strategy == 'microbatch' -%}
    {%- do exceptions.raise_compiler_error(
      model.name ~ ": incremental_strategy='microbatch' cannot work with materialized='ml_predict', since dbt makes batches only for "
      ~ "materialized='incremental'. " ~ dbt_triton.instead_of_microbatch()
    ) -%}
  {%- endif -%}
  {{- return(strategy or (dbt_triton.strategy_of_unique_key() if config.get('unique_key') else none)) -}}
{%- endmacro %}


{#- What to do where dbt's batches were wanted. -#}
{% macro instead_of_microbatch() -%}
  {{- return(adapter.dispatch('instead_of_microbatch', 'dbt_triton')()) -}}
{%- endmacro %}


{% macro default__instead_of_microbatch() -%}
  {{- dbt_triton.refuse_warehouse() -}}
{%- endmacro %}


{% macro duckdb__instead_of_microbatch() -%}
  {{- return(
    "Write a dbt Python model with materialized='incremental', which calls dbt_triton.ml_predict "
    ~ "(door 3), or use append, delete+insert or merge"
  ) -}}
{%- endmacro %}


{% macro spark__instead_of_microbatch() -%}
  {{- return('Use append, insert_overwrite or merge') -}}
{%- endmacro %}


{% macro strategy_of_unique_key() -%}
  {{- return(adapter.dispatch('strategy_of_unique_key', 'dbt_triton')()) -}}
{%- endmacro %}


{% macro default__strategy_of_unique_key() -%}
  {{- dbt_triton.refuse_warehouse() -}}
{%- endmacro %}


{% macro duckdb__strategy_of_unique_key() -%}
  {{- return('delete+insert') -}}
{%- endmacro %}


{% macro spark__strategy_of_unique_key() -%}
  {{- return('merge') -}}
{%- endmacro %}


{#- Refuse a strategy that the warehouse has not, or not for this table, before anything is done. -#}
{% macro check_strategy(strategy) -%}
  {{- return(adapter.dispatch('check_strategy', 'dbt_triton')(strategy)) -}}
{%- endmacro %}


{% macro default__check_strategy(strategy) -%}
  {{- dbt_triton.refuse_warehouse() -}}
{%- endmacro %}


{#- dbt looks for the strategy's macro, and says so where there is none. -#}
{% macro duckdb__check_strategy(strategy) -%}
  {%- do adapter.get_incremental_strategy_macro(context, strategy) -%}
{%- endmacro %}


{% macro spark__check_strategy(strategy) -%}
  {%- set format = dbt_triton.table_format() or 'parquet' -%}
  {%- set can_merge = format in ['delta', 'iceberg', 'hudi'] -%}
  {%- set state = namespace(why=none) -%}
  {%- if strategy not in ['append', 'insert_overwrite', 'merge'] -%}
    {%- set state.why = 'is not one of dbt-spark, which has append, insert_overwrite and merge' -%}
  {%- elif strategy == 'merge' and not can_merge -%}
    {%- set state.why = 'needs a file_format that Spark can change rows of: delta, iceberg or hudi. A table of ' ~ format
      ~ ' takes append, or insert_overwrite with partition_by' -%}
  {%- elif strategy == 'insert_overwrite' and not config.get('partition_by') -%}
    {%- set state.why = 'needs partition_by: it replaces the partitions that have new rows, and without any it would replace the whole table' -%}
  {%- elif strategy == 'insert_overwrite' and can_merge and not dbt_triton.overwrites_partitions() -%}
    {%- set state.why = 'would replace the whole table, since the session overwrites statically: set spark.sql.sources.partitionOverwriteMode: '
      ~ 'dynamic under server_side_parameters of the profile, or use merge' -%}
  {%- endif -%}
  {%- if state.why -%}
    {%- set said = "incremental_strategy='" ~ strategy ~ "'" if config.get('incremental_strategy') else 'unique_key, which means merge,' -%}
    {%- do exceptions.raise_compiler_error(model.name ~ ': ' ~ said ~ ' ' ~ state.why) -%}
  {%- endif -%}
{%- endmacro %}


{#- Whether INSERT OVERWRITE keeps the partitions that have no new rows, as the whole session is set. -#}
{% macro overwrites_partitions() -%}
  {{- return(dbt_triton.spark_setting('spark.sql.sources.partitionOverwriteMode') | lower == 'dynamic') -}}
{%- endmacro %}


{#- Read the unique_key, a column, an expression or several, of a SELECT without rows: the warehouse names a column that is none. -#}
{% macro check_unique_key(check_sql) -%}
  {%- set unique_key = config.get('unique_key') -%}
  {%- set keys = [unique_key] if unique_key is string else unique_key -%}
  {%- do run_query('select ' ~ keys | join(', ') ~ ' from (' ~ check_sql ~ '\n) as unique_key_of_the_model limit 0') -%}
{%- endmacro %}
