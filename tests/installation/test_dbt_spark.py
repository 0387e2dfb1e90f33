"""The contract with dbt-spark: each version that is supported takes the submission method, and calls it as expected.

Spark itself is a stand-in here: what it does is for tests/spark, in one environment.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from packaging.requirements import Requirement
from support.environments import versions

from .installed import PROJECT, environment_of_wheel, run

_SCRIPT = """
import sys
from types import ModuleType, SimpleNamespace
from unittest import mock

class Builder:
    def enableHiveSupport(self):
        return self.config("hive", "true")

    def config(self, name, value):
        made[name] = value
        return self

    def getOrCreate(self):
        return session

made = {}
session = mock.MagicMock()
session.sparkContext.master = "yarn"
pyspark, sql = ModuleType("pyspark"), ModuleType("pyspark.sql")
sql.SparkSession = SimpleNamespace(builder=Builder())
sys.modules.update({"pyspark": pyspark, "pyspark.sql": sql})

from dbt.adapters.factory import load_plugin
from dbt.plugins.manager import PluginManager

load_plugin("spark")
from dbt.adapters.spark import SparkAdapter, SparkCredentials

for _ in range(3):
    PluginManager.from_modules("shop")

credentials = SparkCredentials(host="NA", method="session", schema="shop", database=None)
assert credentials.server_side_parameters["spark.sql.ansi.enabled"] == "false"
adapter = object.__new__(SparkAdapter)
adapter.connections = mock.MagicMock()
adapter.connections.profile.credentials = credentials
adapter.connections.get_response.return_value = SimpleNamespace(_message="OK")
adapter.connections.get_thread_connection.return_value.name = "model.shop.m"
assert list(adapter.python_submission_helpers) == ["job_cluster", "all_purpose_cluster", "dbt_triton"]
model = {"unique_id": "model.shop.m", "alias": "m", "schema": "shop", "config": {"submission_method": "dbt_triton"}}
sys.modules["seen"] = SimpleNamespace(said=[])
print(adapter.submit_python_job(model, "import seen; seen.said.append(spark)")._message)
assert sys.modules["seen"].said == [session]
assert made == {"hive": "true", "spark.sql.ansi.enabled": "false"}
session.sparkContext.addJobTag.assert_called_once()
session.sparkContext.removeJobTag.assert_called_once()
try:
    adapter.submit_python_job(model, "\\n\\n1 / 0")
except Exception as error:
    print(type(error).__name__, error.msg)
"""


@pytest.mark.parametrize(("core", "version"), [("<1.11", "lowest"), ("<1.12", "highest")])
def test_submission_method(wheel: Path, tmp_path: Path, core: str, version: str) -> None:
    """The lowest and the highest dbt-spark have the method once, whatever dbt's starts, and run Python by it."""
    (wanted,) = [line for line in PROJECT["optional-dependencies"]["spark"] if line.startswith("dbt-spark")]
    lowest = wanted.partition(">=")[2].partition(",")[0]
    pin = f"dbt-spark=={lowest}" if version == "lowest" else wanted
    programs = environment_of_wheel(f"dbt-spark-{version}", wheel, pin, f"dbt-core{core}")
    installed = versions(programs)["dbt-spark"]
    assert Requirement(wanted).specifier.contains(installed)
    assert version != "lowest" or installed == lowest
    printed = run(programs, "python", "-c", _SCRIPT, folder=tmp_path).splitlines()
    place = "line 3 of the compiled code in target/run"
    assert printed == ["OK", f"DbtRuntimeError ZeroDivisionError: division by zero ({place})"]
