{#-
  The CREATE MODEL statement of a model that is defined under meta.inference_model.

  Literal secrets are masked: dbt writes this text to target/compiled. The materialization reads them from meta.
-#}
{% macro create_model(node=none) -%}
  {%- if execute -%}
    {%- set node = node or model -%}
    {%- set meta = node.config.get('meta', {}).get('inference_model') -%}
    {%- if not meta -%}
      {{- exceptions.raise_compiler_error(
        "dbt_triton.create_model() needs the definition of " ~ node.name ~ " under config.meta.inference_model"
      ) -}}
    {%- endif -%}
    {%- if meta is not mapping -%}
      {{- exceptions.raise_compiler_error(
        "meta.inference_model of " ~ node.name ~ " must be a map: input, output and the options, one a line"
      ) -}}
    {%- endif -%}
    {%- set options = [] -%}
    {%- for key, value in meta.items() if key not in ['input', 'output', 'comment', 'name'] and (value is not none or key in ['on-error', 'default-value']) -%}
      {%- do options.append(dbt_triton.sql_text(key) ~ ' = ' ~ dbt_triton.sql_text(dbt_triton.shown_option(key, value))) -%}
    {%- endfor -%}
CREATE MODEL {{ adapter.quote(meta.get('name') or node.name) }}

{%- for side in ['input', 'output'] if side in meta %}
{{ side | upper }} ({{ dbt_triton.model_columns(meta[side]) }})
{%- endfor %}
WITH ({{ options | join(',\n      ') }})
  {%- endif -%}
{%- endmacro %}


{% macro model_columns(columns) -%}
  {%- if columns is not mapping or not columns -%}
    {{- exceptions.raise_compiler_error(
      "meta.inference_model of " ~ model.name ~ " must map each column of input and of output to its SQL type, such as {input: STRING}; leave one out for what the server says"
    ) -}}
  {%- endif -%}
  {%- set parts = [] -%}
  {%- for name, type in columns.items() -%}
    {%- do parts.append(adapter.quote(name | replace('"', '""')) ~ ' ' ~ type) -%}
  {%- endfor -%}
  {{- parts | join(', ') -}}
{%- endmacro %}


{% macro shown_option(key, value) -%}
  {#- Of a misspelt key, too. -#}
  {%- set may_be_secret = modules.re.search('(?i)auth|token|bearer|header|secret|passw|api.?key', key) -%}
  {%- if key == 'custom-headers' -%}
    {{- return('{}') -}}
  {%- elif may_be_secret and not modules.re.fullmatch('(?i)(bearer\\s+)?\\$\\{\\w+\\}', value | string) -%}
    {{- return('***') -}}
  {%- endif -%}
  {{- return(dbt_triton.option_text(value)) -}}
{%- endmacro %}


{% macro sql_text(value) -%}
  {{- return("'" ~ value | replace("'", "''") ~ "'") -}}
{%- endmacro %}
