import subprocess
import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import duckdb
import pytest

from dbt_triton.warehouses import open_warehouse
from dbt_triton.warehouses.duckdb.warehouse import DuckDBWarehouse


class OnSpark:
    """Stands in for Spark's warehouse, which needs Java."""

    def __init__(self, session: object, arguments: Mapping[str, Any]) -> None:
        self.opened = (session, arguments)


@pytest.mark.parametrize("module", ["pyspark.sql.session", "pyspark.sql.connect.session"])
def test_session_of_spark(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A session of Spark, classic or Connect, or a class of somebody's that is one, gets Spark's warehouse."""
    stand_in = ModuleType("dbt_triton.warehouses.spark.session")
    stand_in.SparkWarehouse = OnSpark  # type: ignore[attr-defined]
    # Its package comes with it, whether or not Spark's part is installed.
    monkeypatch.setitem(sys.modules, "dbt_triton.warehouses.spark", ModuleType("dbt_triton.warehouses.spark"))
    monkeypatch.setitem(sys.modules, "dbt_triton.warehouses.spark.session", stand_in)
    of_spark = type("SparkSession", (), {"__module__": module})
    for kind in (of_spark, type("Mine", (of_spark,), {})):
        session = kind()
        found: Any = open_warehouse(session, {"name": "m"})
        assert found.opened == (session, {"name": "m"})


def test_session_of_duckdb() -> None:
    """Anything else is DuckDB's: dbt-duckdb wraps its cursor in a class of its own."""
    with duckdb.connect() as connection:
        assert isinstance(open_warehouse(connection, {}), DuckDBWarehouse)


def test_duckdb_alone_is_enough() -> None:
    """Who works with DuckDB needs neither Spark's package nor Java: no step imports them."""
    code = (
        "import duckdb, sys\nfrom dbt_triton import step\nfrom dbt_triton.warehouses import open_warehouse\n"
        "open_warehouse(duckdb.connect(), {})\n"
        "assert not [name for name in sys.modules if name.split('.')[0] == 'pyspark' or 'warehouses.spark' in name]\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
