{#-
  What replaces a call in a unit test: its input joined with the fixture of the inference model.

  The fixture has the OUTPUT columns, and it may have the DESCRIPTOR columns: then a row meets the fixture's row with its
  values, NULL among them: with `null-as`, or in an optional input, a NULL is sent. One that it lacks meets every row that
  is not NULL there. Which it has is not known here, so the SQL itself finds out.
-#}
{% macro stub_call(table, operand, columns) -%}
  {{- return(adapter.dispatch('stub_call', 'dbt_triton')(table, operand, columns)) -}}
{%- endmacro %}


{% macro default__stub_call(table, operand, columns) -%}
  {{- dbt_triton.refuse_warehouse() -}}
{%- endmacro %}


{#- A column that the fixture lacks is found as the NULL of `absent`, by SQL's rules of scope. -#}
{% macro duckdb__stub_call(table, operand, columns) -%}
  {%- set absent, keys, hidden, matches, names = [], [], [], [], [] -%}
  {%- for column in columns -%}
    {%- set key = 'dbt_triton_key_' ~ loop.index0 -%}
    {%- set name = dbt_triton.quoted(column) -%}
    {%- do absent.append('null as ' ~ name) -%}
    {%- do keys.append(name ~ ' as ' ~ key) -%}
    {%- set known = 'dbt_triton_known_' ~ loop.index0 -%}
    {%- do keys.append(
      'list_contains(list_transform(json_keys(to_json(dbt_triton_fixture)), lambda name: lower(name)), '
      ~ dbt_triton.sql_text(column | lower) ~ ') as ' ~ known
    ) -%}
    {%- do hidden.append(key) -%}
    {%- do hidden.append(known) -%}
    {%- do names.append(dbt_triton.sql_text(column | lower)) -%}
    {%- do matches.append(
      'case when stub.' ~ known ~ ' then stub.' ~ key ~ ' is not distinct from input_rows.' ~ name
      ~ ' else input_rows.' ~ name ~ ' is not null end'
    ) -%}
  {%- endfor -%}
  {{- return(
    '(select input_rows.*, stub.* exclude (' ~ hidden | join(', ') ~ ') from (select * from ' ~ table ~ ') as input_rows '
    ~ 'left join (select given.* from (select ' ~ absent | join(', ') ~ ') as absent, lateral (select ' ~ keys | join(', ')
    ~ ', columns(lambda name: lower(name) not in (' ~ names | join(', ') ~ ')) from ' ~ operand
    ~ ' as dbt_triton_fixture) as given) as stub on '
    ~ matches | join(' and ') ~ ')'
  ) -}}
{%- endmacro %}


{#-
  The fixture is joined with a row that has the column, too, and a mark, by the columns that both have: then it has the column
  in any case, and the mark only where there was none to join by, since a NULL equals nothing.
-#}
{% macro spark__stub_call(table, operand, columns) -%}
  {%- set absent, keys, hidden, named, matches = [], [], [], [], [] -%}
  {%- for column in columns -%}
    {%- set name = dbt_triton.quoted(column) -%}
    {%- set key, lacks = 'dbt_triton_key_' ~ loop.index0, 'dbt_triton_lacks_' ~ loop.index0 -%}
    {%- do absent.append(' natural left join (select null as ' ~ name ~ ', true as ' ~ lacks ~ ')') -%}
    {%- do keys.append(name ~ ' as ' ~ key) -%}
    {%- do hidden.append(key) -%}
    {%- do hidden.append(lacks) -%}
    {%- do named.append(name) -%}
    {%- do matches.append(
      'case when stub.' ~ lacks ~ ' then input_rows.' ~ name ~ ' is not null else stub.' ~ key ~ ' <=> input_rows.' ~ name ~ ' end'
    ) -%}
  {%- endfor -%}
  {{- return(
    '(select input_rows.*, stub.* except (' ~ hidden | join(', ') ~ ') from (select * from ' ~ table ~ ') as input_rows '
    ~ 'left join (select ' ~ keys | join(', ') ~ ', * except (' ~ named | join(', ') ~ ') from (select * from ' ~ operand
    ~ ' as dbt_triton_fixture' ~ absent | join ~ ')) as stub on ' ~ matches | join(' and ') ~ ')'
  ) -}}
{%- endmacro %}
