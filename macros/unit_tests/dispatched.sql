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


{% macro spark__get_empty_subquery_sql(select_sql, select_sql_header=none) -%}
  {%- if model is defined and model.resource_type == 'unit_test' -%}
    {%- set select_sql = dbt_triton.stub_calls(select_sql) -%}
  {%- endif -%}
  {#- dbt-spark has none of its own yet. -#}
  {%- set of_dbt = dbt.spark__get_empty_subquery_sql if dbt.spark__get_empty_subquery_sql is defined else dbt.default__get_empty_subquery_sql -%}
  {{- return(of_dbt(select_sql, select_sql_header)) -}}
{%- endmacro %}


{#- …and compare its rows with the expected ones. -#}
{% macro default__get_unit_test_sql(main_sql, expected_fixture_sql, expected_column_names) -%}
  {{- return(dbt.default__get_unit_test_sql(dbt_triton.stub_calls(main_sql), expected_fixture_sql, expected_column_names)) -}}
{%- endmacro %}


{#- `dbt show` shows the built table of a model; for other SQL with ML_PREDICT, it predicts. -#}
{% macro default__get_limit_sql(sql, limit) -%}
  {%- if model is defined and model.resource_type == 'model' and model.config.materialized in ['inference_model', 'ml_predict'] -%}
    {%- if not adapter.get_relation(this.database, this.schema, this.identifier) -%}
      {%- do exceptions.raise_compiler_error(
        model.name ~ ' is not built, and dbt show shows its table: run `dbt build -s ' ~ model.name ~ '`'
      ) -%}
    {%- endif -%}
    {%- set sql = 'select * from ' ~ this -%}
  {%- elif model is defined and ('ml_predict' in sql | lower or 'ml_evaluate' in sql | lower) and dbt_triton.has_calls(sql) -%}
    {%- set sql = dbt_triton.predicted_for_show(sql) -%}
  {%- endif -%}
  {{- return(dbt.default__get_limit_sql(sql, limit)) -}}
{%- endmacro %}


{#- dbt makes the rows of a dict or a CSV fixture in the columns of the built relation: for an inference model, those of its metadata. -#}
{% macro default__validate_fixture_rows(rows, row_number) -%}
  {#- Of the tested project dbt says nothing here; the relation tells what it is. -#}
  {%- set columns = adapter.get_columns_in_relation(this) | map(attribute='name') | list -%}
  {%- if 'dbt_triton_version' in columns and 'input_schema' in columns -%}
    {%- do exceptions.raise_compiler_error(
      'the fixture of the inference model ' ~ model.name ~ " needs `format: sql`, such as rows: select 'good' as output: "
      ~ 'dbt makes dict and csv rows in the columns of the built relation, which are those of the model\'s metadata'
    ) -%}
  {%- endif -%}
  {#- Older versions of dbt look at no rows. -#}
  {%- if dbt.default__validate_fixture_rows is defined -%}{{- return(dbt.default__validate_fixture_rows(rows, row_number)) -}}{%- endif -%}
{%- endmacro %}
