{#-
  What `dbt-triton report` is told of the run log: lines of JSON, one a row, the newest first, and one more of the place.

  since: the first moment, as text, UTC. node: the unique_id of a node or the end of it, in small letters, or none.
  most: so many rows are read. profiles: so many of each call, the newest, with the profile of what was predicted.
-#}
{% macro print_runs(since, node, most, profiles) -%}
  {%- if not execute -%}{{- return('') -}}{%- endif -%}
  {%- set place = dbt_triton.runs_place() -%}
  {%- set relation = dbt_triton.full_name(place.database, place.schema, place.identifier) if dbt_triton.is_there(place) else none -%}
  {%- set there = [] -%}
  {%- if relation -%}
    {%- for name in get_columns_in_query('select * from ' ~ relation) -%}{%- do there.append(name | lower) -%}{%- endfor -%}
  {%- endif -%}
  {%- if 'node' in there and 'started_at' in there -%}
    {%- set rows = run_query(dbt_triton.runs_as_json(relation, there, since, node, most, profiles)) -%}
    {%- for batch in rows.columns[0].values() | batch(500) -%}
      {%- do print('dbt_triton_runs_rows ' ~ batch | join('\n')) -%}
    {%- endfor -%}
  {%- endif -%}
  {#- Last: it says that all of them are there. -#}
  {%- do print('dbt_triton_runs ' ~ tojson({
    'package_version': dbt_triton.package_version(),
    'project': project_name,
    'target': target.name,
    'relation': dbt_triton.readable_name(place),
    'columns': there,
    'exists': relation is not none,
    'is_written': dbt_triton.writes_runs(),
    'predicting': dbt_triton.predicting_models(),
    'packages': graph.nodes.values() | map(attribute='package_name') | unique | list,
  })) -%}
{%- endmacro %}


{#- The unique ids of the models of the project that may predict. -#}
{% macro predicting_models() -%}
  {%- set found = [] -%}
  {%- for node in graph.nodes.values() if dbt_triton.predicts(node) -%}{%- do found.append(node.unique_id) -%}{%- endfor -%}
  {{- return(found) -}}
{%- endmacro %}


{#- The SELECT of one column, with a row of the run log as JSON. Columns that an old table lacks are left out. -#}
{% macro runs_as_json(relation, there, since, node, most, profiles) -%}
  {%- set moment = 'started_at' -%}
  {%- set selected = [] -%}
  {%- for column in there -%}
    {%- set name = dbt_triton.quoted(column) -%}
    {%- if column in ['started_at', 'ended_at'] -%}
      {%- do selected.append('cast(' ~ name ~ ' as ' ~ dbt.type_string() ~ ') as ' ~ name) -%}
    {%- elif column == 'predicted' and 'call' in there -%}
      {%- do selected.append(
        'case when row_number() over (partition by node, ' ~ dbt_triton.quoted('call') ~ ' order by started_at desc) <= ' ~ profiles
        ~ ' then ' ~ name ~ ' end as ' ~ name
      ) -%}
    {%- else -%}
      {%- do selected.append(name) -%}
    {%- endif -%}
  {%- endfor -%}
  {%- set chosen -%}
    select {{ selected | join(', ') }}
    from {{ relation }}
    where (started_at is null or started_at >= cast({{ dbt_triton.sql_text(since) }} as timestamp))
    {%- if node %} and (lower(node) = {{ dbt_triton.sql_text(node) }} or lower(node) like {{ dbt_triton.sql_text('%.' ~ node) }}
      or lower(node) like {{ dbt_triton.sql_text('%.' ~ node ~ '.v%') }}) {%- endif %}
    order by started_at desc nulls last
    limit {{ most }}
  {%- endset -%}
  {{- return('select ' ~ dbt_triton.row_as_json('r') ~ ' as row_as_json from (' ~ chosen ~ ') as r') -}}
{%- endmacro %}


{#- A row as a text of JSON. -#}
{% macro row_as_json(alias) -%}
  {{- return(adapter.dispatch('row_as_json', 'dbt_triton')(alias)) -}}
{%- endmacro %}


{% macro default__row_as_json(alias) -%}
  {{- dbt_triton.refuse_warehouse() -}}
{%- endmacro %}


{% macro duckdb__row_as_json(alias) -%}
  {{- return('cast(to_json(' ~ alias ~ ') as varchar)') -}}
{%- endmacro %}


{% macro spark__row_as_json(alias) -%}
  {{- return('to_json(struct(' ~ alias ~ '.*))') -}}
{%- endmacro %}


{#- A place as people write it. -#}
{% macro readable_name(place) -%}
  {%- set parts = [] -%}
  {%- for part in [place.database, place.schema, place.identifier] if part -%}{%- do parts.append(part) -%}{%- endfor -%}
  {{- return(parts | join('.')) -}}
{%- endmacro %}
