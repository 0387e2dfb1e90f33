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


{#-
  Refuse what a warehouse would refuse of the table itself, such as a table property that cannot be read or a grant that it
  does not know, before a row is paid for. `check_sql` is a query with the columns of the table, and no rows.
-#}
{% macro check_table(check_sql) -%}
  {{- return(adapter.dispatch('check_table', 'dbt_triton')(check_sql)) -}}
{%- endmacro %}


{% macro default__check_table(check_sql) -%}
  {{- dbt_triton.refuse_warehouse() -}}
{%- endmacro %}


{#- The statements are within a transaction, and an old table stays. -#}
{% macro duckdb__check_table(check_sql) -%}{%- endmacro %}


{#- EXPLAIN reads a statement and runs nothing. What it says of one that cannot be planned is rows, and no error. -#}
{% macro spark__check_table(check_sql) -%}
  {%- set staging_relation = dbt_triton.beside('tmp') -%}
  {%- set found = run_query('explain ' ~ create_table_as(false, staging_relation, check_sql)) -%}
  {%- set said = found.columns[0].values() | join('\n') -%}
  {%- set error = modules.re.search('Error occurred during query planning:\\s*(.*)', said, modules.re.DOTALL) -%}
  {%- if error -%}
    {%- do exceptions.raise_compiler_error(
      model.name ~ ': Spark cannot make the table, so no row was sent. It says: ' ~ error.group(1).strip()[:1000]
    ) -%}
  {%- endif -%}
  {%- for privilege, grantees in (config.get('grants') or {}).items() -%}
    {%- for grantee in ([grantees] if grantees is string else grantees) -%}
      {%- do run_query('explain ' ~ get_grant_sql(staging_relation, privilege, [grantee])) -%}
    {%- endfor -%}
  {%- endfor -%}
{%- endmacro %}
