{#- Refuse a connection over which no step can be run, before anything is done. -#}
{% macro check_connection() -%}
  {{- return(adapter.dispatch('check_connection', 'dbt_triton')()) -}}
{%- endmacro %}


{% macro default__check_connection() -%}
  {{- dbt_triton.refuse_warehouse() -}}
{%- endmacro %}


{% macro duckdb__check_connection() -%}{%- endmacro %}


{% macro spark__check_connection() -%}
  {%- set method = adapter.config.credentials.method -%}
  {%- if method != 'session' -%}
    {%- do exceptions.raise_compiler_error(
      model.name ~ ': ML_PREDICT on Spark needs `method: session` in profiles.yml, where dbt itself holds the Spark session'
      ~ (', and not `method: ' ~ method ~ '`' if method else '')
    ) -%}
  {%- endif -%}
{%- endmacro %}


{#- The contract, and typos in the outer SELECT, before a row is paid for. -#}
{% macro check_columns(check_sql) -%}
  {%- if config.get('contract').enforced -%}
    {{ get_assert_columns_equivalent(check_sql) }}
  {%- else -%}
    {%- do get_column_schema_from_query(check_sql) -%}
  {%- endif -%}
{%- endmacro %}
