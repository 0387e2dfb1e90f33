{#-
  What replaces a call of ML_EVALUATE in a unit test: the metrics of its input joined with the fixture.

  Neither the OUTPUT columns of the inference model nor any type are known here, so the call has to say both.
-#}
{% macro stub_evaluation_of(text, arguments, depth=0) -%}
  {%- set said = dbt_triton.arguments_of(arguments, ['INPUT', 'MODEL', 'LABEL', 'ARGS', 'TASK', 'CONFIG']) -%}
  {%- set options = dbt_triton.texts_of_map(said.get('CONFIG', [])) -%}
  {%- set task = dbt_triton.unquoted(said['TASK'][0].text) if said.get('TASK') else options.get('task') -%}
  {%- set label = dbt_triton.first_names(dbt_triton.parts_after('DESCRIPTOR', said.get('LABEL', []))) -%}
  {%- if label | length != 1 -%}
    {%- do exceptions.raise_compiler_error('ML_EVALUATE in ' ~ model.name ~ ' needs DESCRIPTOR(label), of one column') -%}
  {%- endif -%}
  {%- if not task or not options.get('predicted') -%}
    {%- do exceptions.raise_compiler_error(
      'ML_EVALUATE in ' ~ model.name ~ ": a unit test knows neither the OUTPUT of the inference model nor its types; write the task "
      ~ "and the OUTPUT column into the call: ML_EVALUATE(…, '" ~ (task or 'classification') ~ "', MAP['predicted', '"
      ~ options.get('predicted', '…') ~ "'])"
    ) -%}
  {%- endif -%}
  {{- return(dbt_triton.evaluate(
    dbt_triton.stub_of_arguments(text, said, depth),
    options['predicted'],
    label[0],
    task | lower,
    score=options.get('score'),
    positive=options.get('positive')
  )) -}}
{%- endmacro %}


{#- The texts of MAP['key', 'value', …]. -#}
{% macro texts_of_map(tokens) -%}
  {%- set texts, options = [], {} -%}
  {%- for token in tokens if token.text[:1] == "'" -%}{%- do texts.append(dbt_triton.unquoted(token.text)) -%}{%- endfor -%}
  {%- for place in range(texts | length // 2) -%}
    {%- do options.update({texts[2 * place]: texts[2 * place + 1]}) -%}
  {%- endfor -%}
  {{- return(options) -}}
{%- endmacro %}
