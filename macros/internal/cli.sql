{#- What the command `dbt-triton` is told of the project: every inference model, rendered, as one line of JSON. -#}
{% macro print_inference_models() -%}
  {%- if not execute -%}{{- return('') -}}{%- endif -%}
  {%- set models = [] -%}
  {%- for node in dbt_triton.nodes_of(['inference_model']) -%}
    {%- set meta = (node.config.get('meta') or {}).get('inference_model') -%}
    {%- do models.append({
      'name': node.name,
      'alias': node.alias,
      'version': node.get('version'),
      'is_latest': dbt_triton.is_latest(node),
      'file': node.original_file_path,
      'meta': meta,
      'sql': dbt_triton.create_model(node) if meta else render(node.raw_code),
    }) -%}
  {%- endfor -%}
  {%- set callers = {} -%}
  {%- for node in dbt_triton.nodes_of(['ml_predict']) -%}
    {%- set asked = [] -%}
    {%- for unique_id in node.depends_on.nodes if unique_id in graph.nodes and graph.nodes[unique_id].config.materialized == 'inference_model' -%}
      {%- do asked.append(graph.nodes[unique_id].name) -%}
    {%- endfor -%}
    {%- do callers.update({node.name: asked}) -%}
  {%- endfor -%}
  {%- do print('dbt_triton_models ' ~ tojson({
    'package_version': dbt_triton.package_version(),
    'endpoint': var('dbt_triton_endpoint', none),
    'variables': dbt_triton.option_variables(),
    'models': models,
    'callers': callers,
  })) -%}
{%- endmacro %}
