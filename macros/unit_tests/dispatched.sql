{#-
  What dbt runs itself, in place of a materialization. These are found where the project's dispatch says
  `macro_namespace: dbt, search_order: [<project>, dbt_triton, dbt]`; they touch nothing but our own models.
-#}

{#- dbt's unit tests ask for the columns of the tested SQL… -#}
{% macro duckdb__get_empty_subquery_sql(select_sql, select_sql_header=none) -%}
  {%- if model is defined and model.resource_type == 'unit_test' -%}
    {%- set select_sql = dbt_triton.stub_calls(select_sql) -%}
  {%- endif -%}
  {#- dbt-duckdb 1.10 has none of its own. -#}
  {%- set of_dbt = dbt.duckdb__get_empty_subquery_sql if dbt.duckdb__get_empty_subquery_sql is defined else dbt.default__get_empty_subquery_sql -%}
  {{- return(of_dbt(select_sql, select_sql_header)) -}}
{%- endmacro %}


{#- …and compare its rows with the expected ones. -#}
{% macro default__get_unit_test_sql(main_sql, expected_fixture_sql, expected_column_names) -%}
  {{- return(dbt.default__get_unit_test_sql(dbt_triton.stub_calls(main_sql), expected_fixture_sql, expected_column_names)) -}}
{%- endmacro %}


{#- `dbt show` cannot run CREATE MODEL or ML_PREDICT: it shows the built table. -#}
{% macro default__get_limit_sql(sql, limit) -%}
  {%- if model is defined and model.resource_type == 'model' and model.config.materialized in ['inference_model', 'ml_predict'] -%}
    {%- set sql = 'select * from ' ~ this -%}
  {%- endif -%}
  {{- return(dbt.default__get_limit_sql(sql, limit)) -}}
{%- endmacro %}
