{#-
  The newest prediction is not older than so many minutes, hours or days, as dbt has it for sources.

  Its age is that of the last run of the tested model that succeeded, by ml_predict_runs, or of the newest value of a
  column of times. A model that has never predicted fails.
-#}
{% test prediction_freshness(model, count, period='hour', timestamp=none, column_name=none) %}
  {{ config(fail_calc='coalesce(max(dbt_failures), 0)') }}
  {{- dbt_triton.freshness_sql(model, count, period, timestamp or dbt_triton.plain_name(column_name)) -}}
{% endtest %}
