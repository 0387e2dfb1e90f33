{#-
  The run log: a relation with one row for each ML_PREDICT call of a build. Its columns are in docs/runs.md.

  It is in the target's own database and schema, unless dbt_triton_runs_schema names another schema, for all models
  alike. None where `dbt_triton_runs: false` says that none is written.
-#}
{% macro runs_relation() -%}
  {%- if not dbt_triton.writes_runs() -%}{{- return(none) -}}{%- endif -%}
  {%- set place = dbt_triton.runs_place() -%}
  {{- return(api.Relation.create(database=place.database, schema=place.schema, identifier=place.identifier)) -}}
{%- endmacro %}


{#- Where the run log is: a map of `database`, `schema` and `identifier`. -#}
{% macro runs_place() -%}
  {%- set database = var('dbt_triton_runs_database', none) or target.database -%}
  {{- return({
    'database': database | string if database else none,
    'schema': (var('dbt_triton_runs_schema', none) or target.schema) | string,
    'identifier': (var('dbt_triton_runs_name', none) or 'ml_predict_runs') | string,
  }) -}}
{%- endmacro %}


{#- Whether a run log is written. The value may be a text, such as one of the environment. -#}
{% macro writes_runs() -%}
  {%- set said = var('dbt_triton_runs', true) | string | trim | lower -%}
  {%- if said not in ['true', 'false', 'none', ''] -%}
    {%- do exceptions.raise_compiler_error("the variable dbt_triton_runs must be true or false") -%}
  {%- endif -%}
  {{- return(said != 'false') -}}
{%- endmacro %}


{#- What a step is told of the run log; none where none is written. -#}
{% macro run_log_arguments() -%}
  {%- if not dbt_triton.writes_runs() -%}{{- return(none) -}}{%- endif -%}
  {%- set place = dbt_triton.runs_place() -%}
  {%- do place.update({'invocation_id': invocation_id, 'relation': this | string}) -%}
  {{- return(place) -}}
{%- endmacro %}
