{#-
  The run log: a relation with one row for each ML_PREDICT call of a build. Its columns are in docs/runs.md.

  It is in the target's own database and schema, unless dbt_triton_runs_schema names another schema, for all models
  alike. None where `dbt_triton_runs: false` says that none is written.
-#}
{% macro runs_relation() -%}
  {%- if not dbt_triton.writes_runs() -%}{{- return(none) -}}{%- endif -%}
  {%- set place = dbt_triton.runs_place() -%}
  {#- dbt puts quotes around each name, and does not double those within. -#}
  {{- return(api.Relation.create(
    database=dbt_triton.within_quotes(place.database),
    schema=dbt_triton.within_quotes(place.schema),
    identifier=dbt_triton.within_quotes(place.identifier),
  )) -}}
{%- endmacro %}


{#- Where the run log is: a map of `database`, `schema` and `identifier`. -#}
{% macro runs_place() -%}
  {{- return({
    'database': dbt_triton.name_in_variable('dbt_triton_runs_database') or target.database or none,
    'schema': dbt_triton.name_in_variable('dbt_triton_runs_schema') or target.schema,
    'identifier': dbt_triton.name_in_variable('dbt_triton_runs_name') or 'ml_predict_runs',
  }) -}}
{%- endmacro %}


{#- A name that a variable says; none where it says none. On the command line a name of digits is a number. -#}
{% macro name_in_variable(variable) -%}
  {%- set said = var(variable, none) -%}
  {%- if said is none or said is string or (said is number and said is not boolean) -%}
    {{- return(none if said is none else said | string) -}}
  {%- endif -%}
  {%- do exceptions.raise_compiler_error('the variable ' ~ variable ~ ' must be a name, not ' ~ said) -%}
{%- endmacro %}


{#- Whether a run log is written. The value may be a text, such as one of the environment. -#}
{% macro writes_runs() -%}
  {%- set said = var('dbt_triton_runs', true) | string | trim | lower -%}
  {%- if said not in ['true', 'false', 'none', ''] -%}
    {%- do exceptions.raise_compiler_error("the variable dbt_triton_runs must be true or false") -%}
  {%- endif -%}
  {{- return(said != 'false') -}}
{%- endmacro %}


{#-
  What a step is told of the run log; none where none is written. A build with --empty predicts nothing: to the tests of
  freshness and drift it would be a run.
-#}
{% macro run_log_arguments() -%}
  {%- if not dbt_triton.writes_runs() or flags.EMPTY -%}{{- return(none) -}}{%- endif -%}
  {%- set place = dbt_triton.runs_place() -%}
  {%- do place.update({'invocation_id': invocation_id, 'relation': this | string}) -%}
  {{- return(place) -}}
{%- endmacro %}
