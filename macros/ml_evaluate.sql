{#- The text of an ML_EVALUATE call, for people who like macros: `from {{ dbt_triton.ml_evaluate(ref('t'), ref('m'), 'label', 'c') }}`. -#}
{% macro ml_evaluate(table, model, label, descriptor, task=none, config={}) -%}
  {%- set call = dbt_triton.call_arguments([descriptor] if descriptor is string else descriptor, config) -%}
  {%- set text -%}
ML_EVALUATE(TABLE {{ table }}, MODEL {{ model }}, DESCRIPTOR({{ dbt_triton.quoted(label) }}), DESCRIPTOR({{ call.columns }})
  {%- if task %}, {{ dbt_triton.flink_text(task) }}{% endif %}{{ call.config }})
  {%- endset -%}
  {%- if execute and dbt_triton.is_shown_inline() -%}
    {{- return('(' ~ dbt_triton.predicted_for_show('select * from ' ~ text) ~ ')') -}}
  {%- endif -%}
  {%- if execute -%}{%- do dbt_triton.refuse_ml_predict_here() -%}{%- endif -%}
  {%- if execute and dbt_triton.in_unit_test() -%}
    {#- dbt runs the SQL of a unit test itself. -#}
    {{- return(dbt_triton.stub_calls(text)) -}}
  {%- endif -%}
  {{- return(text) -}}
{%- endmacro %}
