{% macro drift_sql(relation, at_most, column, baseline, baseline_column, output, call, bins, kind) -%}
  {%- set nothing = dbt_triton.nothing_found(['psi', 'at_most', 'dbt_failures']) -%}
  {%- if not execute -%}{{- return(nothing) -}}{%- endif -%}
  {%- if not dbt_triton.is_count(at_most) -%}
    {%- do exceptions.raise_compiler_error('max_drift: at_most is a number from 0, not ' ~ at_most) -%}
  {%- elif bins not in [2, 4, 5, 10, 20] -%}
    {%- do exceptions.raise_compiler_error('max_drift: bins is 2, 4, 5, 10 or 20, not ' ~ bins) -%}
  {%- elif kind not in [none, 'classes', 'numbers'] -%}
    {%- do exceptions.raise_compiler_error("max_drift: kind is 'classes' or 'numbers', not " ~ kind) -%}
  {%- elif baseline is none and kind is not none -%}
    {%- do exceptions.raise_compiler_error('max_drift: kind is for a baseline; the profile of a run says its own') -%}
  {%- endif -%}
  {%- if dbt_triton.only_renders() -%}{{- return(nothing) -}}{%- endif -%}
  {%- set sides = namespace(baseline=none, current=none) -%}
  {%- if baseline is not none -%}
    {%- set name = dbt_triton.quoted(baseline_column or column) -%}
    {%- set kind = kind or dbt_triton.kind_of_column(baseline, name) -%}
    {%- if kind == 'numbers' -%}
      {%- set edges = [] -%}
      {%- for number in range(1, bins) -%}{%- do edges.append('edges.e' ~ number) -%}{%- endfor -%}
      {%- set beside = ' cross join ' ~ dbt_triton.quantiles_of(baseline, name, bins) -%}
      {%- set beyond = 'number > edges.highest and edges.e' ~ (bins - 1) ~ ' = edges.highest' -%}
      {%- set sides.baseline = dbt_triton.binned(baseline, name, edges, beyond, beside) -%}
      {%- set sides.current = dbt_triton.binned(relation, dbt_triton.quoted(column), edges, beyond, beside) -%}
    {%- else -%}
      {%- set sides.baseline = dbt_triton.classed(baseline, name) -%}
      {%- set sides.current = dbt_triton.classed(relation, dbt_triton.quoted(column)) -%}
    {%- endif -%}
  {%- else -%}
    {%- set profile = dbt_triton.profile_before(output or column, output is not none, call) -%}
    {%- if profile is none -%}
      {%- do log('max_drift of ' ~ column ~ ' in ' ~ dbt_triton.tested_node().name ~ ': there is no earlier run to compare with, so it passes', info=true) -%}
      {{- return(nothing) -}}
    {%- elif profile.kind == 'numbers' -%}
      {%- set edges = dbt_triton.edges_of(profile, bins) -%}
      {%- set sides.baseline = dbt_triton.bins_of_profile(profile, bins) -%}
      {%- set beyond = dbt_triton.beyond_profile(profile, bins) -%}
      {%- set sides.current = dbt_triton.binned(relation, dbt_triton.quoted(column), edges, beyond, '') -%}
    {%- else -%}
      {%- set sides.baseline = dbt_triton.classes_of_profile(profile) -%}
      {%- set sides.current = dbt_triton.classed(relation, dbt_triton.quoted(column), profile.counts | list) -%}
    {%- endif -%}
  {%- endif -%}
  {%- set sql = dbt_triton.psi_of(sides.baseline, sides.current, at_most) -%}
  {%- do dbt_triton.say_too_few(sql, relation, at_most, column) -%}
  {{- return(sql) -}}
{%- endmacro %}


{#-
  Say it where an index that is above `at_most` might be chance: as dbt_triton/population_stability.py has it, two samples of
  so few rows differ as much though nothing has changed. Of a large table it is not asked, as the rows are read once more.
-#}
{% macro say_too_few(sql, relation, at_most, column) -%}
  {%- if run_query('select count(*) as n from ' ~ relation).rows[0][0] > 100000 -%}{{- return('') -}}{%- endif -%}
  {%- set found = run_query(
    'select max(psi) as psi, max(by_chance) as by_chance, cast(sum(current_rows) as bigint) as now, cast(sum(baseline_rows) as bigint) as earlier from ('
    ~ sql ~ ') as measured'
  ).rows[0] -%}
  {%- if found[0] is not none and found[1] >= ([0.1, at_most] | min if at_most > 0 else 0.1) -%}
    {%- do log(
      'max_drift of ' ~ column ~ ' in ' ~ dbt_triton.tested_node().name ~ ': the index is ' ~ '%.3f' % found[0] ~ ', but there are too few rows to judge, '
      ~ found[2] ~ ' now and ' ~ found[3] ~ ' before: by chance alone it would be about ' ~ '%.3f' % found[1],
      info=true
    ) -%}
  {%- endif -%}
{%- endmacro %}


{#- The bins of two sides, each a query for `kind`, `bin` and `n`, with the index of all of them. -#}
{% macro psi_of(baseline, current, at_most) -%}
  {%- set sql -%}
select bin, baseline_rows, current_rows, baseline_share, current_share, contribution, psi, by_chance, at_most,
greatest(cast(floor(psi * 1000) as bigint), cast(1 as bigint)) as dbt_failures
from (
select bin, baseline_rows, current_rows, baseline_share, current_share,
(current_share - baseline_share) * ln(current_share / baseline_share) as contribution,
sum((current_share - baseline_share) * ln(current_share / baseline_share)) over () as psi,
(count(case when baseline_rows + current_rows > 0 then 1 end) over () - 1) * (1 / all_before + 1 / all_now) as by_chance,
cast({{ at_most }} as double) as at_most
from (
select bin, baseline_rows, current_rows,
greatest(baseline_rows / cast(sum(baseline_rows) over () as double), cast(0.0001 as double)) as baseline_share,
greatest(current_rows / cast(sum(current_rows) over () as double), cast(0.0001 as double)) as current_share,
sum(baseline_rows) over () as all_before, sum(current_rows) over () as all_now
from (
select kind, bin, cast(sum(case when side = 1 then n else 0 end) as double) as baseline_rows,
cast(sum(case when side = 2 then n else 0 end) as double) as current_rows
from (
select 1 as side, kind, bin, n from ({{ baseline }}) as before
union all select 2 as side, kind, bin, n from ({{ current }}) as now
) as both_sides group by kind, bin
) as counted
) as shares where all_before > 0 and all_now > 0
) as measured where psi > at_most
  {%- endset -%}
  {{- return(sql) -}}
{%- endmacro %}


{#- How often each value of a column is there. With `known`, other values than these are one class, and texts are cut as in a profile. -#}
{% macro classed(relation, column, known=none) -%}
  {%- set text = 'cast(' ~ column ~ ' as ' ~ dbt_triton.text_type() ~ ')' -%}
  {%- set value = text if known is none else 'case when length(' ~ text ~ ') > 100 then concat(substr(' ~ text ~ ", 1, 100), '…') else " ~ text ~ ' end' -%}
  {%- set texts = [] -%}
  {%- for name in known or [] -%}{%- do texts.append(dbt_triton.sql_text(name)) -%}{%- endfor -%}
  {%- set is_other = 'false' if known is none else ('value not in (' ~ texts | join(', ') ~ ')' if texts else 'true') -%}
  {%- set sql -%}
select kind, bin, count(*) as n from (
select case when value is null then 'null' when {{ is_other }} then 'other' else 'value' end as kind,
case when value is null then 'NULL' when {{ is_other }} then 'other values' else value end as bin
from (select {{ value }} as value from {{ relation }}) as texts
) as classes group by kind, bin
  {%- endset -%}
  {{- return(sql) -}}
{%- endmacro %}


{#-
  How many rows are in each bin: as many edges are not above a number as the number of its bin. What is no number is NULL.

  `beyond` holds for the numbers that lie above all of a baseline whose last bin is one value: they are one bin more.
-#}
{% macro binned(relation, column, edges, beyond, beside) -%}
  {%- set counts = ['0'] -%}
  {%- for edge in edges -%}{%- do counts.append('case when number >= ' ~ edge ~ ' then 1 else 0 end') -%}{%- endfor -%}
  {%- do counts.append('case when ' ~ beyond ~ ' then 1 else 0 end') -%}
  {%- set sql -%}
select kind, bin, count(*) as n from (
select case when number is null then 'null' else 'value' end as kind,
case when number is null then 'NULL' else concat('bin ', cast(1 + {{ counts | join(' + ') }} as {{ dbt_triton.text_type() }})) end as bin
from (select {{ dbt_triton.finite(column) }} as number from {{ relation }}) as numbers{{ beside }}
) as bins group by kind, bin
  {%- endset -%}
  {{- return(sql) -}}
{%- endmacro %}


{#- A number; NULL where it is infinite or none. -#}
{% macro finite(column) -%}
  {%- set largest = '1.7976931348623157e308' -%}
  {{- return('case when ' ~ column ~ ' between -' ~ largest ~ ' and ' ~ largest ~ ' then cast(' ~ column ~ ' as double) end') -}}
{%- endmacro %}


{#- The inner edges between bins of as many rows each, and the highest number, as one row. -#}
{% macro quantiles_of(relation, column, bins) -%}
  {%- set columns = [] -%}
  {%- for number in range(1, bins) -%}
    {%- do columns.append(dbt_triton.quantile('number', number / bins) ~ ' as e' ~ number) -%}
  {%- endfor -%}
  {%- do columns.append('max(number) as highest') -%}
  {{- return(
    '(select ' ~ columns | join(', ') ~ ' from (select ' ~ dbt_triton.finite(column) ~ ' as number from ' ~ relation ~ ') as finite_numbers) as edges'
  ) -}}
{%- endmacro %}


{% macro quantile(number, fraction) -%}
  {{- return(adapter.dispatch('quantile', 'dbt_triton')(number, fraction)) -}}
{%- endmacro %}


{% macro default__quantile(number, fraction) -%}
  {{- dbt_triton.refuse_warehouse() -}}
{%- endmacro %}


{% macro duckdb__quantile(number, fraction) -%}
  {{- return('quantile_cont(' ~ number ~ ', ' ~ fraction ~ ')') -}}
{%- endmacro %}


{% macro spark__quantile(number, fraction) -%}
  {{- return('percentile(' ~ number ~ ', ' ~ fraction ~ ')') -}}
{%- endmacro %}


{#- Whether a column is compared as numbers: fractions are, and integers of more than 30 values, as in a profile. -#}
{% macro kind_of_column(relation, column) -%}
  {%- set found = run_query(
    'select max(kind) as kind, count(distinct value) as many from (select typeof(' ~ column ~ ') as kind, ' ~ column ~ ' as value from '
    ~ relation ~ ') as typed'
  ).rows[0] -%}
  {%- set type = (found[0] or '') | lower -%}
  {%- if modules.re.match('(float|double|real|decimal|numeric)', type) and not type.endswith(']') -%}{{- return('numbers') -}}{%- endif -%}
  {%- set is_integer = modules.re.fullmatch('u?(tiny|small|big|huge)?int(eger)?', type) -%}
  {{- return('numbers' if is_integer and found[1] > 30 else 'classes') -}}
{%- endmacro %}


{#-
  The profile of an OUTPUT column in the run before the last one that succeeded; none where there is no such run.

  In `dbt build` the last run is the one that has just made the table, and in `dbt test` the one that made it before. A run
  that predicted no value, such as one with an empty input, is passed over for the one before it; the last 50 are looked at.
-#}
{% macro profile_before(output, is_said, call) -%}
  {%- set runs = dbt_triton.runs_for_test('max_drift', 'it was given no baseline') -%}
  {%- set invocations = dbt_triton.last_runs(runs, 50) if runs else [] -%}
  {%- set found = namespace(profile=none) -%}
  {%- for invocation in invocations[1:] if found.profile is none -%}
    {%- set profile = dbt_triton.profile_of_run(runs, invocation, output, is_said, call) -%}
    {%- if profile is not none and profile.rows > profile.nulls -%}{%- set found.profile = profile -%}{%- endif -%}
  {%- endfor -%}
  {%- if found.profile is not none and found.profile.kind == 'other' -%}
    {%- do exceptions.raise_compiler_error(
      'max_drift: OUTPUT ' ~ found.profile.name ~ ' holds arrays, or texts that are nearly all different, which have no distribution to compare'
    ) -%}
  {%- endif -%}
  {{- return(found.profile) -}}
{%- endmacro %}


{#- The profile of an OUTPUT column in a run; none where it has none at all. -#}
{% macro profile_of_run(runs, invocation, output, is_said, call) -%}
  {%- set found = run_query(
    'select ' ~ dbt_triton.quoted('call') ~ ', predicted from ' ~ runs ~ ' where ' ~ dbt_triton.of_runs([invocation])
    ~ ' and predicted is not null order by ' ~ dbt_triton.quoted('call') ~ ', ' ~ dbt_triton.quoted('rows') ~ ' desc'
  ) -%}
  {%- set every, named, seen = [], [], [] -%}
  {%- for row in found.rows if call is none or row[0] | int == call -%}
    {%- set profiles = fromjson(row[1]) -%}
    {#- Of the batches of a microbatch model, which have a row each, it is the one of the most rows. -#}
    {%- for name, profile in (profiles.items() if profiles is mapping else []) if profile is mapping and (name, row[0] | int) not in seen -%}
      {%- do seen.append((name, row[0] | int)) -%}
      {%- do every.append({'name': name, 'call': row[0] | int, 'profile': profile}) -%}
    {%- endfor -%}
  {%- endfor -%}
  {%- for item in every if item.name | lower == output | lower -%}{%- do named.append(item) -%}{%- endfor -%}
  {#- A table often calls its only prediction otherwise. -#}
  {%- set chosen = named if named or is_said else every -%}
  {%- if not every -%}{{- return(none) -}}{%- endif -%}
  {%- if chosen | length != 1 -%}
    {%- set names = [] -%}
    {%- for item in every -%}{%- do names.append(item.name ~ ' of call ' ~ item.call) -%}{%- endfor -%}
    {%- do exceptions.raise_compiler_error(
      'max_drift: ' ~ output ~ (' is predicted by several calls' if named else ' is no OUTPUT column') ~ ' of the last run; write `output`, and `call` where several calls have it: '
      ~ names | join(', ')
    ) -%}
  {%- endif -%}
  {%- if not dbt_triton.is_profile(chosen[0].profile) -%}
    {%- do exceptions.raise_compiler_error(
      'max_drift: the profile of OUTPUT ' ~ chosen[0].name ~ ' in the run before is none that dbt_triton has written; give a baseline, or delete that row of ml_predict_runs'
    ) -%}
  {%- endif -%}
  {%- do chosen[0].profile.update({'name': chosen[0].name}) -%}
  {{- return(chosen[0].profile) -}}
{%- endmacro %}


{#- Whether a profile is as it should be: its figures become SQL, and others may write the table that it comes from. -#}
{% macro is_profile(profile) -%}
  {%- set figures = [profile.rows, profile.nulls] -%}
  {%- set signed = [] -%}
  {%- if profile.kind == 'classes' and profile.counts is mapping -%}
    {%- do figures.append(profile.other) -%}
    {%- do figures.extend(profile.counts.values()) -%}
  {%- elif profile.kind == 'numbers' and profile.edges is sequence and profile.shares is sequence
      and (profile.edges | length, profile.shares | length) in [(0, 0), (21, 20)] -%}
    {%- do figures.append(profile.get('not_finite', 0)) -%}
    {%- do figures.extend(profile.shares) -%}
    {%- do signed.extend(profile.edges) -%}
  {%- elif profile.kind != 'other' -%}
    {{- return(false) -}}
  {%- endif -%}
  {%- set wrong = [] -%}
  {%- for value in figures if not dbt_triton.is_count(value) -%}{%- do wrong.append(value) -%}{%- endfor -%}
  {%- for value in signed if value is not number or value is boolean or not (-1.7e308 <= value <= 1.7e308) -%}{%- do wrong.append(value) -%}{%- endfor -%}
  {{- return(not wrong) -}}
{%- endmacro %}


{#- Whether a value is a number from 0 that SQL can hold: NaN and infinity are none. -#}
{% macro is_count(value) -%}
  {{- return(value is number and value is not boolean and 0 <= value < 1e300) -}}
{%- endmacro %}


{#- The inner edges of a profile of numbers, as SQL. They are rounded in it, so that a value which is an edge might be just below. -#}
{% macro edges_of(profile, bins) -%}
  {%- set edges = [] -%}
  {%- for number in range(1, bins) if profile.edges -%}
    {%- set edge = profile.edges[number * (20 // bins)] -%}
    {%- do edges.append('cast(' ~ (edge - (edge | abs) * 1e-9) ~ ' as double)') -%}
  {%- endfor -%}
  {{- return(edges) -}}
{%- endmacro %}


{#- The condition on a number to lie above all of a profile whose last bin is one value; rounded the other way. -#}
{% macro beyond_profile(profile, bins) -%}
  {%- set highest = profile.edges[-1] if profile.edges else none -%}
  {%- if highest is none or profile.edges[(bins - 1) * (20 // bins)] != highest -%}{{- return('1 = 0') -}}{%- endif -%}
  {{- return('number > cast(' ~ (highest + (highest | abs) * 1e-9) ~ ' as double)') -}}
{%- endmacro %}


{% macro bins_of_profile(profile, bins) -%}
  {%- set missing = profile.nulls + profile.get('not_finite', 0) -%}
  {%- set selects = ["select 'null' as kind, 'NULL' as bin, cast(" ~ missing ~ ' as double) as n'] -%}
  {%- set width = 20 // bins -%}
  {%- for number in range(bins) if profile.edges -%}
    {%- set share = profile.shares[number * width:(number + 1) * width] | sum -%}
    {%- do selects.append("select 'value', 'bin " ~ (number + 1) ~ "', cast(" ~ share * (profile.rows - missing) ~ ' as double)') -%}
  {%- endfor -%}
  {{- return(selects | join(' union all ')) -}}
{%- endmacro %}


{% macro classes_of_profile(profile) -%}
  {%- set selects = [
    "select 'null' as kind, 'NULL' as bin, cast(" ~ profile.nulls ~ ' as double) as n',
    "select 'other', 'other values', cast(" ~ profile.other ~ ' as double)'
  ] -%}
  {%- for value, n in profile.counts.items() -%}
    {%- do selects.append("select 'value', " ~ dbt_triton.sql_text(value) ~ ', cast(' ~ n ~ ' as double)') -%}
  {%- endfor -%}
  {{- return(selects | join(' union all ')) -}}
{%- endmacro %}
