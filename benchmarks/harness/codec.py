"""Encoding and decoding of tensors in memory: Arrow columns here, tritonclient's own functions there."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from tritonclient.http import InferResult
from tritonclient.utils import deserialize_bytes_tensor, serialize_byte_tensor

from dbt_triton.engine.handover import CHUNK_BYTES
from dbt_triton.tensors import (
    Answer,
    RequestFormat,
    TensorSpec,
    datatype_of_tensor,
    decode_outputs,
    parse_answer,
    parse_sql_type,
)
from harness.workload import INPUT, OUTPUT, reviews, tensor

TEXTS = 100_000
EMBEDDINGS, DIMENSIONS, EMBEDDINGS_A_REQUEST = 200_000, 384, 256
REPEATS = 25


@dataclass(frozen=True)
class CodecFigures:
    """Seconds for the same work."""

    ours: float
    theirs: float

    @property
    def ratio(self) -> float:
        """How many times faster ours is."""
        return self.theirs / self.ours


def measure_bytes(rows_a_request: int) -> CodecFigures:
    """Encode BYTES for requests, and decode as many answers with the same texts."""
    texts = reviews(TEXTS)
    column, array = pa.array(texts), np.array([text.encode() for text in texts], dtype=np.object_)
    requests = [(start, min(start + rows_a_request, TEXTS)) for start in range(0, TEXTS, rows_a_request)]
    request_format = RequestFormat([tensor(INPUT)], [tensor(OUTPUT)], binary=True, batched=True)
    wire = [serialize_byte_tensor(array[start:end]).item() for start, end in requests]
    answers = [Answer(end - start, [memoryview(data)], "1") for (start, end), data in zip(requests, wire, strict=True)]

    def ours() -> list[str]:
        encoded = request_format.encode([column]).groups[0][1].columns[0]
        for start, end in requests:
            encoded.rows(start, end)
        decoded: pa.Array = decode_outputs(answers, [tensor(OUTPUT)])[0]
        return [str(decoded[0]), str(decoded[-1])]

    def theirs() -> list[str]:
        for start, end in requests:
            serialize_byte_tensor(array[start:end]).item()
        decoded: list[Any] = [deserialize_bytes_tensor(data) for data in wire]
        return [decoded[0][0].decode(), decoded[-1][-1].decode()]

    assert ours() == theirs() == [texts[0], texts[-1]]
    return CodecFigures(_seconds(ours), _seconds(theirs))


def measure_embeddings() -> CodecFigures:
    """Decode the answers for 200,000 embeddings to Arrow, chunk by chunk as in a run."""
    datatype, kind = datatype_of_tensor("FP32"), parse_sql_type(f"FLOAT[{DIMENSIONS}]")
    assert datatype is not None
    assert not isinstance(kind, str)
    spec = TensorSpec("embedding", "EMBEDDING", datatype, (DIMENSIONS,), kind, (0,))
    data = np.random.default_rng(1).random((EMBEDDINGS_A_REQUEST, DIMENSIONS), dtype=np.float32).tobytes()
    header = (
        f'{{"model_name":"m","model_version":"1","outputs":[{{"name":"EMBEDDING","datatype":"FP32","shape":'
        f'[{EMBEDDINGS_A_REQUEST},{DIMENSIONS}],"parameters":{{"binary_data_size":{len(data)}}}}}]}}'
    ).encode()
    body = header + data
    requests, chunk = EMBEDDINGS // EMBEDDINGS_A_REQUEST, max(CHUNK_BYTES // len(body), 1)

    def ours() -> int:
        rows = 0
        for start in range(0, requests, chunk):
            count = min(chunk, requests - start)
            answers = [
                parse_answer(body, len(header), [spec], EMBEDDINGS_A_REQUEST, batched=True) for _ in range(count)
            ]
            rows += len(decode_outputs(answers, [spec])[0])
        return rows

    def theirs() -> int:
        rows = 0
        for start in range(0, requests, chunk):
            arrays = []
            for _ in range(min(chunk, requests - start)):
                answer = InferResult.from_response_body(body, header_length=len(header)).as_numpy("EMBEDDING")
                arrays.append(pa.FixedSizeListArray.from_arrays(pa.array(answer.ravel()), DIMENSIONS))
            rows += len(pa.concat_arrays(arrays))
        return rows

    assert ours() == theirs() == requests * EMBEDDINGS_A_REQUEST
    return CodecFigures(_seconds(ours), _seconds(theirs))


def _seconds(work: Callable[[], object]) -> float:
    """Time some runs, and return the quickest: a busy machine only makes it slower."""
    took = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        work()
        took.append(time.perf_counter() - started)
    return min(took)
