"""Rows of kilobytes and megabytes: ``dbt build`` beside a hand-written loop over the same tables.

The loop reads a table by Arrow, sends it with tritonclient (HTTP, binary), some requests in flight, and writes a table.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from tritonclient.http import InferInput, InferRequestedOutput
from tritonclient.http.aio import InferenceServerClient

_REPOSITORY = Path(__file__).resolve().parent.parent.parent
_IN_FLIGHT = 4
_Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class WideCase:
    """One model, and a table for it.

    Args:
        name: of the model that is served.
        said: for the report.
        schema: INPUT and OUTPUT.
        value: the SQL of the column ``value`` of row ``i``.
        rows: of the table.
        batch_size: rows a request of the loop: the server's limit, as dbt-triton takes it.
        tensors: which one is sent, and which one is asked for.
        datatype: of the input.
        shape: of one row of the input.
    """

    name: str
    said: str
    schema: str
    value: str
    rows: int
    batch_size: int
    tensors: tuple[str, str]
    datatype: str
    shape: tuple[int, ...]

    @property
    def table(self) -> str:
        """The table of inputs."""
        return f"{self.name}_inputs_{self.rows}"

    def of(self, rows: int) -> WideCase:
        """Return the same with another number of rows."""
        return replace(self, rows=rows)


_IMAGE = "list_transform(range(640), lambda a: list_transform(range(640), lambda b: [(i + a)::FLOAT, b::FLOAT, 1]))"
_PIXELS = "encode(repeat(printf('%05d', i), 245760))"
_EMBEDDING = "list_transform(range(1024), lambda j: (i * 7 + j)::FLOAT)::FLOAT[1024]"
CASES = (
    WideCase(
        name="pixels_fp32",
        said="images, FP32 [640, 640, 3] from lists",
        schema="INPUT (value FLOAT[3][640][640]) OUTPUT (answer FLOAT)",
        value=_IMAGE,
        rows=64,
        batch_size=8,
        tensors=("IMAGES", "FIRST"),
        datatype="FP32",
        shape=(640, 640, 3),
    ),
    WideCase(
        name="pixels_uint8",
        said="images, UINT8 [640, 640, 3] from BLOB",
        schema="INPUT (value BLOB) OUTPUT (answer UTINYINT)",
        value=_PIXELS,
        rows=256,
        batch_size=8,
        tensors=("IMAGES", "FIRST"),
        datatype="UINT8",
        shape=(640, 640, 3),
    ),
    WideCase(
        name="boxes",
        said="outputs, FP32 [84, 8400]",
        schema="INPUT (value INT) OUTPUT (answer FLOAT[8400][84])",
        value="i::INT",
        rows=100,
        batch_size=8,
        tensors=("NUMBER", "BOXES"),
        datatype="INT32",
        shape=(1,),
    ),
    WideCase(
        name="embedding",
        said="embeddings, FP32 [1024]",
        schema="INPUT (value FLOAT[1024]) OUTPUT (answer FLOAT)",
        value=_EMBEDDING,
        rows=50_000,
        batch_size=256,
        tensors=("EMBEDDING", "FIRST"),
        datatype="FP32",
        shape=(1024,),
    ),
)
#: Of the last case, for the growth of time with rows.
GROWTH_ROWS = (100, 1_000, 10_000)


class WideProject:
    """A temporary dbt project with the tables of all cases.

    Args:
        folder: an empty folder.
        endpoint: of the server.
        cases: of which tables are made.
    """

    def __init__(self, folder: Path, endpoint: str, cases: tuple[WideCase, ...]) -> None:
        self._folder = folder
        self._endpoint = endpoint
        self._database = folder / "wide.duckdb"
        profile = {"type": "duckdb", "path": str(self._database)}
        tables = [{"name": case.table} for case in cases]
        self._write("dbt_project.yml", json.dumps({"name": "wide", "version": "1.0.0", "profile": "wide"}))
        self._write("profiles.yml", json.dumps({"wide": {"target": "dev", "outputs": {"dev": profile}}}))
        self._write("packages.yml", json.dumps({"packages": [{"local": str(_REPOSITORY)}]}))
        sources = [{"name": "warehouse", "schema": "main", "tables": tables}]
        self._write("models/sources.yml", json.dumps({"version": 2, "sources": sources}))
        for case in cases:
            served = f"'provider' = 'triton', 'endpoint' = '{endpoint}', 'model-name' = '{case.name}'"
            model = f"{case.name}_{case.rows}_model"
            self._write(
                f"models/{model}.sql",
                f"{{{{ config(materialized='inference_model') }}}} CREATE MODEL {model} {case.schema} WITH ({served})",
            )
            operands = f"TABLE {{{{ source('warehouse', '{case.table}') }}}}, MODEL {{{{ ref('{model}') }}}}, "
            self._write(
                f"models/{case.table}_predicted.sql",
                "{{ config(materialized='ml_predict') }} "
                f"select id, answer from ML_PREDICT({operands} DESCRIPTOR(value))",
            )
            with duckdb.connect(str(self._database)) as warehouse:
                warehouse.execute(
                    f"create table {case.table} as select i as id, {case.value} as value from range({case.rows}) t(i)"
                )
        self._dbt("deps")

    def build(self, case: WideCase) -> float:
        """Return the rows a second of the node."""
        self._dbt("build", "-s", f"+{case.table}_predicted")
        results = json.loads((self._folder / "target" / "run_results.json").read_text())["results"]
        node = next(one for one in results if one["unique_id"].endswith("_predicted"))
        assert json.loads(node["adapter_response"]["code"])["rows_predicted"] == case.rows
        self._check(case, f"{case.table}_predicted")
        return case.rows / float(node["execution_time"])

    def loop(self, case: WideCase) -> float:
        """Return the rows a second of the hand-written loop."""
        with duckdb.connect(str(self._database)) as warehouse:
            warehouse.execute("drop table if exists by_loop")
            started = time.perf_counter()
            asyncio.run(_loop(self._endpoint, warehouse, case))
            seconds = time.perf_counter() - started
        self._check(case, "by_loop")
        return case.rows / seconds

    def _check(self, case: WideCase, table: str) -> None:
        with duckdb.connect(str(self._database), read_only=True) as warehouse:
            found = warehouse.execute(f"select count(*), count(answer) from {table}").fetchall()
        assert found == [(case.rows, case.rows)]

    def _write(self, path: str, text: str) -> None:
        file = self._folder / path
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)

    def _dbt(self, *arguments: str) -> None:
        command = [str(Path(sys.executable).parent / "dbt"), *arguments, "--profiles-dir", str(self._folder)]
        environment = os.environ | {"DBT_SEND_ANONYMOUS_USAGE_STATS": "false"}
        ran = subprocess.run(command, cwd=self._folder, env=environment, capture_output=True, text=True, check=False)
        if ran.returncode:
            raise RuntimeError(f"dbt {arguments[0]} failed:\n{ran.stdout[-2000:]}")


async def _loop(endpoint: str, warehouse: duckdb.DuckDBPyConnection, case: WideCase) -> None:
    batches = warehouse.sql(f"select id, value from {case.table}").to_arrow_reader(case.batch_size)
    answers: list[tuple[_Array, _Array]] = []
    async with InferenceServerClient(endpoint.removeprefix("http://"), conn_limit=_IN_FLIGHT) as client:
        await asyncio.gather(*[_work(client, case, iter(batches), answers) for _ in range(_IN_FLIGHT)])
    ids = pa.array(np.concatenate([ids for ids, _ in answers]))
    predicted = np.concatenate([answer for _, answer in answers])
    column = pa.array(predicted.ravel())
    for size in reversed(predicted.shape[1:] if predicted.ndim > 2 else ()):
        column = pa.ListArray.from_arrays(pa.array(np.arange(0, len(column) + 1, size, dtype=np.int32)), column)
    warehouse.register("predicted", pa.table({"id": ids, "answer": column}))
    warehouse.execute(
        f"create table by_loop as select id, predicted.answer from {case.table} join predicted using (id)"
    )


async def _work(
    client: InferenceServerClient,
    case: WideCase,
    batches: Iterator[pa.RecordBatch],
    answers: list[tuple[_Array, _Array]],
) -> None:
    for batch in batches:
        rows = _numbers(batch.column(1)).reshape(-1, *case.shape)
        tensor = InferInput(case.tensors[0], list(rows.shape), case.datatype)
        tensor.set_data_from_numpy(rows, binary_data=True)
        outputs = [InferRequestedOutput(case.tensors[1], binary_data=True)]
        answer = await client.infer(case.name, [tensor], outputs=outputs)
        answers.append((batch.column(0).to_numpy(), answer.as_numpy(case.tensors[1])))


def _numbers(column: pa.Array) -> _Array:
    """Return the elements of a column as numpy sees them."""
    if pa.types.is_binary(column.type):
        return np.frombuffer(b"".join(column.to_pylist()), dtype=np.uint8)
    while pa.types.is_nested(column.type):
        column = column.flatten()
    numbers: _Array = column.to_numpy()
    return numbers


def side_by_side(project: WideProject, case: WideCase, rounds: int) -> tuple[list[float], list[float]]:
    """Return the rows a second of dbt and of the loop, which take turns."""
    runs: tuple[Callable[[WideCase], float], ...] = (project.build, project.loop)
    figures: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for run, kept in zip(runs, figures, strict=True):
            kept.append(run(case))
    return figures
