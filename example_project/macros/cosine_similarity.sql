{# The cosine of the angle between two arrays, which each warehouse calls by another name. #}
{% macro cosine_similarity(left, right) %}{{ return(adapter.dispatch('cosine_similarity')(left, right)) }}{% endmacro %}

{% macro default__cosine_similarity(left, right) %}array_cosine_similarity({{ left }}, {{ right }}){% endmacro %}

{% macro spark__cosine_similarity(left, right) %}vector_cosine_similarity({{ left }}, {{ right }}){% endmacro %}
