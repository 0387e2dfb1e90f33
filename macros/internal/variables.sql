{#- The options that project variables set for every model, whatever else says otherwise. -#}
{% macro option_variables() -%}
  {%- set found = {} -%}
  {%- if var('dbt_triton_provider', none) -%}
    {%- do found.update({'provider': var('dbt_triton_provider')}) -%}
  {%- elif target.name in dbt_triton.stub_targets() -%}
    {%- do found.update({'provider': 'stub'}) -%}
  {%- endif -%}
  {%- set sample = var('dbt_triton_sample', none) -%}
  {#- One number, or one for each target. -#}
  {%- set sample = sample.get(target.name) if sample is mapping else sample -%}
  {%- if sample is not none -%}
    {%- do found.update({'sample': sample}) -%}
  {%- endif -%}
  {{- return(found) -}}
{%- endmacro %}


{#- The targets in which every model is a stub. A text is one target, and not the letters in which another may be found. -#}
{% macro stub_targets() -%}
  {%- set targets = var('dbt_triton_stub_targets', none) or [] -%}
  {{- return([targets] if targets is string else targets) -}}
{%- endmacro %}


{#- Whether predicting models only say what they would send. The value may be a text, such as one of the environment. -#}
{% macro is_dry_run() -%}
  {%- set said = var('dbt_triton_dry_run', false) | string | trim | lower -%}
  {%- if said not in ['true', 'false', 'none', ''] -%}
    {%- do exceptions.raise_compiler_error("the variable dbt_triton_dry_run must be true or false") -%}
  {%- endif -%}
  {{- return(said == 'true') -}}
{%- endmacro %}
