{#- The text of an ML_PREDICT call, for people who like macros: `from {{ dbt_triton.ml_predict(ref('t'), ref('m'), 'c') }}`. -#}
{% macro ml_predict(table, model, descriptor, config={}) -%}
  {%- set columns = [descriptor] if descriptor is string else descriptor -%}
  {%- set call = dbt_triton.call_arguments(columns, config) -%}
  {%- set text -%}
ML_PREDICT(TABLE {{ table }}, MODEL {{ model }}, DESCRIPTOR({{ call.columns }}){{ call.config }})
  {%- endset -%}
  {%- if execute and dbt_triton.is_shown_inline() -%}
    {#- Nothing of ours looks at the whole SQL. -#}
    {{- return('(' ~ dbt_triton.predicted_for_show('select * from ' ~ text) ~ ')') -}}
  {%- endif -%}
  {%- if execute -%}{%- do dbt_triton.refuse_ml_predict_here() -%}{%- endif -%}
  {%- if execute and dbt_triton.in_unit_test() -%}
    {#- dbt runs the SQL of a unit test itself. -#}
    {{- return(dbt_triton.stub_call(table, model, columns)) -}}
  {%- endif -%}
  {{- return(text) -}}
{%- endmacro %}


{#- The columns of DESCRIPTOR, and `, MAP[…]` where there are options. -#}
{% macro call_arguments(columns, config) -%}
  {%- set quoted, texts = [], [] -%}
  {%- for column in columns -%}
    {%- do quoted.append(dbt_triton.quoted(column)) -%}
  {%- endfor -%}
  {%- for key, value in config.items() -%}
    {%- do texts.append(dbt_triton.flink_text(key)) -%}
    {%- do texts.append(dbt_triton.flink_text(dbt_triton.option_text(value))) -%}
  {%- endfor -%}
  {{- return({'columns': quoted | join(', '), 'config': ', MAP[' ~ texts | join(', ') ~ ']' if texts else ''}) -}}
{%- endmacro %}


{#- An option of YAML as SQL text. -#}
{% macro option_text(value) -%}
  {%- if value is none -%}
    {{- return('null') -}}
  {%- elif value is sameas true or value is sameas false -%}
    {{- return(value | string | lower) -}}
  {%- elif value is mapping or (value is iterable and value is not string) -%}
    {{- return(tojson(value)) -}}
  {%- endif -%}
  {{- return(value | string) -}}
{%- endmacro %}


{% macro in_unit_test() -%}
  {{- return(model is defined and model.resource_type == 'unit_test') -}}
{%- endmacro %}


{#-
  Refuse a call where dbt itself would run its SQL, which no warehouse can read. Commands that only render SQL go on, and so
  does an ephemeral model, which may be part of a predicting one.
-#}
{% macro refuse_ml_predict_here() -%}
  {%- if model is not defined or flags.WHICH in ['compile', 'generate', 'list', 'parse'] -%}{{- return('') -}}{%- endif -%}
  {%- set kind, materialized = model.resource_type, model.config.materialized -%}
  {%- if kind in ['test', 'snapshot'] or (kind == 'model' and materialized in ['table', 'view', 'incremental', 'external', 'materialized_view']) -%}
    {%- do exceptions.raise_compiler_error(
      model.name ~ ': ML_PREDICT needs ' ~ ("materialized='ml_predict', and this model is materialized as " ~ materialized if kind == 'model'
      else 'a model of its own, with materialized=\'ml_predict\', which this ' ~ kind ~ ' can select from')
    ) -%}
  {#- Where they are dispatched, our own macros for `dbt show` look at the whole SQL. -#}
  {%- elif flags.WHICH == 'show' and not dbt_triton.is_dispatched() -%}
    {%- do dbt_triton.refuse_to_show() -%}
  {%- endif -%}
{%- endmacro %}


{#- Whether this is the SQL of `dbt show --inline`, and nothing but the macro of a call is ours. -#}
{% macro is_shown_inline() -%}
  {{- return(
    flags.WHICH == 'show' and model is defined and model.resource_type == 'sql_operation'
    and adapter.type() == 'duckdb' and adapter.dbt_triton_show is defined and not dbt_triton.is_dispatched()
  ) -}}
{%- endmacro %}


{#-
  The SELECT that `dbt show` runs in place of one with ML_PREDICT: its rows are predicted first, into memory. What does that is
  a method which our Python package adds to the adapter of DuckDB (dbt_plugin.py).
-#}
{% macro predicted_for_show(sql) -%}
  {%- if adapter.type() != 'duckdb' or adapter.dbt_triton_show is not defined -%}
    {%- do dbt_triton.refuse_to_show() -%}
  {%- endif -%}
  {%- set models = dbt_triton.upstream_inference_models() -%}
  {%- set result = adapter.dbt_triton_show({
    'sql': sql,
    'models': models,
    'secrets': dbt_triton.literal_secrets(models | map(attribute='unique_id') | list),
    'endpoint': var('dbt_triton_endpoint', none),
    'variables': dbt_triton.option_variables(),
  }) -%}
  {%- if result.error -%}{%- do exceptions.raise_compiler_error(result.error) -%}{%- endif -%}
  {{- return(result.sql) -}}
{%- endmacro %}


{#- `dbt show` only ever runs one SELECT. -#}
{% macro refuse_to_show() -%}
  {%- set is_ours = model.config.materialized == 'ml_predict' -%}
  {%- do exceptions.raise_compiler_error(
    'dbt show makes no predictions here, so it cannot run ML_PREDICT: '
    ~ ('' if is_ours else "predict for a few rows with `dbt-triton predict MODEL 'a text'`, or ")
    ~ ('build ' ~ model.name if is_ours else "build a model of it, with materialized='ml_predict',")
    ~ ' and show its table, with dbt show --inline "select * from {{ ref(\'' ~ (model.name if is_ours else '…') ~ '\') }}"'
    ~ (', or with dbt show -s ' ~ model.name ~ ' once `dbt-triton init --dispatch` has added its line to dbt_project.yml' if is_ours else '')
  ) -%}
{%- endmacro %}


{#- Whether the project lets dbt find the macros of unit_tests/dispatched.sql. -#}
{% macro is_dispatched() -%}
  {%- set found = adapter.dispatch('get_limit_sql', 'dbt') -%}
  {{- return(found.macro is defined and found.macro.package_name == 'dbt_triton') -}}
{%- endmacro %}
