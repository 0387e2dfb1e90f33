{#-
  Whether this run adds to the table of the current ml_predict model, rather than making it anew.

  As dbt's own is_incremental(), which is only ever true for materialized='incremental': the model has an
  incremental_strategy or a unique_key, its table is there, and this is no --full-refresh.
-#}
{% macro is_incremental() -%}
  {%- if not execute or dbt_triton.in_unit_test() or not dbt_triton.incremental_strategy() -%}
    {{- return(false) -}}
  {%- endif -%}
  {%- set existing_relation = load_cached_relation(this) -%}
  {{- return(existing_relation is not none and existing_relation.is_table and not should_full_refresh()) -}}
{%- endmacro %}


{#-
  Warn of dbt's own is_incremental() in a predicting model: it is always false there, so that what it guards is left out and
  every row is sent again.

  dbt notes the macros that a model has called; one that is behind a condition stands in the text only, in a block of Jinja.
-#}
{% macro warn_of_is_incremental() -%}
  {%- set text = modules.re.sub('(?s)[{]#.*?#[}]', '', model.get('raw_code') or '') -%}
  {%- set blocks = modules.re.findall('(?s)[{][{%].*?[%}][}]', text) | join(' ') -%}
  {%- set called = modules.re.search('(?:^|[^\\w.])(?:dbt[.])?is_incremental\\s*[(]', modules.re.sub("'[^']*'|\"[^\"]*\"", '', blocks)) -%}
  {%- if called or 'macro.dbt.is_incremental' in model.depends_on.macros -%}
    {%- do exceptions.warn(
      model.name ~ ": dbt's is_incremental() is always false with materialized='ml_predict', so that every run sends all rows: "
      ~ 'write dbt_triton.is_incremental()'
      ~ ('' if dbt_triton.incremental_strategy() else ', and give the model an incremental_strategy or a unique_key')
    ) -%}
  {%- endif -%}
{%- endmacro %}
