{#- What the default of a dispatched macro says: there is none for this warehouse. -#}
{% macro refuse_warehouse() -%}
  {%- do exceptions.raise_compiler_error(
    'dbt-triton works on DuckDB (dbt-duckdb) and on Apache Spark (dbt-spark); this target is of type ' ~ adapter.type()
  ) -%}
{%- endmacro %}
