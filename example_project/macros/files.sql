{# The files that a pattern names, as a table of filename and content. #}
{% macro files(pattern) %}{{ return(adapter.dispatch('files')(pattern)) }}{% endmacro %}

{% macro default__files(pattern) %}read_blob('{{ pattern }}'){% endmacro %}

{% macro spark__files(pattern) %}(select path as filename, content from binaryFile.`{{ pattern }}`) as files{% endmacro %}
