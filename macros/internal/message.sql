{#-
  The console's line: the rows of the inputs, and what was done for them; the rows of the table where it has more or fewer,
  since the model filters, joins or aggregates.
-#}
{% macro predicted_message(figures, built, is_unchanged) -%}
  {%- set rows = built if figures.rows is none else figures.rows -%}
  {%- set parts = [
    'ML_PREDICT ' ~ dbt_triton.counted(rows, 'row', 'rows'),
    dbt_triton.counted(figures.requests, 'request', 'requests'),
    dbt_triton.counted(figures.retries, 'retry', 'retries'),
    '{:.1f}'.format(figures.seconds) ~ ' s',
  ] -%}
  {%- if figures.rows_failed -%}{%- do parts.append(dbt_triton.counted(figures.rows_failed, 'row', 'rows') ~ ' failed') -%}{%- endif -%}
  {%- if is_unchanged -%}
    {%- do parts.append('nothing new') -%}
  {%- elif figures.rows_reused -%}
    {%- do parts.append(dbt_triton.counted(figures.rows_reused, 'row', 'rows') ~ ' reused') -%}
  {%- endif -%}
  {%- if rows != built -%}{%- do parts.append(dbt_triton.counted(built, 'row', 'rows') ~ ' built') -%}{%- endif -%}
  {{- return(parts | join(', ')) -}}
{%- endmacro %}


{% macro counted(number, one, many) -%}
  {{- return('{:,}'.format(number) ~ ' ' ~ (one if number == 1 else many)) -}}
{%- endmacro %}
