"""The plugin that dbt finds by itself, with whatever is installed beside the package."""

from __future__ import annotations

import subprocess
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from dbt_common.exceptions import DbtRuntimeError

import dbt_triton
from dbt_triton import dbt_plugin

_IMPORT = """
import sys
for name in {missing!r}:
    sys.modules[name] = None
import dbt_triton
print(hasattr(dbt_triton, "plugins"), hasattr(dbt_triton, "nothing"))
heavy = {{"pyarrow", "numpy", "pyspark", "httpx", "duckdb", "sqlglot"}} & sys.modules.keys()
print(sorted(name for name in heavy if sys.modules[name] is not None))
"""


@pytest.mark.parametrize(
    ("missing", "has_plugins"),
    [
        ([], True),
        (["pyspark", "dbt.adapters.spark"], True),
        (["dbt.plugins.manager"], False),
        (["dbt.plugins"], False),
        (["dbt"], False),
        (["dbt", "pyarrow", "duckdb", "pyspark"], False),
    ],
)
def test_import_never_fails(missing: list[str], *, has_plugins: bool) -> None:
    """Whatever is missing, ``import dbt_triton`` and dbt's look for plugins are silent, and load nothing heavy."""
    code = _IMPORT.format(missing=missing)
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [f"{has_plugins} False", "[]"]
    assert not done.stderr


class _Adapter:
    """As dbt-spark's adapter is, as far as the plugin knows."""

    @property
    def python_submission_helpers(self) -> dict[str, Any]:
        """Those of dbt-spark."""
        return {"job_cluster": str}


class _Child(_Adapter):
    """As dbt-databricks' adapter is."""

    @property
    def python_submission_helpers(self) -> dict[str, Any]:
        """Its own."""
        return {"serverless_cluster": str}


def test_registration_is_idempotent() -> None:
    """Any number of starts of dbt in a process add one submission method; adapters that have their own keep it."""
    for _ in range(3):
        dbt_plugin.register(_Adapter)
    assert list(_Adapter().python_submission_helpers) == ["job_cluster", "dbt_triton"]
    assert list(_Child().python_submission_helpers) == ["serverless_cluster"]
    assert (
        vars(_Adapter)["python_submission_helpers"]
        .fget.__closure__[0]
        .cell_contents.__qualname__.startswith("_Adapter.")
    )


def test_show_is_registered_once() -> None:
    """Any number of starts of dbt in a process let macros call one method of dbt-duckdb's adapter, beside its own."""

    class Adapter:
        _available_ = frozenset({"get_relation"})

    for _ in range(3):
        dbt_plugin.let_show(Adapter)
    assert Adapter._available_ == {"get_relation", "dbt_triton_show"}
    assert callable(Adapter.dbt_triton_show)  # type: ignore[attr-defined]


@pytest.mark.parametrize("adapter", [object, None])
def test_another_dbt_duckdb(adapter: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a dbt-duckdb that is made otherwise, dbt starts all the same."""
    monkeypatch.setitem(sys.modules, "dbt.adapters.duckdb.impl", SimpleNamespace(DuckDBAdapter=adapter))
    for plugin in dbt_triton.plugins:  # type: ignore[attr-defined]
        assert plugin(project_name="shop").name == "DbtTritonPlugin"


@pytest.mark.parametrize("adapter", [None, ModuleType("empty"), SimpleNamespace(SparkAdapter=object)])
def test_other_adapters(adapter: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without dbt-spark, and with one that is made otherwise, dbt starts as if the package had no plugin."""
    if adapter is None:
        monkeypatch.delitem(sys.modules, "dbt.adapters.spark.impl", raising=False)
    else:
        monkeypatch.setitem(sys.modules, "dbt.adapters.spark.impl", adapter)
    for plugin in dbt_triton.plugins:  # type: ignore[attr-defined]
        assert plugin(project_name="shop").name == "DbtTritonPlugin"


@pytest.mark.parametrize("method", ["thrift", "http", "odbc"])
def test_other_methods_are_refused(method: str) -> None:
    """On a connection by which no Python reaches Spark, one sentence says which method does."""
    with pytest.raises(DbtRuntimeError, match=f"by `method: session` only, and this profile has `method: {method}`"):
        dbt_plugin.job_helper({"unique_id": "model.shop.m"}, SimpleNamespace(method=method))
