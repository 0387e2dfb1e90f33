{#- Of this release; the Python package compares it with its own. -#}
{% macro package_version() -%}
  {{- return('0.1.0') -}}
{%- endmacro %}


{#- What every step is told. -#}
{% macro step_arguments() -%}
  {%- set arguments = dbt_triton.warehouse_arguments() -%}
  {%- do arguments.update({
    'adapter': adapter.type(),
    'unique_id': model.unique_id,
    'invocation_id': invocation_id,
    'package_version': dbt_triton.package_version(),
    'name': model.name,
    'alias': model.alias,
    'version': model.get('version'),
    'file': model.original_file_path,
    'sql': sql,
    'endpoint': var('dbt_triton_endpoint', none),
    'variables': dbt_triton.option_variables(),
    'memory': var('dbt_triton_memory', none),
    'config': model.config.keys() | list,
    'runs': dbt_triton.run_log_arguments(),
    'debug': flags.LOG_LEVEL == 'debug' or flags.DEBUG | default(false),
  }) -%}
  {{- return(arguments) -}}
{%- endmacro %}


{#- What a step is told of the table for this warehouse alone. -#}
{% macro warehouse_arguments() -%}
  {{- return(adapter.dispatch('warehouse_arguments', 'dbt_triton')()) -}}
{%- endmacro %}


{% macro default__warehouse_arguments() -%}
  {{- dbt_triton.refuse_warehouse() -}}
{%- endmacro %}


{% macro duckdb__warehouse_arguments() -%}
  {{- return({}) -}}
{%- endmacro %}


{#- A prediction store is kept as the table is. -#}
{% macro spark__warehouse_arguments() -%}
  {{- return({
    'relation': {'schema': this.schema, 'identifier': this.identifier},
    'file_format': config.get('file_format'),
    'location_root': config.get('location_root'),
  }) -}}
{%- endmacro %}


{#- The Python of a step, which is given its arguments as JSON. -#}
{% macro python_step(function, args) -%}
  {{- return(adapter.dispatch('python_step', 'dbt_triton')(function, args)) -}}
{%- endmacro %}


{% macro default__python_step(function, args) -%}
  {{- dbt_triton.refuse_warehouse() -}}
{%- endmacro %}


{#-
  The arguments stand on a line of their own, as JSON within a string: dbt-duckdb prints source lines with a traceback, and
  quoted identifiers would break plain interpolation.
-#}
{% macro duckdb__python_step(function, args) -%}
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


{#-
  Our own helper runs this text in dbt's process, where `spark` is the session and `parsed_model` the node as it is here. The
  arguments go by the node: dbt writes the text of Python jobs to dbt.log, and a literal token may be among the arguments.
-#}
{% macro spark__python_step(function, args) -%}
  {%- do model.config.update({'submission_method': 'dbt_triton', 'dbt_triton_arguments': tojson(args)}) -%}
ARGUMENTS = parsed_model["config"]["dbt_triton_arguments"]

try:
    from dbt_triton.step import {{ function }} as step
except ImportError as error:
    problem = str(error)

    def step(arguments, spark):
        import json

        said = (
            "the dbt package dbt_triton needs its Python package in the environment of dbt: run "
            "`pip install 'dbt-triton[spark]=={{ dbt_triton.package_version() }}'` (" + problem + ")"
        )
        result = spark.createDataFrame([(json.dumps({"error": said}),)], "result string")
        result.createOrReplaceTempView("{{ dbt_triton.result_view() }}")


step(ARGUMENTS, spark)
{%- endmacro %}


{#- What a step left in the session; its error is raised here, as one message without a traceback. -#}
{% macro step_result() -%}
  {%- set result = fromjson(dbt_triton.step_answer()) -%}
  {%- if result.error is defined -%}
    {{- exceptions.raise_compiler_error(result.error) -}}
  {%- endif -%}
  {{- return(result) -}}
{%- endmacro %}


{#- The JSON that a step has left. -#}
{% macro step_answer() -%}
  {{- return(adapter.dispatch('step_answer', 'dbt_triton')()) -}}
{%- endmacro %}


{% macro default__step_answer() -%}
  {{- dbt_triton.refuse_warehouse() -}}
{%- endmacro %}


{% macro duckdb__step_answer() -%}
  {{- return(run_query("select getvariable('dbt_triton_result')").columns[0].values()[0]) -}}
{%- endmacro %}


{#- All threads share the session. -#}
{% macro spark__step_answer() -%}
  {%- set view = dbt_triton.result_view() -%}
  {%- set answer = run_query('select result from ' ~ view).columns[0].values()[0] -%}
  {%- call statement('dbt_triton_answer', auto_begin=false) -%} drop view if exists {{ view }} {%- endcall -%}
  {{- return(answer) -}}
{%- endmacro %}


{#- The temporary view in which a step on Spark leaves its result. -#}
{% macro result_view() -%}
  {{- return('dbt_triton_result_' ~ local_md5(model.unique_id)[:12]) -}}
{%- endmacro %}
