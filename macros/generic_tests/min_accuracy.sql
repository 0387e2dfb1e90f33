{#-
  At least so many of the predictions are right, as a ratio from 0 to 1.

  A row whose label is NULL does not count. A prediction that is NULL, or of a row that failed, is wrong. A table without
  labels passes, unless `at_least_rows` says how many there must be.
-#}
{% test min_accuracy(model, actual, at_least, predicted=none, column_name=none, at_least_rows=0, error='ml_error') %}
  {{ config(fail_calc='coalesce(max(dbt_failures), 0)') }}
  {%- do dbt_triton.check_test_ratio('min_accuracy', 'at_least', at_least) -%}
  {{- dbt_triton.accuracy_sql(model, dbt_triton.tested_column('min_accuracy', predicted, column_name), actual, at_least, at_least_rows, error) -}}
{% endtest %}
