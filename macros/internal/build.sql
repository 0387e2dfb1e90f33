{#- Pre-hooks are committed before the step, which must see what they built. -#}
{% macro run_hooks_before_step() -%}
  {{ run_hooks(pre_hooks, inside_transaction=False) }}
  {{ run_hooks(pre_hooks, inside_transaction=True) }}
  {% do adapter.commit() %}
{%- endmacro %}


{#- The contract, and typos in the outer SELECT, before a row is paid for. -#}
{% macro check_columns(check_sql) -%}
  {%- if config.get('contract').enforced -%}
    {{ get_assert_columns_equivalent(check_sql) }}
  {%- else -%}
    {%- do get_column_schema_from_query(check_sql) -%}
  {%- endif -%}
{%- endmacro %}


{#-
  Make the table of this model, as dbt-duckdb's own table materialization does, within one transaction.

  `create or replace` rather than a rename swap: with four threads, the swap's look at duckdb_indexes() fails while a
  neighbour drops its backup. What is not needed any more is dropped after the commit, so that a failing post-hook costs nothing.
-#}
{% macro build_table(build_sql, clean_up=[]) -%}
  {%- set existing_relation = load_cached_relation(this) -%}
  {%- set target_relation = this.incorporate(type='table') -%}
  {%- set grant_config = config.get('grants') -%}

  {%- if existing_relation is not none and not existing_relation.is_table -%}
    {%- call statement('begin_build') -%} select 1 {%- endcall -%}
    {%- do adapter.drop_relation(existing_relation) -%}
  {%- endif -%}

  {%- call statement('main') -%}
    {{ dbt_triton.create_or_replace_table_as(target_relation, build_sql) }}
  {%- endcall -%}

  {%- do create_indexes(target_relation) -%}
  {{ run_hooks(post_hooks, inside_transaction=True) }}
  {%- do apply_grants(target_relation, grant_config, should_revoke=should_revoke(existing_relation, full_refresh_mode=True)) -%}
  {%- do persist_docs(target_relation, model) -%}
  {% do adapter.commit() %}

  {%- for cleaning in clean_up -%}
    {%- call statement('dbt_triton_clean_up', auto_begin=False) -%} {{ cleaning }} {%- endcall -%}
  {%- endfor -%}
  {{ run_hooks(post_hooks, inside_transaction=False) }}
  {{- return(target_relation) -}}
{%- endmacro %}


{% macro create_or_replace_table_as(relation, select_sql) -%}
  {{ config.get('sql_header', '') or '' }}
  {% if config.get('contract').enforced -%}
    create or replace table {{ relation }} {{ get_table_columns_and_constraints() }} ;
    insert into {{ relation }} {{ get_column_names() }} (
      {{ get_select_subquery(select_sql) }}
    );
  {%- else -%}
    create or replace table {{ relation }} as (
      {{ select_sql }}
    );
  {%- endif %}
{%- endmacro %}
