"""Thirty builds in one process, as an orchestrator's worker has them: nothing is held afterwards that was not before.

Requests of all kinds are in each build: to several servers, with retries, with rows and models that fail, by the route
of language models, from Python, with stores that stay. A build without ML_PREDICT shows what dbt itself keeps.
"""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from statistics import median

import pytest
from support.dbt import DbtProject
from support.fleet_process import small_servers
from support.held import counted, start_builds

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.duckdb_only("Spark's session lasts as long as its process"),
]

BUILDS = 30
#: Libraries are imported, caches filled and memory grown by the first builds.
WARM = 5
#: More than dbt's own builds grow by: each has some 1,200 rows predicted, in 500 requests, and 16 rows of the run log.
#: DuckDB takes some 50 kB for each of the first 500 rows that are changed once they are written, and then no more.
KILOBYTES = 20_000
#: Where uvloop is installed, it keeps one pipe for the life of the process.
UVLOOP_FILES = 2
ROWS = "select i as id, if(i % 50 = 7, 'bad ', 'good ') || i as review from range(200) as t(i)"
IN_PYTHON = """
    import dbt_triton

    def model(dbt, session):
        return dbt_triton.ml_predict(dbt, session, dbt.ref("reviews"), dbt.ref("several"), "review")
"""


@pytest.fixture
def endpoints() -> Generator[dict[str, str]]:
    """Servers in a process of their own."""
    with small_servers() as servers:
        yield servers


def call(model: str) -> str:
    """Return the call of an inference model."""
    return f"ML_PREDICT(TABLE {{{{ ref('reviews') }}}}, MODEL {{{{ ref('{model}') }}}}, DESCRIPTOR(review))"


def predicting(folder: Path, servers: dict[str, str]) -> DbtProject:
    """Make a project with a model of each kind."""
    project = DbtProject(folder)
    project.model("reviews", f"{{{{ config(materialized='table') }}}} {ROWS}")
    endpoints = {
        "several": (f"{servers['one']},{servers['two']}", {}),
        "busy": (servers["busy"], {}),
        "kept": (servers["one"], {"cache": "persistent"}),
        "lenient": (servers["picky"], {"cache": "off", "on_error": "null"}),
        "strict": (servers["picky"], {"retry_errors": "true"}),
        "writer": (servers["writer"], {"cache": "off"}),
    }
    for name, (endpoint, options) in endpoints.items():
        project.inference_model(name, endpoint, "m", **{"batch_size": "1" if name == "writer" else "8", **options})
        project.model(f"by_{name}", f"{{{{ config(materialized='ml_predict') }}}} select * from {call(name)}")
    joined = f"{call('several')} as a join {call('busy')} as b using (id)"
    project.model(
        "twice", f"{{{{ config(materialized='ml_predict') }}}} select id, a.output, b.output as b from {joined}"
    )
    project.write("models/in_python.py", IN_PYTHON)
    return project


def plain(folder: Path) -> DbtProject:
    """Make a project without ML_PREDICT."""
    project = DbtProject(folder)
    project.model("reviews", f"{{{{ config(materialized='table') }}}} {ROWS}")
    for number in range(2):
        project.model(
            f"plain_{number}",
            "{{ config(materialized='table') }} select *, upper(review) as output from {{ ref('reviews') }}",
        )
    project.write("models/in_python.py", "def model(dbt, session):\n    return dbt.ref('reviews')\n")
    return project


def growth(held: list[dict[str, int]]) -> float:
    """Return by how many kilobytes a process has grown since it was warm."""
    return median(one["kilobytes"] for one in held[-WARM:]) - median(one["kilobytes"] for one in held[WARM : 2 * WARM])


def test_thirty_builds_in_one_process(endpoints: dict[str, str], tmp_path: Path) -> None:
    """Sockets, files, threads, tasks, event loops, connections, processes and objects are as many after each build."""
    projects = [predicting(tmp_path / "predicting", endpoints), plain(tmp_path / "plain")]
    held, of_dbt = (counted(process) for process in [start_builds(project, BUILDS) for project in projects])
    assert len(held) == len(of_dbt) == BUILDS
    # by_strict fails each time, and nothing else does.
    assert {(one["success"], one.get("error")) for one in held} == {(14, 1)}
    for what in ("sockets", "tasks", "event_loops"):
        assert {one[what] for one in held} == {0}, what
    for what in ("threads", "python_threads", "connections", "children"):
        assert {one[what] for one in held[1:]} == {of_dbt[-1][what]}, what
    (files,) = {one["files"] for one in held[1:]}
    assert files - of_dbt[-1]["files"] in {0, UVLOOP_FILES}
    for what in ("our_objects", "all_objects"):
        assert len({one[what] for one in held[WARM:]}) == 1, [one[what] for one in held]
    assert growth(held) < growth(of_dbt) + KILOBYTES
