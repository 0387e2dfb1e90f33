{#-
  A SELECT with ML_PREDICT calls becomes a table.

  The order matters: the predictions are made before the transaction begins (a transaction would not see what a
  second cursor commits), and the table is made within it. A pre-hook is committed before the predictions, which
  must see what it built; a later failure does not roll it back.
-#}
{% materialization ml_predict, adapter='duckdb', supported_languages=['sql'] %}
  {%- set args = dbt_triton.step_arguments() -%}
  {%- do args.update({
    'meta': config.get('meta', {}).get('ml_predict'),
    'store': {'database': this.database, 'schema': this.schema, 'identifier': this.identifier ~ '__ml_predictions'},
    'models': dbt_triton.upstream_inference_models(),
    'full_refresh': should_full_refresh(),
  }) -%}

  {{ dbt_triton.run_hooks_before_step() }}

  {%- call statement('dbt_triton_plan', language='python') -%}
    {{- dbt_triton.python_step('plan', args) -}}
  {%- endcall -%}
  {%- set plan = dbt_triton.step_result() -%}
  {{ dbt_triton.check_columns(plan.check_sql) }}

  {%- do args.update({'secrets': dbt_triton.literal_secrets(plan.needs_secrets)}) -%}
  {%- call statement('dbt_triton_predict', language='python') -%}
    {{- dbt_triton.python_step('predict', args) -}}
  {%- endcall -%}
  {%- set result = dbt_triton.step_result() -%}

  {%- set target_relation = dbt_triton.build_table(result.build_sql, clean_up=result.clean_up) -%}
  {%- set rows = run_query('select count(*) from ' ~ target_relation).columns[0].values()[0] | int -%}
  {%- set figures = result.figures -%}
  {%- set message = 'ML_PREDICT ' ~ '{:,}'.format(rows) ~ ' rows, ' ~ '{:,}'.format(figures.requests) ~ (' request, ' if figures.requests == 1 else ' requests, ')
    ~ '{:,}'.format(figures.retries) ~ ' retries, ' ~ '{:.1f}'.format(figures.seconds) ~ ' s'
    ~ (', ' ~ '{:,}'.format(figures.rows_failed) ~ ' rows failed' if figures.rows_failed else '') -%}
  {{ store_raw_result('main', message=message, code=tojson(figures), rows_affected=rows) }}
  {{ return({'relations': [target_relation]}) }}
{% endmaterialization %}
