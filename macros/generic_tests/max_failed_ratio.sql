{#-
  At most so many of the rows that were sent have failed, as a ratio from 0 to 1.

  A failed row is one whose column `ml_error` is not NULL (`on-error` = `null` adds it), or another column that says why.
  Beside a column, rows where both are NULL were not sent, and do not count. A table without the column is judged by
  ml_predict_runs: the last run of the tested model that succeeded.
-#}
{% test max_failed_ratio(model, at_most, column_name=none, error='ml_error') %}
  {{ config(fail_calc='coalesce(max(dbt_failures), 0)') }}
  {%- do dbt_triton.check_test_ratio('max_failed_ratio', 'at_most', at_most) -%}
  {{- dbt_triton.failed_ratio_sql(model, at_most, dbt_triton.plain_name(column_name), error) -}}
{% endtest %}
