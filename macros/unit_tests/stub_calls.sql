{#-
  A statement with each ML_PREDICT call replaced by its input joined with the fixture of the inference model, and each of
  ML_EVALUATE by the metrics of that.
-#}
{% macro stub_calls(text, depth=0) -%}
  {#- Each costs Python many frames of its stack. -#}
  {%- if depth > 20 -%}
    {%- do exceptions.raise_compiler_error(
      'ML_PREDICT in ' ~ model.name ~ ': more than 20 calls within one another are too many for a unit test; '
      ~ 'put some of them into a model of their own'
    ) -%}
  {%- endif -%}
  {%- set tokens = dbt_triton.sql_tokens(text) -%}
  {%- set state = namespace(position=0, skip=0, result='', end=text | length, at_end=true) -%}
  {#- Semicolons at the end go, with the comments behind them. -#}
  {%- for token in tokens | reverse if state.at_end -%}
    {%- if token.text == ';' -%}{%- set state.end = token.start -%}{%- else -%}{%- set state.at_end = false -%}{%- endif -%}
  {%- endfor -%}
  {#- Which bracket closes which, found once. -#}
  {%- set open, closes = [], {} -%}
  {%- for token in tokens -%}
    {%- if token.text in ['(', '['] -%}{%- do open.append(loop.index0) -%}
    {%- elif token.text in [')', ']'] and open -%}{%- do closes.update({open.pop(): loop.index}) -%}{%- endif -%}
  {%- endfor -%}
  {%- for token in tokens -%}
    {%- set index = loop.index0 -%}
    {%- if index >= state.skip and dbt_triton.is_call(tokens, index) -%}
      {%- set found = dbt_triton.token_parts(tokens[index + 2:closes.get(index + 1, tokens | length)]) -%}
      {#- Flink's TABLE(ML_PREDICT(…)), with or without LATERAL, is the same as the call. -#}
      {%- set wrapped = index > 1 and tokens[index - 1].text == '(' and tokens[index - 2].text | upper == 'TABLE' -%}
      {%- set lateral = wrapped and index > 2 and tokens[index - 3].text | upper == 'LATERAL' -%}
      {%- set first = tokens[index - (3 if lateral else 2)] if wrapped else token -%}
      {%- set state.skip = index + 2 + found.count + (1 if wrapped else 0) -%}
      {%- set stub = dbt_triton.stub_evaluation_of if token.text | upper == 'ML_EVALUATE' else dbt_triton.stub_call_of -%}
      {%- set state.result = state.result ~ text[state.position:first.start] ~ stub(text, found.parts, depth) -%}
      {%- set state.position = tokens[state.skip - 1].end -%}
    {%- endif -%}
  {%- endfor -%}
  {{- return(state.result ~ text[state.position:state.end]) -}}
{%- endmacro %}


{#- Whether a call of ML_PREDICT or ML_EVALUATE begins at a token. -#}
{% macro is_call(tokens, index) -%}
  {{- return(
    tokens[index].text | upper in ['ML_PREDICT', 'ML_EVALUATE'] and index + 1 < tokens | length
    and tokens[index + 1].text == '(' and (index == 0 or tokens[index - 1].text != '.')
  ) -}}
{%- endmacro %}


{% macro has_calls(text) -%}
  {%- set tokens = dbt_triton.sql_tokens(text) -%}
  {%- for token in tokens -%}
    {%- if dbt_triton.is_call(tokens, loop.index0) -%}{{- return(true) -}}{%- endif -%}
  {%- endfor -%}
  {{- return(false) -}}
{%- endmacro %}


{#- What replaces one call, from the tokens of its arguments. -#}
{% macro stub_call_of(text, arguments, depth=0) -%}
  {{- return(dbt_triton.stub_of_arguments(text, dbt_triton.arguments_of(arguments, ['INPUT', 'MODEL', 'ARGS', 'CONFIG']), depth)) -}}
{%- endmacro %}


{#- The tokens of each argument by its name. -#}
{% macro arguments_of(arguments, order) -%}
  {%- set said = {} -%}
  {%- set aliases = {'MODEL_INPUT': 'MODEL', 'FEATURES': 'ARGS'} -%}
  {%- for argument in arguments if argument -%}
    {%- if argument | length > 1 and argument[1].text == '=>' -%}
      {%- set name = argument[0].text | upper -%}
      {%- do said.update({aliases.get(name, name): argument[2:]}) -%}
    {%- elif loop.index0 < order | length -%}
      {#- ML_EVALUATE's task may be left out. -#}
      {%- set name = order[loop.index0] -%}
      {%- do said.update({'CONFIG' if name == 'TASK' and argument[0].text | upper == 'MAP' else name: argument}) -%}
    {%- endif -%}
  {%- endfor -%}
  {{- return(said) -}}
{%- endmacro %}


{% macro stub_of_arguments(text, said, depth) -%}
  {%- for name in ['INPUT', 'MODEL', 'ARGS'] if not said.get(name) -%}
    {%- do exceptions.raise_compiler_error('ML_PREDICT in ' ~ model.name ~ ' needs TABLE, MODEL and DESCRIPTOR; found none for ' ~ name) -%}
  {%- endfor -%}
  {%- set table = dbt_triton.operand_of(said['INPUT'], 'TABLE') -%}
  {%- do dbt_triton.refuse_rest_of_table(text, table) -%}
  {%- set columns = dbt_triton.parts_after('DESCRIPTOR', said['ARGS']) -%}
  {%- for column in columns if column | length != 1 or not modules.re.fullmatch("(?:[^\\W0-9]|[^\\x00-\\x7f]).*|\".*\"|`.*`", column[0].text) or "'" in column[0].text[:2] -%}
    {%- do exceptions.raise_compiler_error(
      'ML_PREDICT in ' ~ model.name ~ ': expected a column of the input within DESCRIPTOR'
      ~ (', found ' ~ text[column[0].start:column[-1].end] if column else '')
      ~ '; compute it in the input: TABLE (select *, … from …)'
    ) -%}
  {%- endfor -%}
  {%- set operand = dbt_triton.native_text(text, dbt_triton.operand_of(said['MODEL'], 'MODEL')) -%}
  {{- return(dbt_triton.stub_call(dbt_triton.stub_calls(dbt_triton.native_text(text, table), depth + 1), operand, dbt_triton.first_names(columns))) -}}
{%- endmacro %}


{#- The tokens of an argument without the word before it. -#}
{% macro operand_of(argument, word) -%}
  {{- return(argument[1:] if argument[0].text | upper == word and argument | length > 1 else argument) -}}
{%- endmacro %}


{#- The text of some tokens, as the warehouse reads names. -#}
{% macro native_text(text, tokens) -%}
  {{- return(adapter.dispatch('native_text', 'dbt_triton')(text, tokens)) -}}
{%- endmacro %}


{% macro default__native_text(text, tokens) -%}
  {{- dbt_triton.refuse_warehouse() -}}
{%- endmacro %}


{#- DuckDB 1.x knows no backticks. -#}
{% macro duckdb__native_text(text, tokens) -%}
  {%- set state = namespace(result='', position=tokens[0].start) -%}
  {%- for token in tokens if token.text[:1] == '`' -%}
    {%- set state.result = state.result ~ text[state.position:token.start] ~ dbt_triton.quoted(dbt_triton.unquoted(token.text)) -%}
    {%- set state.position = token.end -%}
  {%- endfor -%}
  {{- return(state.result ~ text[state.position:tokens[-1].end]) -}}
{%- endmacro %}


{#- It is Spark's own already. -#}
{% macro spark__native_text(text, tokens) -%}
  {{- return(text[tokens[0].start:tokens[-1].end]) -}}
{%- endmacro %}


{#- Refuse an alias, or a clause of a query, after the table: a build does. -#}
{% macro refuse_rest_of_table(text, tokens) -%}
  {%- set state = namespace(depth=0, name=true, rest=none) -%}
  {%- for token in tokens if state.rest is none -%}
    {%- if token.text in ['(', '['] -%}
      {%- set state.depth = state.depth + 1 -%}
    {%- elif token.text in [')', ']'] -%}
      {%- set state.depth = state.depth - 1 -%}
      {%- set state.name = false -%}
    {%- elif state.depth == 0 -%}
      {#- A name, or one more part of it after a dot. -#}
      {%- if token.text == '.' -%}{%- set state.name = true -%}
      {%- elif state.name -%}{%- set state.name = false -%}
      {%- else -%}{%- set state.rest = token -%}{%- endif -%}
    {%- endif -%}
  {%- endfor -%}
  {%- if state.rest is not none -%}
    {%- do exceptions.raise_compiler_error(
      'ML_PREDICT in ' ~ model.name ~ ': expected , or ) after its TABLE, found ' ~ state.rest.text
      ~ '; an alias stands after the call, and a query within parentheses: TABLE (select * from '
      ~ text[tokens[0].start:tokens[-1].end] ~ ')'
    ) -%}
  {%- endif -%}
{%- endmacro %}
