"""Tabular data: 29 columns of a table as one tensor, by ``dbt build`` and by a hand-written loop.

The loop reads the same table by Arrow, stacks its columns with numpy and sends them with NVIDIA's own client, some
requests in flight, and makes a table of the predictions.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from tritonclient.http import InferInput, InferRequestedOutput
from tritonclient.http.aio import InferenceServerClient

ROWS, COLUMNS, BATCH_SIZE, IN_FLIGHT = 200_000, 29, 1024, 8
_MODEL, _INPUT, _OUTPUT = "features", "input__0", "output__0"
_REPOSITORY = Path(__file__).resolve().parent.parent.parent
_NAMES = [f"f{number}" for number in range(COLUMNS)]
_FILES = {
    "dbt_project.yml": "name: features\nversion: 1.0.0\nprofile: features\n",
    "profiles.yml": "features: {target: dev, outputs: {dev: {type: duckdb, path: features.duckdb}}}\n",
    "packages.yml": f"packages: [{{local: {json.dumps(str(_REPOSITORY))}}}]\n",
    "models/sources.yml": "sources: [{name: warehouse, schema: main, tables: [{name: features}]}]\n",
    "models/booster.sql": f"""{{{{ config(materialized='inference_model') }}}}
CREATE MODEL booster INPUT ({", ".join(f"{name} FLOAT" for name in _NAMES)}) OUTPUT (prediction FLOAT)
WITH ('provider' = 'triton', 'endpoint' = '{{{{ env_var("TRITON_URL") }}}}', 'model-name' = '{_MODEL}',
      'null-as' = 'nan', 'batch-size' = '{BATCH_SIZE}', 'max-concurrent-operations' = '{IN_FLIGHT}')
""",
    "models/predicted.sql": f"""{{{{ config(materialized='ml_predict') }}}}
SELECT * FROM ML_PREDICT(
    TABLE {{{{ source('warehouse', 'features') }}}}, MODEL {{{{ ref('booster') }}}}, DESCRIPTOR({", ".join(_NAMES)})
)
""",
}

Numbers = np.ndarray[Any, np.dtype[np.float32]]


@dataclass(frozen=True)
class FeatureFigures:
    """Seconds for the same work, dbt's start-up left out."""

    dbt: float
    loop: float

    @property
    def ratio(self) -> float:
        """How many times longer dbt takes."""
        return self.dbt / self.loop


class FeatureProject:
    """A temporary dbt project with a table of numbers, one in a hundred of which is NULL."""

    def __init__(self, folder: Path, endpoint: str, rows: int = ROWS) -> None:
        self._folder = folder
        self._endpoint = endpoint
        self._rows = rows
        for name, text in _FILES.items():
            path = folder / name
            path.parent.mkdir(exist_ok=True, parents=True)
            path.write_text(text)
        numbers = ", ".join(
            f"if(hash(i, {number}) % 100 = 0, NULL, (hash(i + {number}) % 1000000)::float / 1000) as {name}"
            for number, name in enumerate(_NAMES)
        )
        with self._warehouse() as warehouse:
            warehouse.execute(f"create table features as select i as id, {numbers} from range({rows}) t(i)")
        self._dbt("deps")

    def measure(self) -> FeatureFigures:
        """Predict in both ways, and check that the predictions are the same."""
        self._dbt("build", "--no-partial-parse")
        results = json.loads((self._folder / "target" / "run_results.json").read_text())["results"]
        node = next(result for result in results if result["unique_id"] == "model.features.predicted")
        started = time.perf_counter()
        with self._warehouse() as warehouse:
            asyncio.run(_loop(warehouse, self._endpoint))
            took = time.perf_counter() - started
            differing = warehouse.execute(
                "select count(*) from predicted join by_hand using (id) "
                "where predicted.prediction is distinct from by_hand.prediction"
            ).fetchall()
            counted = warehouse.execute("select count(prediction) from predicted").fetchall()
        assert differing == [(0,)]
        assert counted == [(self._rows,)]
        return FeatureFigures(node["execution_time"], took)

    def _warehouse(self) -> duckdb.DuckDBPyConnection:
        return duckdb.connect(str(self._folder / "features.duckdb"))

    def _dbt(self, *arguments: str) -> None:
        command = [str(Path(sys.executable).parent / "dbt"), *arguments, "--profiles-dir", str(self._folder)]
        environment = {"DBT_SEND_ANONYMOUS_USAGE_STATS": "false", "TRITON_URL": self._endpoint}
        ran = subprocess.run(
            command, cwd=self._folder, env=os.environ | environment, capture_output=True, text=True, check=False
        )
        if ran.returncode:
            raise RuntimeError(f"dbt {arguments[0]} failed:\n{ran.stdout}{ran.stderr}")


async def _loop(warehouse: duckdb.DuckDBPyConnection, endpoint: str) -> None:
    """Read, stack, send, and make a table."""
    table: pa.Table = warehouse.sql("from features").to_arrow_table()
    columns = [table.column(name).to_numpy() for name in _NAMES]  # a NULL is NaN to numpy
    features: Numbers = np.column_stack(columns).astype(np.float32, copy=False)
    starts = iter(range(0, len(features), BATCH_SIZE))
    answers: dict[int, Numbers] = {}
    async with InferenceServerClient(endpoint.removeprefix("http://"), conn_limit=IN_FLIGHT) as client:
        await asyncio.gather(*[_work(client, features, starts, answers) for _ in range(IN_FLIGHT)])
    prediction = np.concatenate([answers[start].reshape(-1) for start in sorted(answers)])
    warehouse.register("predictions", table.append_column("prediction", pa.array(prediction)))
    warehouse.execute("create or replace table by_hand as from predictions")


async def _work(
    client: InferenceServerClient, features: Numbers, starts: Iterator[int], answers: dict[int, Numbers]
) -> None:
    for start in starts:
        rows = features[start : start + BATCH_SIZE]
        tensor = InferInput(_INPUT, list(rows.shape), "FP32")
        tensor.set_data_from_numpy(rows, binary_data=True)
        answer = await client.infer(_MODEL, [tensor], outputs=[InferRequestedOutput(_OUTPUT, binary_data=True)])
        answers[start] = answer.as_numpy(_OUTPUT)
