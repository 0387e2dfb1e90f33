{#-
  A small scanner for ML_PREDICT in unit tests and `dbt show`, where dbt runs the SQL itself and no Python is in reach.
  The materialization uses the real parser; tests compare what the two find, and with the warehouses themselves.
-#}

{#- The tokens of a text: maps of `text`, `start` and `end`; comments and white space are left out. -#}
{% macro sql_tokens(text) -%}
  {%- set closed = dbt_triton.quoted_pattern(text) -%}
  {%- set name = "(?:\\w|[^\\x00-\\x7f\\s])(?:[\\w$]|[^\\x00-\\x7f\\s])*" -%}
  {#- What is opened and never closed goes to the end of the text. -#}
  {%- set open = dbt_triton.open_pattern() -%}
  {#- Apart from names, since a text may follow at once: 1e5E'…'. -#}
  {%- set number = "[0-9][0-9_]*(?:[.][0-9_]*)?(?:[eE][+-]?[0-9]+)?" -%}
  {%- set pattern = [closed, open, number, name, "=>", "\\s+", "[\\s\\S]"] | join('|') -%}
  {%- set tokens = [] -%}
  {%- set state = namespace(position=0) -%}
  {#- dbt v2 has findall, and no finditer. Every character is in a piece, so that the pieces tell their own places. -#}
  {%- for piece in modules.re.findall(pattern, text) -%}
    {%- if loop.last and modules.re.fullmatch(open, piece) and not modules.re.fullmatch(closed, piece) -%}
      {%- do exceptions.raise_compiler_error(
        'dbt-triton cannot read the SQL of ' ~ model.name ~ ', line ' ~ (text[:state.position].split('\n') | length)
        ~ ': a quote or comment is opened here and never closed'
      ) -%}
    {%- elif piece.strip() and piece[:2] not in ['--', '/*'] -%}
      {%- do tokens.append({'text': piece, 'start': state.position, 'end': state.position + piece | length}) -%}
    {%- endif -%}
    {%- set state.position = state.position + piece | length -%}
  {%- endfor -%}
  {{- return(tokens) -}}
{%- endmacro %}


{#- The regular expression of a comment or of anything in quotes, to the end of a text, as the warehouse opens it. -#}
{% macro open_pattern() -%}
  {{- return(adapter.dispatch('open_pattern', 'dbt_triton')()) -}}
{%- endmacro %}


{% macro default__open_pattern() -%}
  {{- dbt_triton.refuse_warehouse() -}}
{%- endmacro %}


{% macro duckdb__open_pattern() -%}
  {{- return("(?:/[*]|[eE]?'|\"|`|[$](?:[^\\W\\d][\\w]*)?[$])[\\s\\S]*") -}}
{%- endmacro %}


{% macro spark__open_pattern() -%}
  {{- return("(?:/[*]|[rR]?['\"]|`)[\\s\\S]*") -}}
{%- endmacro %}


{#-
  The regular expression of a comment or of anything in quotes, closed, as the warehouse reads them, and of Flink's backticks.

  It is written for every regular expression language: without looking ahead or back.
-#}
{% macro quoted_pattern(text) -%}
  {{- return(adapter.dispatch('quoted_pattern', 'dbt_triton')(text)) -}}
{%- endmacro %}


{% macro default__quoted_pattern(text) -%}
  {{- dbt_triton.refuse_warehouse() -}}
{%- endmacro %}


{#- Every $tag$ of the text is spelt out. -#}
{% macro duckdb__quoted_pattern(text) -%}
  {%- set patterns = ["--[^\\r\\n]*", dbt_triton.comment_pattern(text), "[eE]'(?:[^'\\\\]|''|\\\\[\\s\\S])*'"] -%}
  {%- for quote in ["'", '"', "`"] -%}
    {%- do patterns.append(dbt_triton.doubling_pattern(quote)) -%}
  {%- endfor -%}
  {%- for tag in modules.re.findall("[$]((?:[^\\W\\d]\\w*)?)", text) | unique -%}
    {%- do patterns.append("[$]" ~ tag ~ "[$][\\s\\S]*?[$]" ~ tag ~ "[$]") -%}
  {%- endfor -%}
  {{- return(patterns | join('|')) -}}
{%- endmacro %}


{#- A text is in either quote, with backslashes but for r'…', and a backslash at the end of a line goes on with its comment. -#}
{% macro spark__quoted_pattern(text) -%}
  {%- set patterns = ["--(?:\\\\\\n|[^\\r\\n])*", dbt_triton.comment_pattern(text)] -%}
  {%- for quote in ["'", '"'] -%}
    {%- do patterns.append("[rR]" ~ quote ~ "[^" ~ quote ~ "]*" ~ quote) -%}
    {%- do patterns.append(quote ~ "(?:[^" ~ quote ~ "\\\\]|" ~ quote * 2 ~ "|\\\\[\\s\\S])*" ~ quote) -%}
  {%- endfor -%}
  {%- do patterns.append(dbt_triton.doubling_pattern("`")) -%}
  {{- return(patterns | join('|')) -}}
{%- endmacro %}


{#- The comments within comments are spelt out as deep as there can be some. -#}
{% macro comment_pattern(text) -%}
  {%- set body = "[^*/]|[*]+[^*/]|/+[^*/]" -%}
  {%- set comment = namespace(pattern="/[*](?:" ~ body ~ ")*[*]+/") -%}
  {%- set depth = [modules.re.findall("/[*]", text) | length, 40] | min -%}
  {%- for _ in range(depth) -%}
    {%- set comment.pattern = "/[*](?:" ~ body ~ "|/*" ~ comment.pattern ~ ")*[*]+/" -%}
  {%- endfor -%}
  {{- return(comment.pattern) -}}
{%- endmacro %}


{#- What is in quotes, and has them doubled within. -#}
{% macro doubling_pattern(quote) -%}
  {{- return(quote ~ "[^" ~ quote ~ "]*(?:" ~ quote * 2 ~ "[^" ~ quote ~ "]*)*" ~ quote) -}}
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
