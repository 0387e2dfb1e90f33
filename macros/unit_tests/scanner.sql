{#-
  A small scanner for ML_PREDICT in unit tests and `dbt show`, where dbt runs the SQL itself and no Python is in reach.
  The materialization uses the real parser.
-#}

{#- The tokens of a text: maps of `text`, `start` and `end`; comments and white space are left out. -#}
{% macro sql_tokens(text) -%}
  {%- set pattern = "--[^\\n]*|/\\*.*?\\*/|'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|`(?:[^`]|``)*`|\\$\\$.*?\\$\\$|\\w+|=>|\\s+|." -%}
  {%- set tokens = [] -%}
  {%- for match in modules.re.finditer(pattern, text, modules.re.DOTALL) -%}
    {%- set found = match.group(0) -%}
    {%- if found.strip() and not found.startswith('--') and not found.startswith('/*') -%}
      {%- do tokens.append({'text': found, 'start': match.start(), 'end': match.end()}) -%}
    {%- endif -%}
  {%- endfor -%}
  {{- return(tokens) -}}
{%- endmacro %}


{#-
  The parts between the commas of a parenthesis, as lists of tokens.

  `tokens` are those after the opening parenthesis. Returns a map of `parts` and `count`, the tokens up to and with the closing one.
-#}
{% macro token_parts(tokens) -%}
  {%- set state = namespace(depth=0, count=0, done=false) -%}
  {%- set parts = [[]] -%}
  {%- for token in tokens if not state.done -%}
    {%- set state.count = state.count + 1 -%}
    {%- if token.text in [')', ']'] and state.depth == 0 -%}
      {%- set state.done = true -%}
    {%- elif token.text == ',' and state.depth == 0 -%}
      {%- do parts.append([]) -%}
    {%- else -%}
      {%- if token.text in ['(', '['] -%}{%- set state.depth = state.depth + 1 -%}{%- endif -%}
      {%- if token.text in [')', ']'] -%}{%- set state.depth = state.depth - 1 -%}{%- endif -%}
      {%- do parts[-1].append(token) -%}
    {%- endif -%}
  {%- endfor -%}
  {{- return({'parts': parts, 'count': state.count}) -}}
{%- endmacro %}


{#- A name without its quotes. -#}
{% macro unquoted(text) -%}
  {%- if text[:1] in ['"', '`', "'"] -%}
    {{- return(text[1:-1] | replace(text[:1] * 2, text[:1])) -}}
  {%- endif -%}
  {{- return(text) -}}
{%- endmacro %}


{#- Where the word of a list, such as INPUT (…), stands before a parenthesis: the parts within, or an empty list. -#}
{% macro parts_after(word, tokens) -%}
  {%- for token in tokens -%}
    {%- if token.text | upper == word and loop.index < tokens | length and tokens[loop.index].text == '(' -%}
      {{- return(dbt_triton.token_parts(tokens[loop.index + 1:]).parts) -}}
    {%- endif -%}
  {%- endfor -%}
  {{- return([]) -}}
{%- endmacro %}


{#- The first token of each part, unquoted: the names of columns. -#}
{% macro first_names(parts) -%}
  {%- set names = [] -%}
  {%- for part in parts if part -%}
    {%- do names.append(dbt_triton.unquoted(part[0].text)) -%}
  {%- endfor -%}
  {{- return(names) -}}
{%- endmacro %}
