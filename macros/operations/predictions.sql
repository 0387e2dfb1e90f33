{#-
  What each predicting model holds: the rows of its table and how many of them failed; the predictions in its stores,
  the failed inputs among them, and the number of model versions that made them. Of one model, or of all.
-#}
{% macro predictions_status(name=none) -%}
  {%- set rows = [] -%}
  {%- for node in dbt_triton.predicting_nodes(name) -%}
    {%- set relation = dbt_triton.built_relation(node) -%}
    {%- set stores = dbt_triton.stores_of(node) -%}
    {%- set counted = ['null', 'null'] -%}
    {%- if relation -%}
      {%- set failed = [] -%}
      {%- for column in adapter.get_columns_in_relation(relation) if modules.re.fullmatch('ml_error\\d*', column.name) -%}
        {%- do failed.append(dbt_triton.quoted(column.name) ~ ' is not null') -%}
      {%- endfor -%}
      {%- set counted = ['count(*)', 'count(*) filter (where ' ~ (failed | join(' or ') or 'false') ~ ')'] -%}
    {%- endif -%}
    {%- set kept = [] -%}
    {%- for store in stores -%}
      {%- do kept.append(dbt_triton.kept_predictions(store)) -%}
    {%- endfor -%}
    {%- set kept = kept | join(' union all ') or 'select null as ml_error, null as ml_fingerprint where false' -%}
    {%- do rows.append(
      'select ' ~ dbt_triton.sql_text(dbt_triton.label_of(node)) ~ ' as model, found.table_rows, found.failed_rows, kept.* from (select '
      ~ counted[0] ~ ' as table_rows, ' ~ counted[1] ~ ' as failed_rows' ~ (' from ' ~ relation if relation else '')
      ~ ') as found cross join (select count(*) filter (where ml_error is null) as cached, count(ml_error) as cached_errors, '
      ~ 'count(distinct ml_fingerprint) as versions from (' ~ kept ~ ')) as kept'
    ) -%}
  {%- endfor -%}
  {%- do dbt_triton.print_rows(rows, 'there is no predicting model in this project') -%}
{%- endmacro %}


{#- Drop the stores of one predicting model, or of all; the next run predicts everything again. -#}
{% macro clear_predictions(name=none) -%}
  {%- set cleared = [] -%}
  {%- for node in dbt_triton.predicting_nodes(name) -%}
    {%- for store in dbt_triton.stores_of(node) -%}
      {%- do dbt_triton.drop_table(store) -%}
      {%- do print('dropped ' ~ store) -%}
      {%- do cleared.append(store) -%}
    {%- endfor -%}
  {%- endfor -%}
  {#- Looking at the relations has begun a transaction. -#}
  {%- do adapter.commit() -%}
  {%- if not cleared -%}{%- do print('there are no stored predictions') -%}{%- endif -%}
{%- endmacro %}


{#- The ml_predict models, and Python models that have a store; or the one of that name. -#}
{% macro predicting_nodes(name) -%}
  {%- set found = [] -%}
  {%- for node in graph.nodes.values() | sort(attribute='unique_id') if node.resource_type == 'model' -%}
    {%- if node.config.materialized == 'ml_predict' or (node.language == 'python' and dbt_triton.stores_of(node)) -%}
      {%- do found.append(node) -%}
    {%- endif -%}
  {%- endfor -%}
  {%- if name is none -%}{{- return(found) -}}{%- endif -%}
  {%- set called = dbt_triton.nodes_called(found, name) -%}
  {%- if not called -%}
    {%- set known = [] -%}
    {%- for node in found -%}{%- do known.append(dbt_triton.label_of(node)) -%}{%- endfor -%}
    {%- do exceptions.raise_compiler_error('no predicting model is called ' ~ name ~ '; there are: ' ~ (known | join(', ') or 'none')) -%}
  {%- endif -%}
  {{- return(called) -}}
{%- endmacro %}


{#- The prediction stores of a model: one for each of its calls, where it is kept. Another table of such a name is none. -#}
{% macro stores_of(node) -%}
  {%- set stores = [] -%}
  {%- set place = dbt_triton.store_place(node.database, node.schema, node.alias) -%}
  {%- set pattern = '(?i)' ~ modules.re.escape(place.identifier) ~ '(_\\d+)?' -%}
  {%- for identifier in dbt_triton.names_of_stores(place) if modules.re.fullmatch(pattern, identifier) -%}
    {%- do stores.append(api.Relation.create(database=place.database, schema=place.schema, identifier=identifier, type='table')) -%}
  {%- endfor -%}
  {{- return(stores) -}}
{%- endmacro %}


{#- The names of the tables that have the columns of a store, in the schema of one. -#}
{% macro names_of_stores(place) -%}
  {{- return(adapter.dispatch('names_of_stores', 'dbt_triton')(place)) -}}
{%- endmacro %}


{% macro default__names_of_stores(place) -%}
  {{- dbt_triton.refuse_warehouse() -}}
{%- endmacro %}


{% macro duckdb__names_of_stores(place) -%}
  {%- set found = run_query(
    'select table_name from duckdb_columns() where lower(database_name) = lower(' ~ dbt_triton.sql_text(place.database)
    ~ ') and lower(schema_name) = lower(' ~ dbt_triton.sql_text(place.schema) ~ ") and column_name in ('ml_key', 'ml_fingerprint') group by table_name having count(*) = 2 order by table_name"
  ) -%}
  {{- return(found.columns[0].values()) -}}
{%- endmacro %}


{% macro spark__names_of_stores(place) -%}
  {%- set schema = api.Relation.create(schema=place.schema, identifier=place.identifier).include(identifier=false) -%}
  {%- set found = run_query('show tables in ' ~ schema ~ ' like ' ~ dbt_triton.sql_text(place.identifier ~ '*')) -%}
  {%- set names = [] -%}
  {%- for row in found.rows | sort(attribute='tableName') -%}
    {%- set relation = api.Relation.create(schema=place.schema, identifier=row['tableName'], type='table') -%}
    {%- set columns = adapter.get_columns_in_relation(relation) | map(attribute='name') | list -%}
    {%- if 'ml_key' in columns and 'ml_fingerprint' in columns -%}{%- do names.append(row['tableName']) -%}{%- endif -%}
  {%- endfor -%}
  {{- return(names) -}}
{%- endmacro %}


{#- A query for the error, if any, and the model version of each prediction in a store. -#}
{% macro kept_predictions(store) -%}
  {{- return(adapter.dispatch('kept_predictions', 'dbt_triton')(store)) -}}
{%- endmacro %}


{% macro default__kept_predictions(store) -%}
  {{- dbt_triton.refuse_warehouse() -}}
{%- endmacro %}


{% macro duckdb__kept_predictions(store) -%}
  {{- return('select ml_error, ml_fingerprint from ' ~ store) -}}
{%- endmacro %}


{#- The figures of a run are in the store as well. -#}
{% macro spark__kept_predictions(store) -%}
  {{- return('select ml_error, ml_fingerprint from ' ~ store ~ " where ml_kind in ('ok', 'permanent', 'passing')") -}}
{%- endmacro %}
