{#- SHOW MODELS: every inference model of the project, and what its table says. -#}
{% macro show_models() -%}
  {%- set shown = ['provider', 'endpoint', 'model_name', 'model_version', 'served_version', 'checked_at'] -%}
  {%- set rows = [] -%}
  {%- for node in dbt_triton.nodes_of(['inference_model']) -%}
    {%- set relation = dbt_triton.built_relation(node) -%}
    {%- set name = dbt_triton.sql_text(dbt_triton.label_of(node)) -%}
    {%- if relation -%}
      {%- do rows.append('select ' ~ name ~ ' as model, ' ~ shown | join(', ') ~ ', true as built from ' ~ relation) -%}
    {%- else -%}
      {#- Named here as well: the first of the rows names the columns of all. -#}
      {%- do rows.append('select ' ~ name ~ ' as model, null as ' ~ shown | join(', null as ') ~ ', false as built') -%}
    {%- endif -%}
  {%- endfor -%}
  {%- do dbt_triton.print_rows(rows, 'there is no inference model in this project') -%}
{%- endmacro %}


{#- DESCRIBE MODEL: the metadata row of one inference model, a line a column. -#}
{% macro describe_model(name=none) -%}
  {%- set node = dbt_triton.node_named(name, ['inference_model']) -%}
  {%- set relation = dbt_triton.built_relation(node) -%}
  {%- if not relation -%}
    {%- set label = dbt_triton.label_of(node) -%}
    {%- do exceptions.raise_compiler_error(label ~ ' is not built: run `dbt build -s ' ~ label ~ '`') -%}
  {%- endif -%}
  {%- set found = run_query('select * from ' ~ relation) -%}
  {%- for column in found.columns -%}
    {%- do print(column.name ~ ': ' ~ (column.values()[0] if column.values()[0] is not none else '')) -%}
  {%- endfor -%}
{%- endmacro %}


{#- DROP MODEL: drop the table of one inference model. Its predictions stay. -#}
{% macro drop_model(name=none) -%}
  {%- set node = dbt_triton.node_named(name, ['inference_model']) -%}
  {%- set relation = dbt_triton.built_relation(node) -%}
  {%- if relation -%}
    {%- do dbt_triton.drop_table(relation) -%}
    {#- Looking for the relation has begun a transaction. -#}
    {%- do adapter.commit() -%}
    {%- do print('dropped ' ~ relation) -%}
  {%- else -%}
    {%- do print(dbt_triton.label_of(node) ~ ' is not built') -%}
  {%- endif -%}
{%- endmacro %}


{#- The models of the project that have one of these materializations, by name. -#}
{% macro nodes_of(materializations) -%}
  {%- set found = [] -%}
  {%- for node in graph.nodes.values() | sort(attribute='unique_id')
      if node.resource_type == 'model' and node.config.materialized in materializations -%}
    {%- do found.append(node) -%}
  {%- endfor -%}
  {{- return(found) -}}
{%- endmacro %}


{#- A model's name in lists and for `dbt build -s`, with the version where it has several: `m.v1`. -#}
{% macro label_of(node) -%}
  {#- dbt leaves out what a node has not. -#}
  {{- return(node.name ~ ('.v' ~ node.version if node.get('version') is not none else '')) -}}
{%- endmacro %}


{#- Whether a name means the latest version of several, as `ref` has it; a model without versions is the latest. -#}
{% macro is_latest(node) -%}
  {{- return(node.get('version') is none or node.version | string == node.latest_version | string) -}}
{%- endmacro %}


{#-
  Those of some models that a user's word means: by the name, which is that of the latest version, else by a version (`m.v1`,
  `m_v1`), else by the alias. Names are compared without their case.
-#}
{% macro nodes_called(nodes, name) -%}
  {%- set wanted = name | string | trim | lower -%}
  {%- if name is none or not wanted -%}
    {%- do exceptions.raise_compiler_error("say which model: --args '{name: my_model}'") -%}
  {%- endif -%}
  {%- set by_name, by_version, by_alias = [], [], [] -%}
  {%- for node in nodes -%}
    {%- if wanted == node.name | lower and dbt_triton.is_latest(node) -%}
      {%- do by_name.append(node) -%}
    {%- elif node.get('version') is not none and wanted in [dbt_triton.label_of(node) | lower, (node.name ~ '_v' ~ node.version) | lower] -%}
      {%- do by_version.append(node) -%}
    {%- elif wanted == node.alias | lower -%}
      {%- do by_alias.append(node) -%}
    {%- endif -%}
  {%- endfor -%}
  {{- return(by_name or by_version or by_alias) -}}
{%- endmacro %}


{#- One of them; an error names the others. -#}
{% macro node_named(name, materializations) -%}
  {%- set nodes = dbt_triton.nodes_of(materializations) -%}
  {%- set found = dbt_triton.nodes_called(nodes, name) -%}
  {%- set known = [] -%}
  {%- for node in found or nodes -%}{%- do known.append(dbt_triton.label_of(node)) -%}{%- endfor -%}
  {%- if not found -%}
    {%- do exceptions.raise_compiler_error(
      'no model called ' ~ name ~ ' is materialized as ' ~ materializations | join(' or ') ~ '; there are: ' ~ (known | join(', ') or 'none')
    ) -%}
  {%- elif found | length > 1 -%}
    {%- do exceptions.raise_compiler_error(name ~ ' is the name or alias of several models: ' ~ known | join(', ')) -%}
  {%- endif -%}
  {{- return(found[0]) -}}
{%- endmacro %}


{% macro built_relation(node) -%}
  {{- return(adapter.get_relation(node.database, node.schema, node.alias)) -}}
{%- endmacro %}


{#- Print the rows of several SELECTs as one table. -#}
{% macro print_rows(selects, otherwise) -%}
  {%- if selects -%}
    {%- do run_query(selects | join('\nunion all\n')).print_table(max_rows=none, max_columns=none, max_column_width=none) -%}
  {%- else -%}
    {%- do print(otherwise) -%}
  {%- endif -%}
{%- endmacro %}
