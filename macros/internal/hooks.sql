{#-
  What comes before a step: hooks, and then the sql_header, once for the plan, the step and the table, which share the session.

  The step commits whatever transaction is open then, so that it sees what the hooks built.
-#}
{% macro run_before_step(hooks=true) -%}
  {%- if hooks -%}
    {{ dbt_triton.run_model_hooks(pre_hooks, inside_transaction=false) }}
    {{ dbt_triton.run_model_hooks(pre_hooks, inside_transaction=true) }}
  {%- endif -%}
  {%- set header = config.get('sql_header', '') or '' -%}
  {%- if header | trim -%}
    {%- call statement('dbt_triton_header', auto_begin=False) -%} {{ header }} {%- endcall -%}
  {%- endif -%}
{%- endmacro %}


{#- Run those of a model's hooks that are to be within the transaction, or without one. -#}
{% macro run_model_hooks(hooks, inside_transaction) -%}
  {{- return(adapter.dispatch('run_model_hooks', 'dbt_triton')(hooks, inside_transaction)) -}}
{%- endmacro %}


{% macro default__run_model_hooks(hooks, inside_transaction) -%}
  {{- dbt_triton.refuse_warehouse() -}}
{%- endmacro %}


{% macro duckdb__run_model_hooks(hooks, inside_transaction) -%}
  {{ run_hooks(hooks, inside_transaction=inside_transaction) }}
{%- endmacro %}


{#- Of hooks outside of a transaction dbt-spark runs none, and dbt's own macro sends a COMMIT, which Spark does not know. -#}
{% macro spark__run_model_hooks(hooks, inside_transaction) -%}
  {%- for hook in hooks | selectattr('transaction', 'equalto', inside_transaction) -%}
    {%- set rendered = render(hook.get('sql')) | trim -%}
    {%- if rendered -%}
      {%- call statement(auto_begin=false) -%} {{ rendered }} {%- endcall -%}
    {%- endif -%}
  {%- endfor -%}
{%- endmacro %}
