"""A real ``dbt build`` of one ML_PREDICT model in a temporary project, on a DuckDB file."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import duckdb

from harness.workload import LABEL, MODEL, REVIEW_BYTES, REVIEW_PATTERN, Case

_REPOSITORY = Path(__file__).resolve().parent.parent.parent
_FILES = {
    "dbt_project.yml": "name: bench\nversion: 1.0.0\nprofile: bench\n",
    "profiles.yml": "bench: {target: dev, outputs: {dev: {type: duckdb, path: bench.duckdb, settings: "
    "{memory_limit: \"{{ env_var('MEMORY_LIMIT', '80%') }}\"}}}}\n",
    "packages.yml": f"packages: [{{local: {json.dumps(str(_REPOSITORY))}}}]\n",
    "models/labeller.sql": f"""{{{{ config(materialized='inference_model') }}}}
CREATE MODEL labeller INPUT (`input` STRING) OUTPUT (`output` STRING)
WITH ('provider' = 'triton', 'endpoint' = '{{{{ env_var("TRITON_URL") }}}}', 'model-name' = '{MODEL}')
""",
    "models/classified.sql": """{{ config(materialized='ml_predict') }}
SELECT id, output AS label
FROM ML_PREDICT(
    TABLE {{ source('warehouse', env_var('REVIEWS')) }}, MODEL {{ ref('labeller') }}, DESCRIPTOR(review),
    MAP['batch-size', '{{ env_var("BATCH_SIZE") }}', 'max-concurrent-operations', '{{ env_var("IN_FLIGHT") }}',
        'cache', '{{ env_var("CACHE", "run") }}']
)
""",
}


@dataclass(frozen=True)
class DbtFigures:
    """Rows a second of one build, dbt's start-up left out.

    Args:
        step: of the ML_PREDICT step alone: read, send, write to the store.
        node: of the whole node, from the table of reviews to the table of labels; this one is compared.
        seconds: of the whole node.
        peak_megabytes: resident memory of the whole dbt process, at its highest.
        watched: where dbt was watched (`watched_dbt`), what was seen.
    """

    step: float
    node: float
    seconds: float
    peak_megabytes: float
    watched: dict[str, float] = field(default_factory=dict)


class DbtProject:
    """A temporary dbt project with a table of reviews for each number of rows."""

    def __init__(self, folder: Path, endpoint: str, row_counts: Iterable[int]) -> None:
        self._folder = folder
        self._endpoint = endpoint
        for name, text in _FILES.items():
            path = folder / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        tables = [{"name": _table(rows)} for rows in sorted(set(row_counts))]
        sources = {"version": 2, "sources": [{"name": "warehouse", "schema": "main", "tables": tables}]}
        (folder / "models" / "sources.yml").write_text(json.dumps(sources))  # JSON is YAML
        with duckdb.connect(str(folder / "bench.duckdb")) as warehouse:
            for rows in sorted(set(row_counts)):
                warehouse.execute(
                    f"create table {_table(rows)} as "
                    f"select i as id, printf('{REVIEW_PATTERN}', i) as review from range({rows}) t(i)"
                )
                lengths = warehouse.execute(f"select distinct strlen(review) from {_table(rows)}").fetchall()
                assert lengths == [(REVIEW_BYTES,)]
        self._dbt(["deps"], {})

    def build(self, case: Case, *, sent: int | None = None, watched: bool = False, **more: str) -> DbtFigures:
        """Run ``dbt build``, and check that every row was sent and labelled.

        Args:
            case: what to build.
            sent: so many rows must be sent; all of them by default.
            watched: note whose the memory is, and the processor time of the node.
            more: further settings of the project, such as MEMORY_LIMIT.
        """
        sent = case.rows if sent is None else sent
        settings = {
            "REVIEWS": _table(case.rows),
            "BATCH_SIZE": str(case.batch_size),
            "IN_FLIGHT": str(case.in_flight),
        }
        seen = self._folder / "watched.json"
        watch = [str(Path(__file__).with_name("watched_dbt.py")), str(seen)] if watched else []
        more |= {"PYTHONMALLOC": "malloc"} if watched else {}
        peak = self._dbt(["build", "--no-partial-parse"], settings | more, watch)
        results = json.loads((self._folder / "target" / "run_results.json").read_text())["results"]
        node = next(result for result in results if result["unique_id"] == "model.bench.classified")
        step = json.loads(node["adapter_response"]["code"])
        assert step["rows_predicted"] == sent
        assert step["requests"] >= math.ceil(sent / case.batch_size)
        with duckdb.connect(str(self._folder / "bench.duckdb"), read_only=True) as warehouse:
            labels = warehouse.execute("select label, count(*) from classified group by label").fetchall()
        assert labels == [(LABEL, case.rows)]
        seconds = node["execution_time"]
        return DbtFigures(
            case.rows / step["seconds"],
            case.rows / seconds,
            seconds,
            peak,
            json.loads(seen.read_text()) if watched else {},
        )

    def change(self, case: Case, rows: int) -> None:
        """Change the first letter of some reviews to the next one."""
        with duckdb.connect(str(self._folder / "bench.duckdb")) as warehouse:
            warehouse.execute(
                f"update {_table(case.rows)} set review = chr(ascii(review) + 1) || substr(review, 2) where id < {rows}"
            )

    def forget(self) -> None:
        """Drop the predictions that a persistent cache has kept."""
        with duckdb.connect(str(self._folder / "bench.duckdb")) as warehouse:
            warehouse.execute("drop table if exists classified__ml_predictions")

    def _dbt(self, arguments: list[str], settings: dict[str, str], script: Sequence[str] = ()) -> float:
        """Run dbt, perhaps by a script in its place, and return its peak of resident memory in megabytes."""
        program = [sys.executable, *script] if script else [str(Path(sys.executable).parent / "dbt")]
        placeholders = {"REVIEWS": "", "BATCH_SIZE": "1", "IN_FLIGHT": "1"}
        environment = {"DBT_SEND_ANONYMOUS_USAGE_STATS": "false", "TRITON_URL": self._endpoint}
        with (self._folder / "dbt.out").open("w+") as output:
            process = subprocess.Popen(
                [*program, *arguments, "--profiles-dir", str(self._folder)],
                cwd=self._folder,
                env=os.environ | environment | placeholders | settings,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            output.seek(0)
            if process.returncode:
                raise RuntimeError(f"dbt {arguments[0]} failed:\n{output.read()}")
        return usage.ru_maxrss / 1024


def _table(rows: int) -> str:
    return f"reviews_{rows}"
