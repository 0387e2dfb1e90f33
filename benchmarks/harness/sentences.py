"""Texts of any length for a real sentence model that pads: a real ``dbt build``, by length and in any order."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np

_REPOSITORY = Path(__file__).resolve().parents[2]
_SNIPPETS = _REPOSITORY / "example_project" / "seeds" / "movie_review_snippets.csv"
#: Of the words of a long-tailed text: the median, and the deviation of their logarithm.
MEDIAN_WORDS, DEVIATION = 50, 1.0
_FILES = {
    "dbt_project.yml": "name: bench\nversion: 1.0.0\nprofile: bench\n",
    "profiles.yml": "bench: {target: dev, outputs: {dev: {type: duckdb, path: bench.duckdb}}}\n",
    "packages.yml": f"packages: [{{local: {json.dumps(str(_REPOSITORY))}}}]\n",
    "models/sources.yml": "{version: 2, sources: [{name: warehouse, schema: main, tables: [{name: snippets}, "
    "{name: long_tailed}]}]}\n",
    "models/embedder.sql": """{{ config(materialized='inference_model') }}
CREATE MODEL embedder INPUT (text STRING) OUTPUT (embedding FLOAT[384])
WITH ('provider' = 'triton', 'endpoint' = '{{ env_var("TRITON_URL") }}', 'model-name' = 'minilm', 'timeout' = '5min')
""",
    "models/embedded.sql": """{{ config(materialized='ml_predict') }}
SELECT id, embedding FROM ML_PREDICT(
    TABLE {{ source('warehouse', env_var('TEXTS')) }}, MODEL {{ ref('embedder') }}, DESCRIPTOR(text),
    MAP['batch-size', '{{ env_var("BATCH_SIZE") }}', 'batch-by', '{{ env_var("BATCH_BY") }}',
        'max-concurrent-operations', '4']
)
""",
}
TABLES = ("snippets", "long_tailed")


@dataclass(frozen=True)
class Built:
    """Rows a second of one build, dbt's start-up left out, and rows a second of the server's processor time."""

    rows_per_second: float
    rows_per_cpu_second: float


class SentenceProject:
    """A temporary dbt project with a table of snippets, and one of texts that are made of them.

    Args:
        folder: an empty one.
        endpoint: the server.
        server: its process id.
        rows: of a table.
    """

    def __init__(self, folder: Path, endpoint: str, server: int, rows: dict[str, int]) -> None:
        self._folder, self._endpoint, self._server = folder, endpoint, server
        self.rows = rows
        for name, text in _FILES.items():
            path = folder / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        made = {"snippets": snippets, "long_tailed": long_tailed}
        with duckdb.connect(str(self._file)) as warehouse:
            for table, count in rows.items():
                warehouse.execute(f"create table {table} (id bigint, text varchar)")
                warehouse.executemany(f"insert into {table} values (?, ?)", list(enumerate(made[table](count))))
        self._dbt("deps", {})

    @property
    def _file(self) -> Path:
        return self._folder / "bench.duckdb"

    def build(self, table: str, batch_size: int, batch_by: str) -> Built:
        """Run ``dbt build``, and check that every text has its own vector."""
        before = cpu_seconds(self._server)
        self._dbt("build", {"TEXTS": table, "BATCH_SIZE": str(batch_size), "BATCH_BY": batch_by})
        server = cpu_seconds(self._server) - before
        results = json.loads((self._folder / "target" / "run_results.json").read_text())["results"]
        node = next(result for result in results if result["unique_id"] == "model.bench.embedded")
        with duckdb.connect(str(self._file)) as warehouse:
            kept = f"{table}_embedded"
            warehouse.execute(f"create table if not exists {kept} as from embedded")
            # A text that is padded otherwise has other last digits.
            apart = (
                "select count(*), max(1 - list_cosine_similarity(one.embedding, other.embedding)) "
                f"from embedded as one join {kept} as other using (id)"
            )
            (count, furthest) = warehouse.execute(apart).fetchall()[0]
        assert count == self.rows[table]
        assert furthest < 1e-5
        return Built(count / node["execution_time"], count / server)

    def _dbt(self, command: str, settings: dict[str, str]) -> None:
        placeholders = {"TEXTS": TABLES[0], "BATCH_SIZE": "1", "BATCH_BY": "length"}
        environment = {"DBT_SEND_ANONYMOUS_USAGE_STATS": "false", "TRITON_URL": self._endpoint}
        ran = subprocess.run(
            [str(Path(sys.executable).parent / "dbt"), command, "--profiles-dir", str(self._folder)],
            cwd=self._folder,
            env=os.environ | environment | placeholders | settings,
            capture_output=True,
            text=True,
            check=False,
        )
        if ran.returncode:
            raise RuntimeError(f"dbt {command} failed:\n{ran.stdout}")


def snippets(count: int) -> list[str]:
    """Return distinct snippets of film reviews."""
    with _SNIPPETS.open(encoding="utf-8", newline="") as file:
        texts = list(dict.fromkeys(row["user_review"] for row in csv.DictReader(file)))
    chosen = np.random.default_rng(1).permutation(len(texts))[:count]
    assert len(chosen) == count, "so many snippets there are not"
    return [texts[place] for place in chosen]


def long_tailed(count: int) -> list[str]:
    """Return texts of log-normal lengths, each made of snippets one after the other."""
    random = np.random.default_rng(2)
    lengths = np.maximum(random.lognormal(np.log(MEDIAN_WORDS), DEVIATION, count).astype(int), 2)
    words = [word for text in snippets(10_000) for word in text.split()]
    starts = random.integers(0, len(words), count)
    return [
        " ".join((words[start:] + words)[:length]) + f" {place}"
        for place, (start, length) in enumerate(zip(starts.tolist(), lengths.tolist(), strict=True))
    ]


def cpu_seconds(process: int) -> float:
    """Return the processor time of a process and of those that it has started."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    ticks = int(fields[11]) + int(fields[12])
    children = Path(f"/proc/{process}/task").glob("*/children")
    below = {int(child) for found in children for child in found.read_text().split()}
    return ticks / os.sysconf("SC_CLK_TCK") + sum(map(cpu_seconds, below))
