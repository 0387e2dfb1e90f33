{#- The text of an ML_PREDICT call, for people who like macros: `from {{ dbt_triton.ml_predict(ref('t'), ref('m'), 'c') }}`. -#}
{% macro ml_predict(table, model, descriptor, config={}) -%}
  {%- set columns = [descriptor] if descriptor is string else descriptor -%}
  {%- set quoted = [] -%}
  {%- for column in columns -%}
    {%- do quoted.append(adapter.quote(column | replace('"', '""'))) -%}
  {%- endfor -%}
  {%- set pairs = [] -%}
  {%- for key, value in config.items() -%}
    {%- do pairs.append(dbt_triton.sql_text(key)) -%}
    {%- set text = tojson(value) if value is mapping else value | string -%}
    {%- do pairs.append(dbt_triton.sql_text(text | lower if value is sameas true or value is sameas false else text)) -%}
  {%- endfor -%}
ML_PREDICT(TABLE {{ table }}, MODEL {{ model }}, DESCRIPTOR({{ quoted | join(', ') }})
  {%- if pairs %}, MAP[{{ pairs | join(', ') }}]{% endif %})
{%- endmacro %}
