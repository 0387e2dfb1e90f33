{#
    On Spark, dbt's seeds are read from their files by Spark itself. dbt-spark's own way, for the connection method
    `session`, pastes texts into SQL as they are, so that an apostrophe breaks it, and makes every number a float.
#}
{% macro spark__load_csv_rows(model, agate_table) %}
    {%- set file = model.root_path ~ '/' ~ model.original_file_path -%}
    {%- set sql -%}
        insert into {{ this }}
        select
        {%- for column in agate_table.column_names %}
            {%- set type = model.config.column_types.get(column) or adapter.convert_type(agate_table, loop.index0) %}
            cast({{ adapter.quote(column) }} as {{ type }}){{ ',' if not loop.last }}
        {%- endfor %}
        from csv.`{{ file }}` with (header = true, multiLine = true, escape = '"')
    {%- endset -%}
    {%- do adapter.add_query(sql) -%}
    {{ return(sql) }}
{% endmacro %}
