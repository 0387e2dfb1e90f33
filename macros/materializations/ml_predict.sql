{#-
  A SELECT with ML_PREDICT calls becomes a table.

  The order matters: the predictions are made first, and then the table, within one transaction where the warehouse has
  them (it would not see what a second cursor of DuckDB commits). Each step first commits what is open: what a pre-hook did,
  or Jinja while the model was compiled. A later failure does not roll that back.

  One for every warehouse: what differs is dispatched. dbt lets nothing but a materialization itself call Python.
-#}
{% materialization ml_predict, default, supported_languages=['sql'] %}
  {%- do dbt_triton.check_connection() -%}
  {#- Refuses a strategy that cannot work before anything is done. -#}
  {%- set strategy = dbt_triton.incremental_strategy() -%}
  {%- if strategy -%}{%- do dbt_triton.check_strategy(strategy) -%}{%- endif -%}
  {%- set adds = dbt_triton.is_incremental() -%}
  {%- do dbt_triton.warn_of_is_incremental() -%}
  {%- set tuning = var('dbt_triton_tune', false) -%}
  {%- set dry_run = dbt_triton.is_dry_run() or tuning -%}
  {%- if not dry_run -%}{%- do dbt_triton.recover_table() -%}{%- endif -%}
  {%- set args = dbt_triton.step_arguments() -%}
  {%- do args.update({
    'meta': config.get('meta', {}).get('ml_predict'),
    'store': dbt_triton.store_place(this.database, this.schema, this.identifier),
    'models': dbt_triton.upstream_inference_models(),
    'full_refresh': should_full_refresh(),
  }) -%}
  {%- if dry_run -%}{%- do args.update({'runs': none}) -%}{%- endif -%}

  {{- dbt_triton.run_before_step(hooks=not dry_run) -}}
  {#- A hook may have dropped the table. What has come back since the SQL was compiled is made anew: it says all rows. -#}
  {%- set adds = adds and dbt_triton.is_incremental() -%}

  {%- call statement('dbt_triton_plan', language='python') -%}
    {{- dbt_triton.python_step('plan', args) -}}
  {%- endcall -%}
  {%- set plan = dbt_triton.step_result() -%}
  {%- do dbt_triton.warn_of_misplaced(plan.misplaced, 'MAP[…] of the call, or meta.ml_predict') -%}
  {%- do dbt_triton.warn_of_not_needed(plan.not_needed) -%}
  {{ dbt_triton.check_columns(plan.check_sql) }}
  {%- if not dry_run -%}{%- do dbt_triton.check_table(plan.check_sql) -%}{%- endif -%}
  {%- if strategy and config.get('unique_key') -%}{%- do dbt_triton.check_unique_key(plan.check_sql) -%}{%- endif -%}

  {%- do args.update({'secrets': dbt_triton.literal_secrets(plan.needs_secrets), 'target': dbt_triton.made_anew(args.store, adds)}) -%}
  {%- if dry_run -%}
    {%- call statement('dbt_triton_dry_run', language='python') -%}
      {{- dbt_triton.python_step('tune' if tuning else 'dry_run', args) -}}
    {%- endcall -%}
    {%- set would = dbt_triton.step_result() -%}
    {%- do dbt_triton.warn_of(would.warnings) -%}
    {{ store_raw_result('main', message=would.message, code=tojson(would.figures), rows_affected=0) }}
    {{ return({'relations': []}) }}
  {%- endif -%}

  {%- call statement('dbt_triton_predict', language='python') -%}
    {{- dbt_triton.python_step('predict', args) -}}
  {%- endcall -%}
  {%- set result = dbt_triton.step_result() -%}
  {%- do dbt_triton.warn_of(result.warnings) -%}
  {%- do dbt_triton.tell(result.notes) -%}

  {%- if result.unchanged -%}
    {%- set built = dbt_triton.leave_table(clean_up=result.clean_up) -%}
  {%- else -%}
    {%- set built = dbt_triton.build_table(result.build_sql, adds, clean_up=result.clean_up) -%}
  {%- endif -%}
  {%- if result.remember is mapping -%}
    {#- In Python, which can catch an error: it must fail no build. -#}
    {%- set noted = {} -%}
    {%- for name in ['package_version', 'adapter', 'unique_id', 'name', 'debug'] -%}{%- do noted.update({name: args[name]}) -%}{%- endfor -%}
    {%- do noted.update(result.remember) -%}
    {%- call statement('dbt_triton_note', language='python') -%}
      {{- dbt_triton.python_step('note', noted) -}}
    {%- endcall -%}
    {%- do dbt_triton.step_result() -%}
  {%- elif result.remember -%}
    {{- dbt_triton.run_statements(result.remember) -}}
  {%- endif -%}
  {%- if result.spared -%}
    {%- set used = {} -%}
    {%- for name in ['package_version', 'adapter', 'unique_id', 'name', 'debug'] -%}{%- do used.update({name: args[name]}) -%}{%- endfor -%}
    {%- call statement('dbt_triton_use_memory', language='python') -%}
      {{- dbt_triton.python_step('use_memory', used) -}}
    {%- endcall -%}
    {%- do dbt_triton.step_result() -%}
  {%- endif -%}
  {%- set figures = result.figures -%}
  {%- set message = dbt_triton.predicted_message(figures, built.rows, result.unchanged) -%}
  {{ store_raw_result('main', message=message, code=tojson(figures), rows_affected=built.rows) }}
  {{ return({'relations': [built.relation]}) }}
{% endmaterialization %}
