{#-
  Where the prediction store of a model is: beside its table, or in the profile's own schema where the table is in an
  attached database of another kind (PostgreSQL, SQLite, MySQL), which lacks the types of a store. There it has the table's
  database and schema in its name, since tables of one name may be in several of them.
-#}
{% macro store_place(database, schema, identifier) -%}
  {%- set place = {'database': database, 'schema': schema, 'identifier': identifier ~ '__ml_predictions'} -%}
  {%- if dbt_triton.is_foreign(database) -%}
    {%- set name = [database, schema, place.identifier] | join('__') -%}
    {%- do place.update({'database': target.database, 'schema': target.schema, 'identifier': name}) -%}
  {%- endif -%}
  {{- return(place) -}}
{%- endmacro %}


{#- Whether a database is one that the warehouse has attached, and of another kind. -#}
{% macro is_foreign(database) -%}
  {{- return(adapter.dispatch('is_foreign', 'dbt_triton')(database)) -}}
{%- endmacro %}


{% macro default__is_foreign(database) -%}
  {{- dbt_triton.refuse_warehouse() -}}
{%- endmacro %}


{% macro duckdb__is_foreign(database) -%}
  {%- set found = run_query(
    'select type from duckdb_databases() where lower(database_name) = lower(' ~ dbt_triton.sql_text(database | string) ~ ')'
  ) -%}
  {{- return(found | length > 0 and found.columns[0].values()[0] in ['postgres', 'mysql', 'sqlite']) -}}
{%- endmacro %}


{% macro spark__is_foreign(database) -%}
  {{- return(false) -}}
{%- endmacro %}
