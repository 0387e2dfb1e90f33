{#-
  What comes before a step: hooks, and then the sql_header, once for the plan, the step and the table, which share the session.

  The step commits whatever transaction is open then, so that it sees what the hooks built.
-#}
{% macro run_before_step(hooks=true) -%}
  {%- if hooks -%}
    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}
  {%- endif -%}
  {%- set header = config.get('sql_header', '') or '' -%}
  {%- if header | trim -%}
    {%- call statement('dbt_triton_header', auto_begin=False) -%} {{ header }} {%- endcall -%}
  {%- endif -%}
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
  Make the table of this model, or add to it, within one transaction. Returns a map of `relation` and `rows`.

  `create or replace` rather than a rename swap: with four threads, the swap's look at duckdb_indexes() fails while a
  neighbour drops its backup. What is not needed any more is dropped after the commit, so that a failing post-hook costs nothing.
-#}
{% macro build_table(build_sql, clean_up=[], comment=none) -%}
  {%- set existing_relation = load_cached_relation(this) -%}
  {%- set target_relation = this.incorporate(type='table') -%}
  {%- set grant_config = config.get('grants') -%}
  {%- set adds = dbt_triton.is_incremental() -%}

  {%- if adds -%}
    {%- set rows = dbt_triton.add_increment(target_relation, build_sql) -%}
  {%- else -%}
    {%- if existing_relation is not none and not existing_relation.is_table -%}
      {%- call statement('begin_build') -%} select 1 {%- endcall -%}
      {%- do adapter.drop_relation(existing_relation) -%}
    {%- endif -%}
    {%- call statement('main') -%}
      {{ dbt_triton.create_or_replace_table_as(target_relation, build_sql) }}
    {%- endcall -%}
    {%- set rows = run_query('select count(*) from ' ~ target_relation).columns[0].values()[0] | int -%}
    {%- do create_indexes(target_relation) -%}
  {%- endif -%}

  {{ run_hooks(post_hooks, inside_transaction=True) }}
  {%- do apply_grants(target_relation, grant_config, should_revoke=should_revoke(existing_relation, full_refresh_mode=not adds)) -%}
  {%- do persist_docs(target_relation, model) -%}
  {#- DuckDB writes no comments into other databases. -#}
  {%- if comment and not dbt_triton.is_foreign(this.database) -%}{%- do dbt_triton.add_comment(target_relation, comment) -%}{%- endif -%}
  {% do adapter.commit() %}

  {{- dbt_triton.run_statements(clean_up) -}}
  {{ run_hooks(post_hooks, inside_transaction=False) }}
  {{- return({'relation': target_relation, 'rows': rows}) -}}
{%- endmacro %}


{% macro run_statements(statements) -%}
  {%- for sql in statements -%}
    {%- call statement('dbt_triton_clean_up', auto_begin=False) -%} {{ sql }} {%- endcall -%}
  {%- endfor -%}
{%- endmacro %}


{#- The table of this model is what would be built. Returns a map of `relation` and `rows`. -#}
{% macro leave_table(clean_up) -%}
  {%- set target_relation = this.incorporate(type='table') -%}
  {#- Begins a transaction: dbt-duckdb 1.10 logs a commit of nothing as an error. -#}
  {%- call statement('begin_docs') -%} select 1 {%- endcall -%}
  {%- set rows = run_query('select count(*) from ' ~ target_relation).columns[0].values()[0] | int -%}
  {%- do persist_docs(target_relation, model) -%}
  {%- do adapter.commit() -%}
  {{- dbt_triton.run_statements(clean_up) -}}
  {{- return({'relation': target_relation, 'rows': rows}) -}}
{%- endmacro %}


{#-
  The table of this model, where the build makes it anew as a whole, so that the next one can tell whether it would make
  the same: its relation, whether it exists already, and what it depends on besides its SELECT. Otherwise none.
-#}
{% macro made_anew(store) -%}
  {%- set is_foreign = store.database != this.database -%}
  {%- if is_foreign or post_hooks or config.get('sql_header') or dbt_triton.is_incremental() -%}{{- return(none) -}}{%- endif -%}
  {%- set existing_relation = load_cached_relation(this) -%}
  {%- set columns = [config.get('contract').enforced, model.get('constraints', [])] -%}
  {#- What is not said of a column is not there. -#}
  {%- for column in model.columns.values() -%}
    {%- do columns.append([column.name, column.get('data_type'), column.get('constraints'), column.get('description')]) -%}
  {%- endfor -%}
  {{- return({
    'relation': dbt_triton.quoted(this.database) ~ '.' ~ dbt_triton.quoted(this.schema) ~ '.' ~ dbt_triton.quoted(this.identifier),
    'exists': existing_relation is not none and existing_relation.is_table and not should_full_refresh(),
    'definition': tojson([columns, config.get('indexes', []), config.get('persist_docs', {}), model.get('description')]),
  }) -}}
{%- endmacro %}


{% macro create_or_replace_table_as(relation, select_sql) -%}
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


{#- What the docs show of a relation: its description where persist_docs keeps one, and more. -#}
{% macro add_comment(relation, comment) -%}
  {%- set described = config.persist_relation_docs() and model.description -%}
  {%- set text = (model.description ~ '\n\n' if described else '') ~ comment -%}
  {%- call statement('dbt_triton_comment') -%}
    comment on table {{ relation }} is {{ dbt_triton.sql_text(text) }}
  {%- endcall -%}
{%- endmacro %}
