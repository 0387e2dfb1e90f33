"""Encoding and decoding of tensors in memory: Arrow columns here, tritonclient's own functions there."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from tritonclient.utils import deserialize_bytes_tensor, serialize_byte_tensor

from dbt_triton.tensors import Answer, RequestFormat, decode_outputs
from harness.workload import INPUT, OUTPUT, reviews, tensor

TEXTS = 100_000
ROWS_A_REQUEST = 64


@dataclass(frozen=True)
class CodecFigures:
    """Seconds for encoding and decoding the same texts once."""

    ours: float
    theirs: float

    @property
    def ratio(self) -> float:
        """How many times faster ours is."""
        return self.theirs / self.ours


def measure_bytes() -> CodecFigures:
    """Encode BYTES for requests of 64 rows, and decode as many answers with the same texts."""
    texts = reviews(TEXTS)
    column, array = pa.array(texts), np.array([text.encode() for text in texts], dtype=np.object_)
    starts = range(0, TEXTS, ROWS_A_REQUEST)
    request_format = RequestFormat([tensor(INPUT)], [tensor(OUTPUT)], binary=True, batched=True)
    wire = [serialize_byte_tensor(array[start : start + ROWS_A_REQUEST]).item() for start in starts]

    def ours() -> list[str]:
        encoded = request_format.encode([column]).groups[0][1].columns[0]
        for start in starts:
            encoded.rows(start, min(start + ROWS_A_REQUEST, TEXTS))
        answers = [
            Answer(min(ROWS_A_REQUEST, TEXTS - start), [memoryview(data)], "1")
            for start, data in zip(starts, wire, strict=True)
        ]
        decoded: pa.Array = decode_outputs(answers, [tensor(OUTPUT)])[0]
        return [str(decoded[0]), str(decoded[-1])]

    def theirs() -> list[str]:
        for start in starts:
            serialize_byte_tensor(array[start : start + ROWS_A_REQUEST]).item()
        decoded: list[Any] = [deserialize_bytes_tensor(data) for data in wire]
        return [decoded[0][0].decode(), decoded[-1][-1].decode()]

    assert ours() == theirs() == [texts[0], texts[-1]]
    return CodecFigures(_seconds(ours), _seconds(theirs))


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
