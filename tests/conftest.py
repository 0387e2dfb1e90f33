from __future__ import annotations

import os
import signal
from collections.abc import Callable, Generator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from support.dbt import DbtProject
from support.proxy import RecordingProxy
from support.session import Steps
from support.spark import has_java, spark_session
from support.triton import Triton, shared_triton
from support.warehouses import new_steps, projects, spark_schema

from dbt_triton.client.open_files import allow_connections
from dbt_triton.standard_streams import make_usable

_OPEN_FILES = 2_000
#: Variables that are told to the tests themselves.
_FOR_TESTS = {"DBT_TRITON_ORCHESTRATORS", "DBT_TRITON_WHEEL"}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let a run choose its warehouse."""
    parser.addoption(
        "--warehouse", choices=["duckdb", "spark"], default="duckdb", help="what tests of behaviour run on"
    )


def pytest_configure() -> None:
    """Make the tests the same whatever they inherit.

    A shell has its background commands ignore Ctrl-C, and they hand that on; no proxy leads to this machine; and what
    configures somebody's own dbt is not for the tests' projects. Client, proxy and server of a test are one process,
    which needs more open files than the product has to.
    """
    make_usable()
    allow_connections(_OPEN_FILES)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    not_by_proxy = os.environ.get("no_proxy") or os.environ.get("NO_PROXY", "")
    os.environ["no_proxy"] = os.environ["NO_PROXY"] = f"{not_by_proxy},localhost,127.0.0.1,::1".lstrip(",")
    for name in [name for name in os.environ if name.startswith("DBT_") and name not in _FOR_TESTS]:
        del os.environ[name]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """On Spark, leave out what cannot be there, with the reason, and give the others the time that Spark takes."""
    on_spark = config.getoption("warehouse") == "spark"
    for item in items:
        left_out = item.get_closest_marker("duckdb_only") if on_spark else None
        needs_spark = on_spark and not {"session", "warehouse"}.isdisjoint(getattr(item, "fixturenames", ()))
        if left_out is not None:
            item.add_marker(pytest.mark.skip(reason=f"DuckDB only: {left_out.args[0]}"))
        elif needs_spark:
            item.add_marker(pytest.mark.timeout(600))
            if not has_java():
                item.add_marker(pytest.mark.skip(reason="Spark needs Java, and there is none on the path"))


@pytest.fixture(scope="session")
def triton(tmp_path_factory: pytest.TempPathFactory) -> Generator[Triton, None, None]:
    """The real server of this test run; all workers use the same one."""
    base = tmp_path_factory.getbasetemp()
    # Every worker of xdist has a folder of its own in the run's.
    run = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    with shared_triton(run / "triton") as server:
        yield server


@pytest.fixture(scope="module")
def serve(triton: Triton) -> Generator[Callable[[str], str], None, None]:
    """Serve a copy of a model of support/model_repository for this module alone, and return its name."""
    with ExitStack() as stack:
        yield lambda kind: stack.enter_context(triton.serving(kind))


@pytest.fixture
def proxy(triton: Triton) -> Generator[RecordingProxy, None, None]:
    """A proxy in front of the server that keeps what goes over the wire."""
    with RecordingProxy(triton.url) as recorder:
        yield recorder


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Generator[Any]:
    """The Spark session of this process: two slots, Hive's tables in a temporary folder."""
    with spark_session(tmp_path_factory.mktemp("spark")) as session:
        yield session


@pytest.fixture
def schema(spark: Any) -> Generator[str]:
    """A schema of the test's own on Spark, which is the current one meanwhile."""
    with spark_schema(spark) as name:
        yield name


@pytest.fixture(scope="session")
def warehouse(pytestconfig: pytest.Config) -> str:
    """``duckdb`` or ``spark``: what the tests of behaviour run on."""
    return str(pytestconfig.getoption("warehouse"))


@pytest.fixture
def session(warehouse: str, request: pytest.FixtureRequest) -> Generator[Steps]:
    """An empty place in the warehouse, for steps without dbt."""
    with new_steps(warehouse, request) as steps:
        yield steps


@pytest.fixture
def project(new_project: Callable[..., DbtProject]) -> DbtProject:
    """An empty dbt project in the warehouse that lists the package."""
    return new_project()


@pytest.fixture
def new_project(warehouse: str, request: pytest.FixtureRequest, tmp_path: Path) -> Generator[Callable[..., DbtProject]]:
    """Makes empty dbt projects for one test; it takes what `DbtProject` does but the folder."""
    with projects(warehouse, request, tmp_path) as make:
        yield make


@pytest.fixture(scope="module")
def module_project(
    warehouse: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Generator[Callable[..., DbtProject]]:
    """Makes dbt projects that last for a module, for tests that look at one build."""
    with projects(warehouse, request, tmp_path_factory.mktemp("projects")) as make:
        yield make
