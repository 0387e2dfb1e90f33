{#-
  The metrics of a built table as one row, to stand in a FROM clause: `select * from {{ dbt_triton.evaluate(ref('t'), 'p', 'a', 'classification') }}`.

  Args:
    relation: with the predictions and the labels.
    predicted, actual: the names of their columns.
    task: `classification` or `regression`.
    where: SQL that chooses rows.
    error: the column that says why a row failed, whose prediction then counts as missing.
    score, positive: the column with the probability of a class, and that class; without it, the later one of two.
-#}
{% macro evaluate(relation, predicted, actual, task, where=none, error=none, score=none, positive=none) -%}
  {%- if task not in ['classification', 'regression'] -%}
    {%- do exceptions.raise_compiler_error("task of evaluate: write 'classification' or 'regression', not '" ~ task ~ "'") -%}
  {%- elif score is not none and task == 'regression' -%}
    {%- do exceptions.raise_compiler_error('evaluate: a regression has no score') -%}
  {%- elif positive is not none and score is none -%}
    {%- do exceptions.raise_compiler_error('positive of evaluate is the class of a score, and there is no score') -%}
  {%- endif -%}
  {{- return(dbt_triton.metrics_of(
    task,
    relation if where is none else '(select * from ' ~ relation ~ ' where ' ~ where ~ '\n)',
    dbt_triton.quoted(predicted),
    dbt_triton.quoted(actual),
    'false' if error is none else dbt_triton.quoted(error) ~ ' is not null',
    none if score is none else dbt_triton.quoted(score),
    none if positive is none else dbt_triton.sql_text(positive | string)
  )) -}}
{%- endmacro %}
