{#- Of this release; the Python package compares it with its own. -#}
{% macro package_version() -%}
  {{- return('0.1.0') -}}
{%- endmacro %}


{#- What every step is told. -#}
{% macro step_arguments() -%}
  {{- return({
    'package_version': dbt_triton.package_version(),
    'name': model.name,
    'alias': model.alias,
    'version': model.get('version'),
    'file': model.original_file_path,
    'sql': sql,
    'endpoint': var('dbt_triton_endpoint', none),
    'variables': dbt_triton.option_variables(),
    'config': model.config.keys() | list,
    'debug': flags.LOG_LEVEL == 'debug' or flags.DEBUG | default(false),
  }) -}}
{%- endmacro %}


{#-
  The Python of a step. The arguments stand on a line of their own, as JSON within a string: dbt-duckdb prints source
  lines with a traceback, and quoted identifiers would break plain interpolation.
-#}
{% macro python_step(function, args) -%}
ARGUMENTS = {{ tojson(tojson(args)) }}

try:
    from dbt_triton.step import {{ function }} as step
except ImportError as error:
    problem = str(error).replace("'", "")

    def step(arguments, session):
        session.execute(
            "set variable dbt_triton_result = '{\"error\": \"the dbt package dbt_triton needs its Python package in "
            "the environment of dbt: run `pip install dbt-triton=={{ dbt_triton.package_version() }}` ("
            + problem.replace('"', "").replace("\\", "/")
            + ")\"}'"
        )


class dbtObj:
    def __init__(self, load_df_function):
        pass


def model(dbt, session):
    step(ARGUMENTS, session)


def materialize(result, session):
    pass
{%- endmacro %}


{#- What a step left in the session; its error is raised here, as one message without a traceback. -#}
{% macro step_result() -%}
  {%- set result = fromjson(run_query("select getvariable('dbt_triton_result')").columns[0].values()[0]) -%}
  {%- if result.error is defined -%}
    {{- exceptions.raise_compiler_error(result.error) -}}
  {%- endif -%}
  {{- return(result) -}}
{%- endmacro %}


{#- Options that stand where nobody reads them. -#}
{% macro warn_of_misplaced(options, place) -%}
  {%- for option in options -%}
    {%- do exceptions.warn(
      model.name ~ ': the config ' ~ option ~ ' is not read; the option ' ~ option | replace('_', '-') ~ ' belongs into ' ~ place
    ) -%}
  {%- endfor -%}
{%- endmacro %}


{#- Options of Flink's that do nothing here: one warning for all of them. -#}
{% macro warn_of_not_needed(reasons) -%}
  {%- if reasons -%}
    {%- do exceptions.warn(model.name ~ ': accepted, and not needed here: ' ~ reasons | join('; ')) -%}
  {%- endif -%}
{%- endmacro %}


{#- The inference models that the current model refers to, with every relation by which SQL may name them. -#}
{% macro upstream_inference_models() -%}
  {%- set found = [] -%}
  {%- for unique_id in model.depends_on.nodes if unique_id in graph.nodes -%}
    {%- set node = graph.nodes[unique_id] -%}
    {%- if node.config.materialized == 'inference_model' -%}
      {%- set relations = [node.relation_name] -%}
      {#- With --defer the relation in the SQL is the other environment's. -#}
      {%- if node.defer_relation -%}{%- do relations.append(node.defer_relation.relation_name) -%}{%- endif -%}
      {%- set name = node.name if dbt_triton.is_latest(node) else dbt_triton.label_of(node) -%}
      {%- do found.append({'unique_id': unique_id, 'name': name, 'relations': relations}) -%}
    {%- endif -%}
  {%- endfor -%}
  {{- return(found) -}}
{%- endmacro %}


{#- The definitions of nodes whose literal secrets are not in their metadata rows. -#}
{% macro literal_secrets(unique_ids) -%}
  {%- set secrets = {} -%}
  {%- for unique_id in unique_ids -%}
    {%- set node = graph.nodes[unique_id] -%}
    {%- set meta = node.config.get('meta', {}).get('inference_model') -%}
    {%- if meta -%}
      {%- do secrets.update({unique_id: {'meta': meta}}) -%}
    {%- else -%}
      {#- compiled_code of a node that is not in this run is empty. -#}
      {%- do secrets.update({unique_id: {'sql': render(node.raw_code)}}) -%}
    {%- endif -%}
  {%- endfor -%}
  {{- return(secrets) -}}
{%- endmacro %}
