{#-
  A table of Spark's is made beside the old one, under a name of its own, and takes its place by renames, since most formats
  cannot be replaced and dbt-spark drops the old table first. The name of what is beside it has the time in it, so that no
  name or folder of a run that was killed is ever in the way.

  Between the two renames there is no table; a run that is killed there leaves what the next one puts back.
-#}

{#- The relation that stands beside the table of this model: `tmp` for what is being made, `old` for what was there. -#}
{% macro beside(kind) -%}
  {%- set now = modules.datetime.datetime.now(modules.pytz.utc).strftime('%Y%m%d%H%M%S') -%}
  {%- set identifier = this.identifier | lower ~ '__dbt_' ~ kind ~ '_' ~ now ~ '_' ~ invocation_id[:4] -%}
  {{- return(this.incorporate(path={'identifier': identifier}, type='table')) -}}
{%- endmacro %}


{#- A relation as Spark lists it, in small letters: by dbt's cache, one in capitals would be another. -#}
{% macro as_listed(relation) -%}
  {{- return(relation.incorporate(path={'identifier': relation.identifier | lower})) -}}
{%- endmacro %}


{#- What runs that were killed have left beside the table of this model: lists of `tmp` and `old`, the oldest first. -#}
{% macro left_beside() -%}
  {%- set like = dbt_triton.sql_text(this.identifier ~ '__dbt_*') -%}
  {%- set found = run_query('show tables in ' ~ this.include(identifier=false) ~ ' like ' ~ like) -%}
  {%- set left, time = {'tmp': [], 'old': []}, '_\\d{14}_\\w{4}' -%}
  {%- for row in found.rows | sort(attribute='tableName') -%}
    {%- set rest = row['tableName'][this.identifier | length:] -%}
    {%- set relation = this.incorporate(path={'identifier': row['tableName']}, type='table') -%}
    {%- if modules.re.fullmatch('__dbt_tmp' ~ time, rest) -%}{%- do left.tmp.append(relation) -%}{%- endif -%}
    {#- Whoever renames tables by hand writes no time. -#}
    {%- if modules.re.fullmatch('__dbt_old(' ~ time ~ ')?', rest) -%}{%- do left.old.append(relation) -%}{%- endif -%}
  {%- endfor -%}
  {{- return(left) -}}
{%- endmacro %}


{#- Put the old table back where a run was killed between the two renames. -#}
{% macro recover_table() -%}
  {{- return(adapter.dispatch('recover_table', 'dbt_triton')()) -}}
{%- endmacro %}


{% macro default__recover_table() -%}
  {{- dbt_triton.refuse_warehouse() -}}
{%- endmacro %}


{#- A transaction is rolled back. -#}
{% macro duckdb__recover_table() -%}{%- endmacro %}


{% macro spark__recover_table() -%}
  {%- if load_cached_relation(this) is none -%}
    {%- set left = dbt_triton.left_beside().old -%}
    {%- if left -%}
      {%- set old = left[-1].incorporate(type=dbt_triton.details_of(left[-1]).type) -%}
      {%- do adapter.cache_added(old) -%}
      {%- do adapter.rename_relation(old, dbt_triton.as_listed(this.incorporate(type=old.type))) -%}
      {%- do log(model.name ~ ': an earlier run was ended while it replaced the table; ' ~ this ~ ' is the old one again', info=true) -%}
    {%- endif -%}
  {%- endif -%}
{%- endmacro %}


{% macro spark__make_table(existing_relation, target_relation, build_sql) -%}
  {%- set format = config.get('file_format') -%}
  {%- if format in ['delta', 'iceberg'] -%}
    {%- do dbt_triton.replace_at_once(existing_relation, target_relation, build_sql, format) -%}
  {%- else -%}
    {%- do dbt_triton.replace_by_renames(existing_relation, target_relation, build_sql) -%}
  {%- endif -%}
  {%- if format == 'delta' -%}{%- do persist_constraints(target_relation, model) -%}{%- endif -%}
  {%- do dbt_triton.drop_left_beside() -%}
{%- endmacro %}


{#- Delta and Iceberg replace a table of their own in one step, and keep it where the query fails. -#}
{% macro replace_at_once(existing_relation, target_relation, build_sql, format) -%}
  {%- set is_same = existing_relation is not none and existing_relation['is_' ~ format] -%}
  {%- set old_relation = none if existing_relation is none or is_same else dbt_triton.beside('old').incorporate(type=existing_relation.type) -%}
  {%- if old_relation -%}{%- do adapter.rename_relation(existing_relation, old_relation) -%}{%- endif -%}
  {%- call statement('main') -%}
    {{ create_table_as(false, target_relation, build_sql) }}
  {%- endcall -%}
  {%- if old_relation -%}{%- do dbt_triton.drop_table(old_relation) -%}{%- endif -%}
{%- endmacro %}


{% macro replace_by_renames(existing_relation, target_relation, build_sql) -%}
  {%- set staging_relation = dbt_triton.beside('tmp') -%}
  {#- With a location_root, dbt-spark names the folder by the model, whatever the table is: the old one is in there. -#}
  {%- set alias = model.alias -%}
  {%- do model.update({'alias': staging_relation.identifier}) -%}
  {%- call statement('main') -%}
    {{ create_table_as(false, staging_relation, build_sql) }}
  {%- endcall -%}
  {%- do model.update({'alias': alias}) -%}
  {%- do adapter.cache_added(staging_relation) -%}

  {%- set old_relation = dbt_triton.beside('old') -%}
  {%- if existing_relation is none -%}
    {%- do dbt_triton.free_folder(target_relation, staging_relation) -%}
  {%- elif existing_relation.is_table -%}
    {%- do adapter.rename_relation(existing_relation, old_relation) -%}
  {%- else -%}
    {%- do adapter.drop_relation(existing_relation) -%}
  {%- endif -%}
  {%- do adapter.rename_relation(staging_relation, dbt_triton.as_listed(target_relation)) -%}
  {%- if existing_relation is not none and existing_relation.is_table -%}{%- do dbt_triton.drop_table(old_relation) -%}{%- endif -%}
{%- endmacro %}


{#-
  Remove the empty folder that a failed CREATE TABLE AS of another materialization leaves: a rename would not pass. A table
  may be made in it, and takes it along.
-#}
{% macro free_folder(target_relation, staging_relation) -%}
  {%- if not config.get('location_root') -%}
    {%- call statement('dbt_triton_folder') -%} create table {{ target_relation }} like {{ staging_relation }} {%- endcall -%}
    {%- call statement('dbt_triton_folder') -%} drop table {{ target_relation }} {%- endcall -%}
  {%- endif -%}
{%- endmacro %}


{#-
  Drop what killed runs have left. An old table may be that of a run which is about to put the new one in its place:
  it stays for an hour.
-#}
{% macro drop_left_beside() -%}
  {%- set now = modules.datetime.datetime.now(modules.pytz.utc) -%}
  {%- set an_hour_ago = (now - modules.datetime.timedelta(hours=1)).strftime('%Y%m%d%H%M%S') -%}
  {%- set left = dbt_triton.left_beside() -%}
  {%- for relation in left.tmp -%}{%- do dbt_triton.drop_table(relation) -%}{%- endfor -%}
  {%- for relation in left.old -%}
    {%- set time = modules.re.findall('_(\\d{14})_\\w{4}$', relation.identifier) -%}
    {%- if not time or time[0] < an_hour_ago -%}{%- do dbt_triton.drop_table(relation) -%}{%- endif -%}
  {%- endfor -%}
{%- endmacro %}


{#- Drop a table with its files. -#}
{% macro drop_table(relation) -%}
  {{- return(adapter.dispatch('drop_table', 'dbt_triton')(relation)) -}}
{%- endmacro %}


{% macro default__drop_table(relation) -%}
  {{- dbt_triton.refuse_warehouse() -}}
{%- endmacro %}


{% macro duckdb__drop_table(relation) -%}
  {%- do adapter.drop_relation(relation) -%}
{%- endmacro %}


{#- A DROP leaves the files of a table with a location; those in a folder of our own making go by an overwrite with no rows. -#}
{% macro spark__drop_table(relation) -%}
  {%- set details = dbt_triton.details_of(relation) -%}
  {%- if details.is_external and modules.re.search('(__dbt_tmp_\\d{14}_\\w{4}|__ml_predictions(_\\d+)?)/?$', details.location) -%}
    {%- set nothing = [] -%}
    {%- for column in adapter.get_columns_in_relation(relation) -%}
      {%- do nothing.append('cast(null as ' ~ column.dtype ~ ') as ' ~ dbt_triton.quoted(column.name)) -%}
    {%- endfor -%}
    {%- call statement('dbt_triton_empty') -%}
      alter table {{ relation }} set serdeproperties (
        'partitionOverwriteMode' = 'static', 'mapreduce.fileoutputcommitter.marksuccessfuljobs' = 'false'
      )
    {%- endcall -%}
    {%- call statement('dbt_triton_empty') -%}
      insert overwrite table {{ relation }} select {{ nothing | join(', ') }} where false
    {%- endcall -%}
  {%- endif -%}
  {%- do adapter.drop_relation(relation.incorporate(type=details.type)) -%}
{%- endmacro %}


{#- What Spark says of a relation: `type`, which is table or view, `is_external` and `location`. -#}
{% macro details_of(relation) -%}
  {%- set said = {} -%}
  {%- for row in run_query('describe table extended ' ~ relation).rows -%}{%- do said.update({row['col_name']: row['data_type']}) -%}{%- endfor -%}
  {{- return({
    'type': 'view' if said.get('Type') == 'VIEW' else 'table',
    'is_external': said.get('Type') == 'EXTERNAL',
    'location': said.get('Location') or '',
  }) -}}
{%- endmacro %}
