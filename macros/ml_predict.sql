{#- The text of an ML_PREDICT call, for people who like macros: `from {{ dbt_triton.ml_predict(ref('t'), ref('m'), 'c') }}`. -#}
{% macro ml_predict(table, model, descriptor, config={}) -%}
  {%- set columns = [descriptor] if descriptor is string else descriptor -%}
  {%- set quoted = [] -%}
  {%- for column in columns -%}
    {%- do quoted.append(dbt_triton.quoted(column)) -%}
  {%- endfor -%}
  {%- set texts = [] -%}
  {%- for key, value in config.items() -%}
    {%- do texts.append(key) -%}
    {%- do texts.append(dbt_triton.option_text(value)) -%}
  {%- endfor -%}
  {%- if execute and dbt_triton.in_unit_test() -%}
    {#- dbt runs the SQL of a unit test itself. -#}
    {{- return(dbt_triton.stub_call(table, model, columns)) -}}
  {%- endif -%}
ML_PREDICT(TABLE {{ table }}, MODEL {{ model }}, DESCRIPTOR({{ quoted | join(', ') }})
  {%- if texts %}, MAP[{% for text in texts %}{{ dbt_triton.sql_text(text) }}{{ ', ' if not loop.last }}{% endfor %}]{% endif %})
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
