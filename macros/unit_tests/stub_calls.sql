{#- A statement with each ML_PREDICT call replaced by its input joined with the fixture of the inference model. -#}
{% macro stub_calls(text) -%}
  {%- set tokens = dbt_triton.sql_tokens(text) -%}
  {%- set state = namespace(position=0, skip=0, result='', end=text | length) -%}
  {%- if tokens and tokens[-1].text == ';' -%}{%- set state.end = tokens[-1].start -%}{%- endif -%}
  {%- for token in tokens -%}
    {%- set index = loop.index0 -%}
    {%- if index >= state.skip and token.text | upper == 'ML_PREDICT' and index + 1 < tokens | length
        and tokens[index + 1].text == '(' and (index == 0 or tokens[index - 1].text != '.') -%}
      {%- set found = dbt_triton.token_parts(tokens[index + 2:]) -%}
      {#- Flink's TABLE(ML_PREDICT(…)), with or without LATERAL, is the same as the call. -#}
      {%- set wrapped = index > 1 and tokens[index - 1].text == '(' and tokens[index - 2].text | upper == 'TABLE' -%}
      {%- set lateral = wrapped and index > 2 and tokens[index - 3].text | upper == 'LATERAL' -%}
      {%- set first = tokens[index - (3 if lateral else 2)] if wrapped else token -%}
      {%- set state.skip = index + 2 + found.count + (1 if wrapped else 0) -%}
      {%- set state.result = state.result ~ text[state.position:first.start] ~ dbt_triton.stub_call_of(text, found.parts) -%}
      {%- set state.position = tokens[state.skip - 1].end -%}
    {%- endif -%}
  {%- endfor -%}
  {{- return(state.result ~ text[state.position:state.end]) -}}
{%- endmacro %}


{#- What replaces one call, from the tokens of its arguments. -#}
{% macro stub_call_of(text, arguments) -%}
  {%- set order = ['INPUT', 'MODEL', 'ARGS', 'CONFIG'] -%}
  {%- set said = {} -%}
  {%- for argument in arguments if argument -%}
    {%- if argument | length > 1 and argument[1].text == '=>' -%}
      {%- do said.update({argument[0].text | upper: argument[2:]}) -%}
    {%- else -%}
      {%- do said.update({order[loop.index0]: argument}) -%}
    {%- endif -%}
  {%- endfor -%}
  {%- for name in order[:3] if not said.get(name) -%}
    {%- do exceptions.raise_compiler_error('ML_PREDICT in ' ~ model.name ~ ' needs TABLE, MODEL and DESCRIPTOR; found none for ' ~ name) -%}
  {%- endfor -%}
  {%- set operands = {} -%}
  {%- for name, word in [('INPUT', 'TABLE'), ('MODEL', 'MODEL')] -%}
    {%- set operand = said[name][1:] if said[name][0].text | upper == word and said[name] | length > 1 else said[name] -%}
    {%- do operands.update({name: text[operand[0].start:operand[-1].end]}) -%}
  {%- endfor -%}
  {%- set columns = dbt_triton.first_names(dbt_triton.parts_after('DESCRIPTOR', said['ARGS'])) -%}
  {{- return(dbt_triton.stub_call(dbt_triton.stub_calls(operands['INPUT']), operands['MODEL'], columns)) -}}
{%- endmacro %}


{#-
  What replaces a call in a unit test: its input joined with the fixture of the inference model.

  The fixture has the OUTPUT columns, and it may have the DESCRIPTOR columns: then a row meets the fixture's row with its
  values. Which it has is not known here; one that it lacks is found as the NULL of `absent`, by SQL's rules of scope,
  and meets every row.
-#}
{% macro stub_call(table, operand, columns) -%}
  {%- set absent, keys, hidden, matches, names = [], [], [], [], [] -%}
  {%- for column in columns -%}
    {%- set key = 'dbt_triton_key_' ~ loop.index0 -%}
    {%- set name = dbt_triton.quoted(column) -%}
    {%- do absent.append('null as ' ~ name) -%}
    {%- do keys.append(name ~ ' as ' ~ key) -%}
    {%- do hidden.append(key) -%}
    {%- do names.append(dbt_triton.sql_text(column | lower)) -%}
    {%- do matches.append(
      'input_rows.' ~ name ~ ' is not null and (stub.' ~ key ~ ' is null or stub.' ~ key ~ ' = input_rows.' ~ name ~ ')'
    ) -%}
  {%- endfor -%}
  {{- return(
    '(select input_rows.*, stub.* exclude (' ~ hidden | join(', ') ~ ') from (select * from ' ~ table ~ ') as input_rows '
    ~ 'left join (select given.* from (select ' ~ absent | join(', ') ~ ') as absent, lateral (select ' ~ keys | join(', ')
    ~ ', columns(lambda name: lower(name) not in (' ~ names | join(', ') ~ ')) from ' ~ operand ~ ') as given) as stub on '
    ~ matches | join(' and ') ~ ')'
  ) -}}
{%- endmacro %}


{% macro quoted(name) -%}
  {{- return('"' ~ name | replace('"', '""') ~ '"') -}}
{%- endmacro %}
