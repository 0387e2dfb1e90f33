{#- Options that stand where nobody reads them. -#}
{% macro warn_of_misplaced(options, place) -%}
  {%- for option in options -%}
    {%- do exceptions.warn(
      model.name ~ ': the config ' ~ option ~ ' is not read; the option ' ~ option | replace('_', '-') ~ ' belongs into ' ~ place
    ) -%}
  {%- endfor -%}
{%- endmacro %}


{#- What a user is to know of a model that is built all the same. -#}
{% macro warn_of(sentences) -%}
  {%- for sentence in sentences or [] -%}
    {%- do exceptions.warn(model.name ~ ': ' ~ sentence) -%}
  {%- endfor -%}
{%- endmacro %}


{#- Options of Flink's that do nothing here: one warning for all of them. -#}
{% macro warn_of_not_needed(reasons) -%}
  {%- if reasons -%}
    {%- do exceptions.warn(model.name ~ ': accepted, and not needed here: ' ~ reasons | join('; ')) -%}
  {%- endif -%}
{%- endmacro %}


{#- What the run log lacks. It is no warning, which --warn-error would make an error of. -#}
{% macro tell(sentences) -%}
  {%- for sentence in sentences or [] -%}
    {%- do log(model.name ~ ': Warning: ' ~ sentence, info=true) -%}
  {%- endfor -%}
{%- endmacro %}
