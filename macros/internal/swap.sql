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
  {%- set format = dbt_triton.table_format() -%}
  {%- set existing_relation = dbt_triton.as_it_is(existing_relation) -%}
  {%- if format in ['delta', 'iceberg'] and (existing_relation is none or existing_relation['is_' ~ format]) -%}
    {%- do dbt_triton.replace_at_once(target_relation, build_sql) -%}
  {%- else -%}
    {%- do dbt_triton.replace_by_renames(existing_relation, target_relation, build_sql) -%}
  {%- endif -%}
  {%- if format == 'delta' -%}{%- do persist_constraints(target_relation, model) -%}{%- endif -%}
  {%- do dbt_triton.drop_left_beside() -%}
{%- endmacro %}


{#- Delta and Iceberg replace a table of their own in one step, and keep it where the query fails. -#}
{% macro replace_at_once(target_relation, build_sql) -%}
  {#- dbt-spark looks at the file_format alone. -#}
  {%- set made = create_table_as(false, target_relation, build_sql) -%}
  {%- call statement('main') -%}
    {{ made | replace('create table ' ~ target_relation, 'create or replace table ' ~ target_relation, 1) }}
  {%- endcall -%}
{%- endmacro %}


{% macro replace_by_renames(existing_relation, target_relation, build_sql) -%}
  {%- set staging_relation = dbt_triton.beside('tmp') -%}
  {#- With a location_root, dbt-spark names the folder by the model, whatever the table is: the old one is in there. -#}
  {%- set alias = model.alias -%}
  {%- do model.update({'alias': staging_relation.identifier}) -%}
  {%- set made = create_table_as(false, staging_relation, build_sql) -%}
  {%- call statement('main') -%}
    {{ made | replace('create table ' ~ staging_relation, 'create table ' ~ staging_relation ~ dbt_triton.instead_of_hive(), 1) }}
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
    {%- do dbt_triton.drop_table(target_relation) -%}
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
  {%- if details.is_external and details.format != 'iceberg' and modules.re.search('(__dbt_tmp_\\d{14}_\\w{4}|__ml_predictions(_\\d+)?)/?$', details.location) -%}
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
  {%- if dbt_triton.keeps_files(details.format) -%}
    {%- call statement('dbt_triton_drop') -%} drop {{ details.type }} if exists {{ relation }}{{ ' purge' if details.type == 'table' }} {%- endcall -%}
    {%- do adapter.cache_dropped(relation) -%}
  {%- else -%}
    {%- do adapter.drop_relation(relation.incorporate(type=details.type)) -%}
  {%- endif -%}
{%- endmacro %}


{#- Whether a DROP without PURGE leaves the files: Iceberg does, and so does its session catalog with tables of other formats. -#}
{% macro keeps_files(format) -%}
  {{- return(format == 'iceberg' or dbt_triton.spark_setting('spark.sql.catalog.spark_catalog') == 'org.apache.iceberg.spark.SparkSessionCatalog') -}}
{%- endmacro %}


{#- A setting of the session, as a text. Its key is quoted: of a bare one, Spark takes a query comment of dbt behind it for a part. -#}
{% macro spark_setting(key) -%}
  {%- set found = run_query('set ' ~ dbt_triton.quoted(key)).rows -%}
  {{- return(found[0]['value'] if found | length > 0 else '') -}}
{%- endmacro %}


{#- What Spark says of a relation: `type`, which is table or view, `is_external`, `location` and `format`. -#}
{% macro details_of(relation) -%}
  {%- set said = {} -%}
  {%- for row in run_query('describe table extended ' ~ relation).rows -%}{%- do said.update({row['col_name']: row['data_type']}) -%}{%- endfor -%}
  {{- return({
    'type': 'view' if said.get('Type') == 'VIEW' else 'table',
    'is_external': said.get('Type') == 'EXTERNAL',
    'location': said.get('Location') or '',
    'format': (said.get('Provider') or '') | lower,
  }) -}}
{%- endmacro %}


{#-
  A relation of dbt's cache, with the format that it really has: dbt-spark does not know an Iceberg table in a session's
  catalog, since SHOW TABLE EXTENDED says of it what the metastore does.
-#}
{% macro as_it_is(relation) -%}
  {%- if relation is none or not relation.is_table -%}{{- return(relation) -}}{%- endif -%}
  {%- set format = dbt_triton.details_of(relation).format -%}
  {{- return(relation.incorporate(is_iceberg=format == 'iceberg', is_delta=format == 'delta')) -}}
{%- endmacro %}


{#- The format that a table of this model gets: where the current catalog is one of Iceberg's own, every table is of its. -#}
{% macro table_format() -%}
  {%- set format = config.get('file_format') -%}
  {%- if format in ['delta', 'iceberg'] -%}{{- return(format) -}}{%- endif -%}
  {%- set catalog = run_query('select current_catalog()').columns[0].values()[0] -%}
  {%- if catalog != 'spark_catalog' -%}
    {%- if dbt_triton.spark_setting('spark.sql.catalog.' ~ catalog) == 'org.apache.iceberg.spark.SparkCatalog' -%}{{- return('iceberg') -}}{%- endif -%}
  {%- endif -%}
  {{- return(format) -}}
{%- endmacro %}


{#-
  What to say where a table has no file_format: Spark 3.5 would make one of Hive's text, which lacks types (TIMESTAMP
  without a time zone), and cannot tell some texts from NULL. Spark 4 makes one of its own format, and so do we.
-#}
{% macro instead_of_hive() -%}
  {%- if config.get('file_format') is none and run_query('select current_catalog()').columns[0].values()[0] == 'spark_catalog' -%}
    {%- if dbt_triton.spark_setting('spark.sql.legacy.createHiveTableByDefault') | lower == 'true' -%}
      {{- return(' using ' ~ dbt_triton.spark_setting('spark.sql.sources.default')) -}}
    {%- endif -%}
  {%- endif -%}
  {{- return('') -}}
{%- endmacro %}
