{#-
  Make the table of this model, or add to it. Returns a map of `relation` and `rows`.

  Where there are transactions it is all done within one. What is not needed any more is dropped after its commit, so that a
  failing post-hook costs nothing.
-#}
{% macro build_table(build_sql, adds, clean_up=[], comment=none) -%}
  {%- set existing_relation = load_cached_relation(this) -%}
  {%- set target_relation = this.incorporate(type='table') -%}

  {%- if adds -%}
    {%- set rows = dbt_triton.add_increment(target_relation, build_sql) -%}
  {%- else -%}
    {%- do dbt_triton.make_table(existing_relation, target_relation, build_sql) -%}
    {%- set rows = dbt_triton.rows_of(target_relation) -%}
  {%- endif -%}

  {{ dbt_triton.run_model_hooks(post_hooks, inside_transaction=true) }}
  {%- do apply_grants(target_relation, config.get('grants'), should_revoke=should_revoke(existing_relation, full_refresh_mode=not adds)) -%}
  {%- do persist_docs(target_relation, model) -%}
  {#- DuckDB writes no comments into other databases. -#}
  {%- if comment and not dbt_triton.is_foreign(this.database) -%}{%- do dbt_triton.add_comment(target_relation, comment) -%}{%- endif -%}
  {% do adapter.commit() %}

  {{- dbt_triton.run_statements(clean_up) -}}
  {{ dbt_triton.run_model_hooks(post_hooks, inside_transaction=false) }}
  {{- return({'relation': target_relation, 'rows': rows}) -}}
{%- endmacro %}


{#- The table of this model is what would be built. Returns a map of `relation` and `rows`. -#}
{% macro leave_table(clean_up) -%}
  {%- set target_relation = this.incorporate(type='table') -%}
  {%- do dbt_triton.begin_transaction() -%}
  {%- set rows = dbt_triton.rows_of(target_relation) -%}
  {%- do persist_docs(target_relation, model) -%}
  {%- do adapter.commit() -%}
  {{- dbt_triton.run_statements(clean_up) -}}
  {{- return({'relation': target_relation, 'rows': rows}) -}}
{%- endmacro %}


{% macro rows_of(relation) -%}
  {{- return(run_query('select count(*) from ' ~ relation).columns[0].values()[0] | int) -}}
{%- endmacro %}


{% macro run_statements(statements) -%}
  {%- for sql in statements -%}
    {%- call statement('dbt_triton_clean_up', auto_begin=False) -%} {{ sql }} {%- endcall -%}
  {%- endfor -%}
{%- endmacro %}


{#- What the docs show of a relation: its description where persist_docs keeps one, and more. -#}
{% macro add_comment(relation, comment) -%}
  {%- set described = config.persist_relation_docs() and model.description -%}
  {%- set text = (model.description ~ '\n\n' if described else '') ~ comment -%}
  {%- call statement('dbt_triton_comment') -%}
    comment on table {{ relation }} is {{ dbt_triton.sql_text(text) }}
  {%- endcall -%}
{%- endmacro %}


{#- Begin a transaction, where the warehouse has them. -#}
{% macro begin_transaction() -%}
  {{- return(adapter.dispatch('begin_transaction', 'dbt_triton')()) -}}
{%- endmacro %}


{% macro default__begin_transaction() -%}
  {{- dbt_triton.refuse_warehouse() -}}
{%- endmacro %}


{#- dbt-duckdb 1.10 logs a commit of nothing as an error. -#}
{% macro duckdb__begin_transaction() -%}
  {%- call statement('begin_build') -%} select 1 {%- endcall -%}
{%- endmacro %}


{% macro spark__begin_transaction() -%}{%- endmacro %}


{#- Make a table of a SELECT, in place of what is there. The old one stays where that fails. -#}
{% macro make_table(existing_relation, target_relation, build_sql) -%}
  {{- return(adapter.dispatch('make_table', 'dbt_triton')(existing_relation, target_relation, build_sql)) -}}
{%- endmacro %}


{% macro default__make_table(existing_relation, target_relation, build_sql) -%}
  {{- dbt_triton.refuse_warehouse() -}}
{%- endmacro %}


{#-
  `create or replace` rather than a rename swap: with four threads, the swap's look at duckdb_indexes() fails while a
  neighbour drops its backup.
-#}
{% macro duckdb__make_table(existing_relation, target_relation, build_sql) -%}
  {%- if existing_relation is not none and not existing_relation.is_table -%}
    {%- do dbt_triton.begin_transaction() -%}
    {%- do adapter.drop_relation(existing_relation) -%}
  {%- endif -%}
  {%- call statement('main') -%}
    {% if config.get('contract').enforced -%}
      create or replace table {{ target_relation }} {{ get_table_columns_and_constraints() }} ;
      insert into {{ target_relation }} {{ get_column_names() }} (
        {{ get_select_subquery(build_sql) }}
      );
    {%- else -%}
      create or replace table {{ target_relation }} as (
        {{ build_sql }}
      );
    {%- endif %}
  {%- endcall -%}
  {%- do create_indexes(target_relation) -%}
{%- endmacro %}
