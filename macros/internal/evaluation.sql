{#-
  The SQL of metrics. It is the same as dbt_triton/warehouses/evaluation.py writes for ML_EVALUATE, and a test compares the two.

  `predicted`, `actual`, `score` and `failed` are SQL; `positive` is the literal of a text.
-#}
{% macro metrics_of(task, rows, predicted, actual, failed='false', score=none, positive=none) -%}
  {%- set text = dbt_triton.text_type() -%}
  {%- set keys = {'accuracy': 'Accuracy', 'precision': 'Precision', 'recall': 'Recall', 'f1': 'F1'} -%}
  {%- set more = ['precision_weighted', 'recall_weighted', 'f1_weighted'] -%}
  {%- if task == 'regression' -%}
    {%- set keys, more = {'mae': 'MAE', 'mse': 'MSE', 'rmse': 'RMSE', 'mape': 'MAPE', 'r2': 'R²'}, [] -%}
  {%- endif -%}
  {%- set columns, pairs = ["cast('" ~ task ~ "' as " ~ text ~ ") as task"], [] -%}
  {%- for name in ['rows', 'rows_evaluated', 'rows_without_label', 'rows_without_prediction', 'rows_failed'] -%}
    {%- do columns.append('cast(coalesce(m.' ~ name ~ ', 0) as bigint) as ' ~ name) -%}
  {%- endfor -%}
  {%- for name in (keys | list) + more -%}
    {%- do columns.append('cast(m.' ~ name ~ ' as double) as ' ~ name) -%}
  {%- endfor -%}
  {%- for name, key in keys.items() -%}
    {%- do pairs.append(["'" ~ key ~ "'", 'cast(m.' ~ name ~ ' as double)']) -%}
  {%- endfor -%}
  {%- set read = '(select case when ' ~ failed ~ ' then null else ' ~ predicted ~ ' end as predicted, ' ~ actual ~ ' as actual, '
    ~ 'case when ' ~ failed ~ ' then 1 else 0 end as failed from ' ~ rows ~ ' as measured_rows) as measured' -%}
  {%- set beside = '' -%}
  {%- if score is not none -%}
    {%- do columns.append('cast(s.auc as double) as auc') -%}
    {%- do columns.append('cast(s.log_loss as double) as log_loss') -%}
    {%- set scored = '(select ' ~ actual ~ ' as actual, case when ' ~ failed ~ ' then null else ' ~ score ~ ' end as score from '
      ~ rows ~ ' as measured_rows) as measured' -%}
    {%- set is_positive, other = 'actual = highest', 'case when actual = lowest or actual = highest then 0 else 1 end' -%}
    {%- if positive is not none -%}{%- set is_positive, other = 'cast(actual as ' ~ text ~ ') = ' ~ positive, '0' -%}{%- endif -%}
    {%- set beside = ' cross join (' ~ dbt_triton.scores_of(scored, is_positive, other) ~ ') as s' -%}
  {%- endif -%}
  {%- set inner = dbt_triton.regression_of(read) if task == 'regression' else dbt_triton.classification_of(read) -%}
  {{- return('(select ' ~ columns | join(', ') ~ ', ' ~ dbt_triton.map_of(pairs) ~ ' as result from (' ~ inner ~ ') as m' ~ beside ~ ')') -}}
{%- endmacro %}


{% macro classification_of(rows) -%}
  {%- set sql -%}
select sum(n) as rows, sum(support) as rows_evaluated, sum(n) - sum(support) as rows_without_label,
sum(missing) as rows_without_prediction, sum(failed) as rows_failed,
sum(hits) / cast(nullif(sum(support), 0) as double) as accuracy,
avg(class_precision) as precision, avg(class_recall) as recall, avg(class_f1) as f1,
sum(class_precision * support) / nullif(sum(support), 0) as precision_weighted,
sum(class_recall * support) / nullif(sum(support), 0) as recall_weighted,
sum(class_f1 * support) / nullif(sum(support), 0) as f1_weighted
from (select n, support, missing, failed, hits,
case when class is not null then coalesce(hits / cast(nullif(given, 0) as double), 0) end as class_precision,
case when class is not null then coalesce(hits / cast(nullif(support, 0) as double), 0) end as class_recall,
case when class is not null then 2 * hits / cast(given + support as double) end as class_f1
from (select class, sum(case when side = 1 then n else 0 end) as n,
sum(case when side = 1 then failed else 0 end) as failed,
sum(case when side = 1 and actual is not null then n else 0 end) as support,
sum(case when side = 1 and actual is not null and predicted is null then n else 0 end) as missing,
sum(case when side = 2 and actual is not null and predicted is not null then n else 0 end) as given,
sum(case when side = 1 and predicted = actual then n else 0 end) as hits
from (select predicted, actual, failed, n, side,
case when actual is not null then case when side = 1 then actual else predicted end end as class
from (select predicted, actual, sum(failed) as failed, count(*) as n from {{ rows }} group by predicted, actual)
as pairs cross join (select 1 as side union all select 2 as side) as sides) as both_sides
group by class) as classes) as by_class
  {%- endset -%}
  {{- return(sql) -}}
{%- endmacro %}


{% macro regression_of(rows) -%}
  {#- What is larger, its square is no number any more. -#}
  {%- set largest = '1e140' -%}
  {%- set sql -%}
select count(*) as rows, count(difference) as rows_evaluated, count(*) - count(actual) as rows_without_label,
count(actual) - count(difference) as rows_without_prediction, coalesce(sum(failed), 0) as rows_failed,
avg(abs(difference)) as mae, avg(difference * difference) as mse, sqrt(avg(difference * difference)) as rmse,
avg(abs(difference) / greatest(abs(actual), 2.220446049250313e-16)) as mape,
case when count(difference) < 2 then null
when var_pop(case when difference is not null then actual end) = 0
then case when avg(difference * difference) = 0 then 1 else 0 end
else 1 - avg(difference * difference) / var_pop(case when difference is not null then actual end) end as r2
from (select actual, failed, predicted - actual as difference
from (select case when predicted between -{{ largest }} and {{ largest }} then predicted end as predicted,
case when actual between -{{ largest }} and {{ largest }} then actual end as actual, failed
from (select cast(predicted as double) as predicted, cast(actual as double) as actual, failed from {{ rows }})
as doubles) as numbers) as differences
  {%- endset -%}
  {{- return(sql) -}}
{%- endmacro %}


{% macro scores_of(rows, positive, other) -%}
  {%- set largest, epsilon = '1.7976931348623157e308', '2.220446049250313e-16' -%}
  {%- set sql -%}
select case when min(positives) > 0 and min(negatives) > 0 and max(other) = 0 then
(sum(case when is_positive then place end) - min(positives) * (min(positives) + 1) / 2)
/ (min(positives) * min(negatives)) end as auc,
case when min(positives) > 0 and min(negatives) > 0 and max(other) = 0 and min(score) >= 0 and max(score) <= 1
then -avg(ln(least(greatest(case when is_positive then score else 1 - score end, {{ epsilon }}), 1 - {{ epsilon }})))
end as log_loss from (select is_positive, other, score,
cast(sum(case when is_positive then 1 else 0 end) over () as double) as positives,
cast(sum(case when is_positive then 0 else 1 end) over () as double) as negatives,
rank() over (order by score) + (count(*) over (partition by score) - 1) / cast(2 as double) as place
from (select score, {{ positive }} as is_positive, {{ other }} as other
from (select actual, score, min(actual) over () as lowest, max(actual) over () as highest
from (select actual, cast(score as double) as score from {{ rows }}) as scored
where actual is not null and score between -{{ largest }} and {{ largest }}) as bounded) as sides) as places
  {%- endset -%}
  {{- return(sql) -}}
{%- endmacro %}


{#- What texts are called. -#}
{% macro text_type() -%}
  {{- return(adapter.dispatch('text_type', 'dbt_triton')()) -}}
{%- endmacro %}


{% macro default__text_type() -%}
  {{- dbt_triton.refuse_warehouse() -}}
{%- endmacro %}


{% macro duckdb__text_type() -%}
  {{- return('varchar') -}}
{%- endmacro %}


{% macro spark__text_type() -%}
  {{- return('string') -}}
{%- endmacro %}


{#- A map of pairs of SQL: keys and values. -#}
{% macro map_of(pairs) -%}
  {{- return(adapter.dispatch('map_of', 'dbt_triton')(pairs)) -}}
{%- endmacro %}


{% macro default__map_of(pairs) -%}
  {{- dbt_triton.refuse_warehouse() -}}
{%- endmacro %}


{% macro duckdb__map_of(pairs) -%}
  {%- set written = [] -%}
  {%- for key, value in pairs -%}{%- do written.append(key ~ ': ' ~ value) -%}{%- endfor -%}
  {{- return('map {' ~ written | join(', ') ~ '}') -}}
{%- endmacro %}


{% macro spark__map_of(pairs) -%}
  {%- set written = [] -%}
  {%- for key, value in pairs -%}{%- do written.append(key ~ ', ' ~ value) -%}{%- endfor -%}
  {{- return('map(' ~ written | join(', ') ~ ')') -}}
{%- endmacro %}
