{#- SHOW MODELS: every inference model of the project, and what its table says. -#}
{% macro show_models() -%}
  {%- set shown = ['provider', 'endpoint', 'model_name', 'model_version', 'served_version', 'checked_at'] -%}
  {%- set rows = [] -%}
  {%- for node in dbt_triton.nodes_of(['inference_model']) -%}
    {%- set relation = dbt_triton.built_relation(node) -%}
    {%- set name = dbt_triton.sql_text(node.name) -%}
    {%- if relation -%}
      {%- do rows.append('select ' ~ name ~ ' as model, ' ~ shown | join(', ') ~ ', true as built from ' ~ relation) -%}
    {%- else -%}
      {%- do rows.append('select ' ~ name ~ ' as model, ' ~ (['null'] * shown | length) | join(', ') ~ ', false as built') -%}
    {%- endif -%}
  {%- endfor -%}
  {%- do dbt_triton.print_rows(rows, 'there is no inference model in this project') -%}
{%- endmacro %}


{#- DESCRIBE MODEL: the metadata row of one inference model, a line a column. -#}
{% macro describe_model(name) -%}
  {%- set node = dbt_triton.node_named(name, ['inference_model']) -%}
  {%- set relation = dbt_triton.built_relation(node) -%}
  {%- if not relation -%}
    {%- do exceptions.raise_compiler_error(name ~ ' is not built: run `dbt build -s ' ~ name ~ '`') -%}
  {%- endif -%}
  {%- set found = run_query('select * from ' ~ relation) -%}
  {%- for column in found.columns -%}
    {%- do print(column.name ~ ': ' ~ (column.values()[0] if column.values()[0] is not none else '')) -%}
  {%- endfor -%}
{%- endmacro %}


{#- DROP MODEL: drop the table of one inference model. Its predictions stay. -#}
{% macro drop_model(name) -%}
  {%- set node = dbt_triton.node_named(name, ['inference_model']) -%}
  {%- set relation = dbt_triton.built_relation(node) -%}
  {%- if relation -%}
    {%- do adapter.drop_relation(relation) -%}
    {#- Looking for the relation has begun a transaction. -#}
    {%- do adapter.commit() -%}
    {%- do print('dropped ' ~ relation) -%}
  {%- else -%}
    {%- do print(name ~ ' is not built') -%}
  {%- endif -%}
{%- endmacro %}


{#- The models of the project that have one of these materializations, by name. -#}
{% macro nodes_of(materializations) -%}
  {%- set found = [] -%}
  {%- for node in graph.nodes.values() | sort(attribute='name')
      if node.resource_type == 'model' and node.config.materialized in materializations -%}
    {%- do found.append(node) -%}
  {%- endfor -%}
  {{- return(found) -}}
{%- endmacro %}


{#- One of them by its name or alias; an error names the others. -#}
{% macro node_named(name, materializations) -%}
  {%- set known = [] -%}
  {%- for node in dbt_triton.nodes_of(materializations) -%}
    {%- if name | lower in [node.name | lower, node.alias | lower] -%}{{- return(node) -}}{%- endif -%}
    {%- do known.append(node.name) -%}
  {%- endfor -%}
  {%- do exceptions.raise_compiler_error(
    'no model called ' ~ name ~ ' is materialized as ' ~ materializations | join(' or ') ~ '; there are: ' ~ (known | join(', ') or 'none')
  ) -%}
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
