{#-
  The table of this model, where the build makes it anew as a whole, so that the next one can tell whether it would make
  the same: its relation, whether it exists already, and what it depends on besides its SELECT. Otherwise none.
-#}
{% macro made_anew(store, adds) -%}
  {%- set is_foreign = store.database != this.database -%}
  {%- if is_foreign or post_hooks or config.get('sql_header') or adds -%}{{- return(none) -}}{%- endif -%}
  {%- set existing_relation = load_cached_relation(this) -%}
  {%- set columns = [config.get('contract').enforced, model.get('constraints', [])] -%}
  {#- What is not said of a column is not there. -#}
  {%- for column in model.columns.values() -%}
    {%- do columns.append([column.name, column.get('data_type'), column.get('constraints'), column.get('description')]) -%}
  {%- endfor -%}
  {{- return({
    'relation': dbt_triton.full_name(this.database, this.schema, this.identifier),
    'exists': existing_relation is not none and existing_relation.is_table and not should_full_refresh(),
    'definition': tojson([columns, dbt_triton.physical_settings(), config.get('persist_docs', {}), model.get('description')]),
  }) -}}
{%- endmacro %}


{#- What is said of how the table is kept. -#}
{% macro physical_settings() -%}
  {{- return(adapter.dispatch('physical_settings', 'dbt_triton')()) -}}
{%- endmacro %}


{% macro default__physical_settings() -%}
  {{- dbt_triton.refuse_warehouse() -}}
{%- endmacro %}


{% macro duckdb__physical_settings() -%}
  {{- return(config.get('indexes', [])) -}}
{%- endmacro %}


{% macro spark__physical_settings() -%}
  {%- set said = [] -%}
  {%- for name in ['file_format', 'location_root', 'partition_by', 'clustered_by', 'buckets', 'options', 'tblproperties'] -%}
    {%- do said.append(config.get(name)) -%}
  {%- endfor -%}
  {{- return(said) -}}
{%- endmacro %}
