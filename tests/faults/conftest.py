from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest

from dbt_triton.server import TritonServer
from faults.harness import Pipeline
from faults.proxy import FaultProxy
from faults.server import REPOSITORY

MakePipeline = Callable[..., Pipeline]


@pytest.fixture(scope="session")
def triton() -> Generator[TritonServer, None, None]:
    """Return a real Triton with the model of the fault tests; no test stops it."""
    with TritonServer(REPOSITORY) as server:
        yield server


@pytest.fixture
def proxy(triton: TritonServer) -> Generator[FaultProxy, None, None]:
    """Return a proxy in front of it."""
    with FaultProxy(triton.http_port) as proxy:
        yield proxy


@pytest.fixture
def pipeline(tmp_path: Path, proxy: FaultProxy) -> Generator[MakePipeline, None, None]:
    """Return a function that makes a pipeline whose requests go through the proxy."""
    made: list[Pipeline] = []

    def make(rows: int, **options: Any) -> Pipeline:
        named = {name.replace("_", "-"): str(value) for name, value in options.items()}
        made.append(Pipeline(tmp_path, proxy.url, rows, named))
        return made[-1]

    yield make
    for pipeline in made:
        pipeline.close()
