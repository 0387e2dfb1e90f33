{#- A text as SQL of the warehouse. -#}
{% macro sql_text(value) -%}
  {{- return(adapter.dispatch('sql_text', 'dbt_triton')(value)) -}}
{%- endmacro %}


{% macro default__sql_text(value) -%}
  {{- dbt_triton.refuse_warehouse() -}}
{%- endmacro %}


{% macro duckdb__sql_text(value) -%}
  {{- return("'" ~ value | replace("'", "''") ~ "'") -}}
{%- endmacro %}


{#- Spark replaces ${…} wherever it stands, in a text as well. -#}
{% macro spark__sql_text(value) -%}
  {{- return("'" ~ value | replace('\\', '\\\\') | replace("'", "\\'") | replace('$', '\\u0024') ~ "'") -}}
{%- endmacro %}


{#- A name as SQL of the warehouse. -#}
{% macro quoted(name) -%}
  {{- return(adapter.dispatch('quoted', 'dbt_triton')(name)) -}}
{%- endmacro %}


{% macro default__quoted(name) -%}
  {{- dbt_triton.refuse_warehouse() -}}
{%- endmacro %}


{% macro duckdb__quoted(name) -%}
  {{- return('"' ~ name | replace('"', '""') ~ '"') -}}
{%- endmacro %}


{% macro spark__quoted(name) -%}
  {{- return('`' ~ name | replace('`', '``') ~ '`') -}}
{%- endmacro %}


{#- A name as it stands between quotes; none where there is none. -#}
{% macro within_quotes(name) -%}
  {{- return(none if name is none else dbt_triton.quoted(name)[1:-1]) -}}
{%- endmacro %}


{#- The name of a relation, whatever the session's own database and schema are. -#}
{% macro full_name(database, schema, identifier) -%}
  {%- set parts = [] -%}
  {%- for part in [database, schema, identifier] if part -%}{%- do parts.append(dbt_triton.quoted(part)) -%}{%- endfor -%}
  {{- return(parts | join('.')) -}}
{%- endmacro %}


{#- A text within CREATE MODEL or ML_PREDICT, whose grammar is the same for every warehouse. -#}
{% macro flink_text(value) -%}
  {{- return("'" ~ value | replace("'", "''") ~ "'") -}}
{%- endmacro %}
