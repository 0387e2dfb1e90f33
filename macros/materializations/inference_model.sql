{#- A CREATE MODEL statement, or meta.inference_model, becomes a one-row table of metadata. -#}
{% materialization inference_model, default, supported_languages=['sql'] %}
  {%- do dbt_triton.check_connection() -%}
  {%- do dbt_triton.recover_table() -%}
  {%- set args = dbt_triton.step_arguments() -%}
  {%- do args.update({
    'meta': config.get('meta', {}).get('inference_model'),
    'waiting': dbt_triton.waiting_models(),
  }) -%}
  {%- if dbt_triton.is_dry_run() or var('dbt_triton_tune', false) -%}{%- do args.update({'runs': none}) -%}{%- endif -%}

  {{ dbt_triton.run_before_step() }}

  {#- Not called 'main': dbt writes the text of that statement to target/run, and a literal token may be in it. -#}
  {%- call statement('dbt_triton_model', language='python') -%}
    {{- dbt_triton.python_step('build_inference_model', args) -}}
  {%- endcall -%}
  {%- set result = dbt_triton.step_result() -%}
  {%- do dbt_triton.warn_of_misplaced(result.misplaced, 'WITH (…), or meta.inference_model') -%}
  {%- do dbt_triton.warn_of_not_needed(result.not_needed) -%}
  {%- do dbt_triton.warn_of(result.warnings) -%}

  {%- if config.get('contract').enforced -%}{{ dbt_triton.check_columns(result.build_sql) }}{%- endif -%}
  {%- set built = dbt_triton.build_table(result.build_sql, adds=false, comment=result.comment) -%}
  {{ store_raw_result('main', message=result.message, code='SUCCESS', rows_affected=1) }}
  {{ return({'relations': [built.relation]}) }}
{% endmaterialization %}
