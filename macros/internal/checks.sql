{#- The contract, and typos in the outer SELECT, before a row is paid for. -#}
{% macro check_columns(check_sql) -%}
  {%- if config.get('contract').enforced -%}
    {{ get_assert_columns_equivalent(check_sql) }}
  {%- else -%}
    {%- do get_column_schema_from_query(check_sql) -%}
  {%- endif -%}
{%- endmacro %}
