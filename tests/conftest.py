from __future__ import annotations

import os
from collections.abc import Callable, Generator
from contextlib import ExitStack
from pathlib import Path

import pytest
from support.dbt import DbtProject
from support.proxy import RecordingProxy
from support.triton import Triton, shared_triton


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


@pytest.fixture
def project(tmp_path: Path) -> DbtProject:
    """An empty dbt project that lists the package."""
    return DbtProject(tmp_path / "project")
