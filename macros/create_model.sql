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
      {#- A map by column is an option for each of them, as in WITH. -#}
      {%- set by_column = key in ['tensor', 'stub', 'pad', 'trim', 'mask', 'zeros', 'shape'] and value is mapping -%}
      {%- for name, said in (value.items() if by_column else [(none, value)]) -%}
        {%- set whole = key ~ '.' ~ name if by_column else key -%}
        {%- if not (by_column and whole in meta) -%}
          {%- do options.append(dbt_triton.flink_text(whole) ~ ' = ' ~ dbt_triton.flink_text(dbt_triton.shown_option(whole, said))) -%}
        {%- endif -%}
      {%- endfor -%}
    {%- endfor -%}
CREATE MODEL {{ dbt_triton.quoted(meta.get('name') or node.name) }}

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
    {%- do parts.append(dbt_triton.quoted(name) ~ ' ' ~ type) -%}
  {%- endfor -%}
  {{- parts | join(', ') -}}
{%- endmacro %}


{% macro shown_option(key, value) -%}
  {#- Of a misspelt key, too. -#}
  {%- set may_be_secret = key not in ['max-tokens', 'maxTokens'] and modules.re.search('(?i)auth|token|bearer|header|secret|passw|api.?key', key) -%}
  {%- if key == 'custom-headers' -%}
    {{- return('{}') -}}
  {%- elif may_be_secret and not modules.re.fullmatch('(?i)(bearer\\s+)?\\$\\{\\w+\\}', value | string) -%}
    {{- return('***') -}}
  {%- endif -%}
  {{- return(dbt_triton.option_text(value)) -}}
{%- endmacro %}
