"""With a persistent cache and nothing new a table is left as it is; whatever is new, it is built again."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import pytest
from support.dbt import DbtProject, DbtResult
from support.triton import Triton

pytestmark = [
    pytest.mark.slow,
    pytest.mark.duckdb_only(
        "whether anything is new cannot be known of a table of Spark's, so that each build makes it anew"
    ),
]

CONTRACT = {
    "config": {"contract": {"enforced": True}},
    "columns": [{"name": "id", "data_type": "bigint"}, {"name": "output", "data_type": "varchar"}],
}
#: Left alone by the second build and every later one: options of the model, and its FROM.
STEADY: dict[str, tuple[str, str]] = {
    "same": ("", ""),
    "of_a_view": ("", ""),
    "with_contract": ("", ""),
    "with_index": (", indexes=[{'columns': ['id']}]", ""),
    "with_failed_row": ("", ", MAP['on-error', 'null']"),
    "with_function": ("", ""),
    "nested": ("", ""),
    "refreshed": (", indexes=([{'columns': ['no_such_column']}] if var('break', false) else [])", ""),
}
#: What is done to one after the second build, as SQL; it is built again.
CHANGES = {
    "edited": "update edited set output = 'mine' where id = 1",
    "renamed_column": "alter table renamed_column rename column output to answer",
    "emptied": "delete from emptied",
    "value": "update in_value set review = 'changed' where id = 1",
    "value_not_sent": "update in_value_not_sent set weight = 3 where id = 1",
    # An UPDATE leaves a value that is equal.
    "sign_of_zero": "delete from in_sign_of_zero where id = 2; "
    "insert into in_sign_of_zero values (2, 'dull', -0.0::double)",
    "text_gone": "update in_text_gone set review = null where id = 2",
    "row_gone": "delete from in_row_gone where id = 2",
    "row_twice": "insert into in_row_twice from in_row_twice where id = 2",
    "column_added": "alter table in_column_added add column note varchar default 'new'",
    "prediction_gone": "delete from prediction_gone__ml_predictions where output = 'FINE'",
    "prediction_edited": "update prediction_edited__ml_predictions set output = 'MINE' where output = 'FINE'",
    "input_type": "alter table in_input_type alter column id type integer",
    "input_collation": "alter table in_input_collation alter column review type varchar collate nocase",
    "index": "create index by_hand on index (id)",
    "not_null": "alter table not_null alter column id set not null",
    "sign_in_table": "delete from sign_in_table where id = 2; "
    "insert into sign_in_table values (2, 'DULL', -0.0::double)",
    "dropped": "drop table dropped",
    "statement": "select 1",
}
#: Built again every time: the columns besides the key, and the configuration.
RESTLESS: dict[str, tuple[str, str]] = {
    "time": ("now() as at", ""),
    "date": ("current_date as today", ""),
    "chance": ("random() as chance", ""),
    "other_table": ("(select max(id) from in_same) as most", ""),
    "macro": ("current_user as who", ""),
    "post_hook": ("weight", ", post_hook='select 1'"),
    "pre_hook": ("weight", ", pre_hook='drop table if exists {{ this }}'"),
    "header": ("weight", ", sql_header='select 1;'"),
    "doubled": ("id", ""),
    "float_array": ("floats", ""),
}
CASES = [*STEADY, *CHANGES, *RESTLESS]
ROWS = [(1, "fine", 1.5), (2, "dull", 0.0), (3, "dull", 2.0), (4, None, None)]


@dataclass
class Builds:
    """Builds: the first, the same again, one after changes, the same again, and those with --full-refresh."""

    project: DbtProject
    results: list[DbtResult] = field(default_factory=list)
    marked: list[set[str]] = field(default_factory=list)

    def build(self, *arguments: str) -> None:
        """Mark every table, build, and note which have kept their mark: one that is made again has lost it."""
        with duckdb.connect(str(self.project.database)) as connection:
            tables = {row[0] for row in connection.execute("select table_name from duckdb_tables()").fetchall()}
            for case in tables.intersection(CASES):
                connection.execute(f"comment on table {case} is 'marked'")
        self.results.append(self.project.dbt("build", *arguments))
        kept = self.project.query("select table_name from duckdb_tables() where comment = 'marked'")
        self.marked.append({row[0] for row in kept})

    def left_alone(self, number: int, case: str) -> bool:
        """Tell whether a build, counted from 0, said of a table that nothing is new, and left it alone."""
        said = self.results[number].message(case).endswith("nothing new")
        assert said == (case in self.marked[number])
        return said

    def table(self, case: str) -> list[tuple[Any, ...]]:
        """Return the table as the last build left it."""
        return self.project.query(f"select id, output from {case} order by all")

    def wanted(self, case: str) -> list[tuple[Any, ...]]:
        """Return what the table must be for the input that there is."""
        return self.project.query(
            f"select id, case when review not like 'REFUSE%' then upper(review) end from in_{case} order by all"
        )


@pytest.fixture(scope="module")
def builds(triton: Triton, serve: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Builds:
    """Run the builds."""
    project = DbtProject(tmp_path_factory.mktemp("unchanged") / "project")
    with duckdb.connect(str(project.database)) as connection:
        for case in CASES:
            name = "rows_of_a_view" if case == "of_a_view" else f"in_{case}"
            connection.execute(f"create table {name} (id bigint, review varchar, weight double)")
            connection.executemany(f"insert into {name} values (?, ?, ?)", ROWS)
        connection.execute("create view in_of_a_view as from rows_of_a_view")
        connection.execute("insert into in_with_failed_row values (9, 'REFUSE 9', null)")
        connection.execute("alter table in_float_array add column floats float[] default [0.0]")
    project.inference_model("upper", triton.url, serve("upper_plain"), cache="persistent")
    project.inference_model("upper_apart", triton.url, serve("upper"), cache="persistent")
    for case in CASES:
        config, options = STEADY.get(case, ("", ""))
        more, config = RESTLESS.get(case, ("", config))
        columns = "id, output" + (f", {more}" if more else "") + (", weight" if case in CHANGES else "")
        columns += ", strlen(review) + 1 as length" if case == "with_function" else ""
        columns += f", {' || '.join(['output'] * 300)} as long" if case == "nested" else ""
        _write(project, case, columns, config, options)
    described = {
        "version": 2,
        "models": [{"name": "with_contract", **CONTRACT}, {"name": "same", "columns": [{"name": "id"}]}],
    }
    project.write("models/models.yml", json.dumps(described))
    made = Builds(project)
    made.build()
    made.build()
    with duckdb.connect(str(project.database)) as connection:
        for change in CHANGES.values():
            connection.execute(change)
    _write(project, "statement", "id, lower(output) as output", "", "")
    made.build()
    made.build()
    assert [result.code for result in made.results] == [0] * 4, made.results[-1].printed
    made.build("--full-refresh", "-s", "same")
    made.build("--full-refresh", "-s", "refreshed", "--vars", "break: true")
    made.build("-s", "refreshed")
    return made


def _write(project: DbtProject, case: str, columns: str, config: str, options: str) -> None:
    model = "upper_apart" if case == "with_failed_row" else "upper"
    project.model(
        case,
        f"{{{{ config(materialized='ml_predict'{config}) }}}}\nselect {columns} from ML_PREDICT("
        f"TABLE main.in_{case}, MODEL {{{{ ref('{model}') }}}}, DESCRIPTOR(review){options})",
    )


@pytest.mark.parametrize("case", STEADY)
def test_nothing_new(builds: Builds, case: str) -> None:
    """A table that would be built as it is stays, build after build; nothing is sent for it."""
    for number in (1, 2, 3):
        assert builds.left_alone(number, case)
        figures = builds.results[number].figures(case)
        assert figures["requests"] == figures["rows_predicted"] == 0
        assert figures["rows_reused"] == len(ROWS) - 1 + (case == "with_failed_row")
        assert figures["rows_failed"] == (case == "with_failed_row")
    assert builds.table(case) == builds.wanted(case)


@pytest.mark.parametrize("case", CHANGES)
def test_something_new(builds: Builds, case: str) -> None:
    """A change of the input, the table, its predictions or the statement: it is built again, and is right."""
    assert builds.left_alone(1, case)
    assert not builds.left_alone(2, case)
    assert builds.left_alone(3, case)
    sent = {"value": 1, "prediction_gone": 1}
    assert builds.results[2].figures(case)["rows_predicted"] == sent.get(case, 0)
    wanted = builds.wanted(case)
    if case == "prediction_edited":
        wanted[0] = (1, "MINE")
    assert builds.table(case) == (
        [(row[0], row[1] and row[1].lower()) for row in wanted] if case == "statement" else wanted
    )
    if case == "sign_of_zero":
        assert builds.project.query("select signbit(weight) from sign_of_zero where id = 2") == [(True,)]


@pytest.mark.parametrize("case", RESTLESS)
def test_never_sure(builds: Builds, case: str) -> None:
    """A statement that may give something else for the same input is built every time; nothing is sent."""
    assert not any(builds.left_alone(number, case) for number in (1, 2, 3))
    assert builds.results[3].figures(case)["requests"] == 0
    assert builds.table(case) == builds.wanted(case)


def test_unquoted_names(triton: Triton, serve: Callable[[str], str], project: DbtProject) -> None:
    """Where the project quotes no names, an index that was put on the table after the build is seen as well."""
    unquoted = {"identifier": False, "schema": False, "database": False}
    hook = "{{ 'create index by_end on unquoted (id)' if var('hook', false) else 'select 1' }}"
    settings = {"name": "shop", "version": "1.0.0", "profile": "shop", "quoting": unquoted, "on-run-end": [hook]}
    project.write("dbt_project.yml", json.dumps(settings))
    project.inference_model("upper", triton.url, serve("upper_plain"), cache="persistent")
    project.model("reviews", "{{ config(materialized='table') }} select 1 as id, 'fine' as review")
    project.model(
        "unquoted",
        "{{ config(materialized='ml_predict') }} select id, output from ML_PREDICT(TABLE {{ ref('reviews') }}, "
        "MODEL {{ ref('upper') }}, DESCRIPTOR(review))",
    )
    project.build()
    assert project.build("--vars", "hook: true").message("unquoted").endswith("nothing new")
    assert not project.build("--vars", "hook: true").message("unquoted").endswith("nothing new")


def test_neighbours_that_drop_indexes(triton: Triton, serve: Callable[[str], str], tmp_path: Path) -> None:
    """A neighbour's table swap, which breaks DuckDB's list of indexes, fails no build of ours."""
    project = DbtProject(tmp_path / "project", threads=2)
    project.inference_model("upper", triton.url, serve("upper_plain"), cache="persistent")
    project.model("a_rows", "{{ config(materialized='table') }} select i as id from range(2000000) t(i)")
    project.model(
        "classified",
        "{{ config(materialized='ml_predict') }} select id, output, '{{ var('round', 1) }}' as round from ML_PREDICT("
        "TABLE (select id, (id % 3)::varchar as review from {{ ref('a_rows') }}), MODEL {{ ref('upper') }}, "
        "DESCRIPTOR(review))",
    )
    for number in range(30):
        project.model(
            f"swapped_{number}",
            "{{ config(materialized='table', indexes=[{'columns': ['id']}]) }} "
            "select id from {{ ref('a_rows') }} limit 9",
        )
    project.build("-s", "+classified")
    for number in (2, 3):
        result = project.dbt("build", "--vars", f"round: {number}")
        assert result.status("classified") == "success", result.message("classified")


def test_neighbours_that_write(triton: Triton, serve: Callable[[str], str], project: DbtProject) -> None:
    """A neighbour that has the log of DuckDB grow while it writes is no reason to build again."""
    project.inference_model("upper", triton.url, serve("upper_plain"), cache="persistent")
    project.model("reviews", "{{ config(materialized='table') }} select 1 as id, 'fine' as review")
    # What DuckDBSession.fewer_checkpoints does while chunks of wide rows are committed.
    writes = "set global checkpoint_threshold = '{{ var('log', '16MB') }}'"
    project.model(
        "predicted",
        "{{ config(materialized='ml_predict', pre_hook=\"" + writes + '") }} select id, output from '
        "ML_PREDICT(TABLE {{ ref('reviews') }}, MODEL {{ ref('upper') }}, DESCRIPTOR(review))",
    )
    project.build("--vars", "log: 16MB")
    assert project.build("--vars", "log: 1TB").message("predicted").endswith("nothing new")


def test_full_refresh(builds: Builds) -> None:
    """--full-refresh builds, and sends everything."""
    assert not builds.left_alone(4, "same")
    assert builds.results[4].figures("same")["rows_predicted"] == 2


def test_failed_full_refresh(builds: Builds) -> None:
    """A build that sent everything anew and could not make the table is not forgotten: the next one makes it."""
    assert "no_such_column" in builds.results[5].message("refreshed")
    assert not builds.left_alone(6, "refreshed")
    assert builds.results[6].figures("refreshed")["rows_predicted"] == 0
