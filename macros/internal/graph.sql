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


{#- The predicting models of this invocation that need the current inference model: dbt skips them if it cannot be built. -#}
{% macro waiting_models() -%}
  {%- set found = [] -%}
  {%- for unique_id in selected_resources if unique_id in graph.nodes -%}
    {%- set node = graph.nodes[unique_id] -%}
    {%- if dbt_triton.predicts(node) and model.unique_id in node.depends_on.nodes -%}{%- do found.append(unique_id) -%}{%- endif -%}
  {%- endfor -%}
  {{- return(found) -}}
{%- endmacro %}


{#- Whether a node may predict: a model with ML_PREDICT, or one in Python, of which nobody knows what it does. -#}
{% macro predicts(node) -%}
  {{- return(node.resource_type == 'model' and (node.config.materialized == 'ml_predict' or node.language == 'python')) -}}
{%- endmacro %}
