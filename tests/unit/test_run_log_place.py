"""Where the run log is: the names that variables say, as SQL and as Python read them."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import duckdb
import pytest
from dbt.adapters.duckdb.relation import DuckDBRelation
from support.jinja_macros import MacroError, Macros

from dbt_triton.errors import ConfigurationError
from dbt_triton.step import dbt_context

VARIABLES = ("dbt_triton_runs_schema", "dbt_triton_runs_name", "dbt_triton_runs_database")


class Project:
    """The macros with some variables, on a DuckDB in memory."""

    def __init__(self, **variables: Any) -> None:
        self.connection = duckdb.connect()
        self.printed: list[str] = []
        self.macros = Macros(
            *(
                "runs.sql",
                "internal/texts.sql",
                "internal/step.sql",
                "internal/generic_tests.sql",
                "internal/report.sql",
            ),
            var=lambda name, default=None: variables.get(name, default),
            target=SimpleNamespace(name="dev", database="memory", schema="main"),
            api=SimpleNamespace(Relation=DuckDBRelation),
            run_query=self.run_query,
            get_columns_in_query=lambda sql: [item[0] for item in self.connection.execute(sql).description or ()],
            graph=SimpleNamespace(nodes={}),
            dbt=SimpleNamespace(type_string=lambda: "varchar"),
            project_name="shop",
            tojson=json.dumps,
            print=self.printed.append,
        )

    def run_query(self, sql: str) -> Any:
        """Return rows as dbt does."""
        rows = self.connection.execute(sql).fetchall()
        column = SimpleNamespace(values=lambda: [row[0] for row in rows])
        return SimpleNamespace(rows=rows, columns=[column])


@pytest.mark.parametrize("name", ["night shift", 'the "night"', '"', '""', "it's", "a.b", "größe", "select", "2026"])
def test_any_name(name: str) -> None:
    """Whatever a name holds, the table is found by the relation, by the tests, and by the report."""
    project = Project(dbt_triton_runs_schema=name, dbt_triton_runs_name=name)
    quoted = '"' + name.replace('"', '""') + '"'
    assert project.macros.runs_for_test("max_drift", "why") is None
    project.connection.execute(f"create schema {quoted}")
    project.connection.execute(f"create table {quoted}.{quoted} as select 'model.shop.m' as node, now() as started_at")
    relation = project.macros.runs_relation()
    assert project.connection.execute(f"select node from {relation}").fetchall() == [("model.shop.m",)]
    assert str(project.macros.runs_for_test("max_drift", "why")) == str(relation)
    project.macros.print_runs("2000-01-01 00:00:00", None, 10, 10)
    rows, about = project.printed
    assert "model.shop.m" in rows
    assert json.loads(about.removeprefix("dbt_triton_runs "))["exists"] is True


@pytest.mark.parametrize("said", [[1], {"a": 1}, True, ["x"]])
@pytest.mark.parametrize("variable", VARIABLES)
def test_what_is_no_name(monkeypatch: pytest.MonkeyPatch, variable: str, said: Any) -> None:
    """A list, a map or a truth value is refused by the variable's name, by macros and by Python models alike."""
    with pytest.raises(MacroError, match=f"the variable {variable} must be a name, not"):
        Project(**{variable: said}).macros.runs_place()
    monkeypatch.setattr(dbt_context, "variable", lambda name: said if name == variable else None)
    with pytest.raises(ConfigurationError, match=rf"the variable {variable}:\s+(- )?it must be a name, not"):
        dbt_context.name_in_variable(variable)


@pytest.mark.parametrize(("said", "place"), [(2026, "2026"), ("x", "x"), ("", "main"), (None, "main")])
def test_names_that_are_numbers_or_nothing(said: Any, place: str) -> None:
    """On the command line a name of digits is a number; nothing is the target's own schema."""
    assert Project(dbt_triton_runs_schema=said).macros.runs_place()["schema"] == place
