"""Prompts of a language model, warehouse to warehouse: a real ``dbt build``, and a hand-written loop with aiohttp."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import aiohttp
import duckdb
import orjson
import pyarrow as pa

MODEL = "echo"
PROMPT_BYTES = 200
_REPOSITORY = Path(__file__).resolve().parents[2]
#: Of aiohttp and of dbt-triton: a server may lose an answer.
_TIMEOUT_SECONDS = 60
_FILES = {
    "dbt_project.yml": "name: bench\nversion: 1.0.0\nprofile: bench\n",
    "profiles.yml": "bench: {target: dev, outputs: {dev: {type: duckdb, path: bench.duckdb}}}\n",
    "packages.yml": f"packages: [{{local: {json.dumps(str(_REPOSITORY))}}}]\n",
    "models/sources.yml": "{version: 2, sources: [{name: warehouse, schema: main, tables: [{name: prompts}]}]}\n",
    "models/echo_model.sql": f"""{{{{ config(materialized='inference_model') }}}}
CREATE MODEL echo_model INPUT (prompt STRING) OUTPUT (answer STRING)
WITH ('provider' = 'triton', 'endpoint' = '{{{{ env_var("TRITON_URL") }}}}', 'model-name' = '{MODEL}',
      'timeout' = '{_TIMEOUT_SECONDS}s')
""",
    "models/answered.sql": """{{ config(materialized='ml_predict') }}
SELECT id, answer FROM ML_PREDICT(
    TABLE {{ source('warehouse', 'prompts') }}, MODEL {{ ref('echo_model') }}, DESCRIPTOR(prompt),
    MAP['max-concurrent-operations', '{{ env_var("IN_FLIGHT") }}']
)
""",
}


class PromptProject:
    """A temporary dbt project with a table of prompts of 200 bytes, no two alike."""

    def __init__(self, folder: Path, endpoint: str, rows: int) -> None:
        self._folder = folder
        self._endpoint = endpoint
        self.rows = rows
        for name, text in _FILES.items():
            path = folder / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        with duckdb.connect(str(self._file)) as warehouse:
            warehouse.execute(
                f"create table prompts as select i as id, rpad(printf('%09d Summarise: ', i), {PROMPT_BYTES}, "
                f"'a fine film, well played ') as prompt from range({rows}) t(i)"
            )
        self._dbt("deps", in_flight=1)

    @property
    def _file(self) -> Path:
        return self._folder / "bench.duckdb"

    def build(self, in_flight: int) -> float:
        """Run ``dbt build``, and return rows a second of the whole node: dbt's start-up is left out."""
        self._dbt("build", in_flight)
        results = json.loads((self._folder / "target" / "run_results.json").read_text())["results"]
        node = next(result for result in results if result["unique_id"] == "model.bench.answered")
        with duckdb.connect(str(self._file)) as warehouse:
            self._check(warehouse, "answered")
        return float(self.rows / node["execution_time"])

    def loop(self, in_flight: int) -> float:
        """Read the same table, send it with aiohttp, and make a table. Returns rows a second."""
        started = time.perf_counter()
        with duckdb.connect(str(self._file)) as warehouse:
            prompts = warehouse.execute("select prompt from prompts order by id").fetchall()
            answers = asyncio.run(_ask(f"{self._endpoint}/v2/models/{MODEL}/generate_stream", prompts, in_flight))
            table = pa.table({"id": range(len(answers)), "answer": answers})
            warehouse.register("answers", table)
            warehouse.execute("create or replace table looped as select * from answers")
            seconds = time.perf_counter() - started
            self._check(warehouse, "looped")
        return self.rows / seconds

    def _check(self, warehouse: duckdb.DuckDBPyConnection, table: str) -> None:
        joined = f"select count(*) from prompts join {table} using (id) where prompt = answer"
        assert warehouse.execute(joined).fetchall() == [(self.rows,)]

    def _dbt(self, command: str, in_flight: int) -> None:
        environment = {"DBT_SEND_ANONYMOUS_USAGE_STATS": "false", "TRITON_URL": self._endpoint}
        ran = subprocess.run(
            [str(Path(sys.executable).parent / "dbt"), command, "--profiles-dir", str(self._folder)],
            cwd=self._folder,
            env=os.environ | environment | {"IN_FLIGHT": str(in_flight)},
            capture_output=True,
            text=True,
            check=False,
        )
        if ran.returncode:
            raise RuntimeError(f"dbt {command} failed:\n{ran.stdout}")


async def _ask(url: str, prompts: list[tuple[str]], in_flight: int) -> list[str]:
    """Send every prompt, so many at a time."""
    answers = [""] * len(prompts)
    waiting = iter(enumerate(prompts))
    headers = {"Content-Type": "application/json"}

    async def work(session: aiohttp.ClientSession) -> None:
        for place, (prompt,) in waiting:
            async with session.post(url, data=orjson.dumps({"text_input": prompt}), headers=headers) as response:
                content = await response.read()
            answers[place] = orjson.loads(content.removeprefix(b"data: "))["text_output"]

    connector, timeout = aiohttp.TCPConnector(limit=0), aiohttp.ClientTimeout(total=_TIMEOUT_SECONDS)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        await asyncio.gather(*(work(session) for _ in range(in_flight)))
    return answers
