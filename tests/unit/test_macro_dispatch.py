"""What differs between warehouses is dispatched, and each of them has its own of it."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest
from support.jinja_macros import MACROS, MacroError, Macros

_FILES = sorted(MACROS.rglob("*.sql"))
_MACRO = re.compile(r"\{%-?\s*macro\s+(\w+)\(.*?\{%-?\s*endmacro\s*-?%\}", re.DOTALL)
#: What DuckDB alone reads, or its adapter alone has.
_OF_DUCKDB = re.compile(
    r"duckdb_\w|getvariable|create or replace temp|setvariable|list_transform|exclude \(", re.IGNORECASE
)
#: dbt's own, which are dispatched by dbt.
_OF_DBT = {"get_empty_subquery_sql"}


def _macros() -> dict[str, str]:
    """Return the text of every macro without its comments."""
    found: dict[str, str] = {}
    for file in _FILES:
        text = re.sub(r"\{#.*?#\}", "", file.read_text("utf-8"), flags=re.DOTALL)
        found |= {macro[1]: macro[0] for macro in _MACRO.finditer(text)}
    return found


def test_every_warehouse_has_its_own() -> None:
    """What one warehouse has of its own, the other has as well; on a third, the macro says which there are."""
    macros = _macros()
    by_warehouse = {
        warehouse: {name.removeprefix(f"{warehouse}__") for name in macros if name.startswith(f"{warehouse}__")}
        for warehouse in ("duckdb", "spark")
    }
    assert by_warehouse["duckdb"] == by_warehouse["spark"]
    assert len(by_warehouse["duckdb"]) > 15
    for name in by_warehouse["duckdb"] - _OF_DBT:
        assert f"adapter.dispatch('{name}', 'dbt_triton')" in macros[name]
        assert "dbt_triton.refuse_warehouse()" in macros[f"default__{name}"]


def test_settings_of_spark_are_read_in_one_place() -> None:
    """A project may put its query comment behind each statement: Spark takes it for a part of SET with a bare key."""
    reading = {name: text for name, text in _macros().items() if re.search(r"""['"]\s*set spark|['"]set ['"]""", text)}
    assert list(reading) == ["spark_setting"]
    assert "run_query('set ' ~ dbt_triton.quoted(key))" in reading["spark_setting"]


def test_duckdb_stands_in_its_own_macros() -> None:
    """No words that DuckDB alone knows stand in what every warehouse runs."""
    for name, text in _macros().items():
        if not name.startswith("duckdb__"):
            assert not _OF_DUCKDB.search(text), name
    for file in (MACROS / "materializations").iterdir():
        assert not _OF_DUCKDB.search(file.read_text("utf-8"))


def test_another_warehouse() -> None:
    """On a warehouse of another kind, a macro says which there are."""
    adapter = SimpleNamespace(type=lambda: "postgres")
    macros = Macros("internal/supported.sql", "internal/texts.sql", adapter=adapter)
    adapter.dispatch = lambda name, _: getattr(macros, f"default__{name}")
    with pytest.raises(MacroError, match=r"works on DuckDB \(dbt-duckdb\) and on Apache Spark .* is of type postgres"):
        macros.sql_text("a")


@pytest.mark.parametrize("method", ["thrift", "http", "odbc"])
def test_other_connections_of_spark(method: str) -> None:
    """A connection over which no step can run is one sentence."""
    for said in (method, None):
        credentials = SimpleNamespace(method=said)
        adapter = SimpleNamespace(config=SimpleNamespace(credentials=credentials))
        macros = Macros("internal/checks.sql", adapter=adapter, model=SimpleNamespace(name="predicted"))
        with pytest.raises(MacroError, match="predicted: ML_PREDICT on Spark needs `method: session`") as raised:
            macros.spark__check_connection()
        assert (f"not `method: {method}`" in str(raised.value)) == (said is not None)
    adapter.config.credentials.method = "session"
    macros.spark__check_connection()
