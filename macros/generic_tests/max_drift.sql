{#-
  The population stability index (PSI) of a column of predictions is at most so much.

  It is measured against the run before the last one, by its profile in ml_predict_runs, or against a column of a relation.
  Numbers are compared in bins of the baseline's quantiles, other values one by one; NULL is a bin of its own. A share of
  less than 0.0001 counts as 0.0001. Without anything to compare, or with no row, the test passes.
-#}
{% test max_drift(model, at_most=0.25, column_name=none, predicted=none, baseline=none, baseline_column=none, output=none, call=none, bins=10, kind=none) %}
  {{ config(fail_calc='coalesce(max(dbt_failures), 0)') }}
  {{- dbt_triton.drift_sql(model, at_most, dbt_triton.tested_column('max_drift', predicted, column_name), baseline, baseline_column, output, call, bins, kind) -}}
{% endtest %}
