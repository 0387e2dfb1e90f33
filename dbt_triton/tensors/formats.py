"""What the engine asks of a route: how requests look, and how answers are read.

There are two: ``infer`` (`RequestFormat`, `AnswerReader`) and ``generate_stream`` (`GenerateFormat`, `EventReader`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import pyarrow as pa

from dbt_triton.tensors.answer import Answer
from dbt_triton.tensors.generation import Structured
from dbt_triton.tensors.request import Encoded
from dbt_triton.tensors.spec import TensorSpec


class Reader(Protocol):
    """Checks the answers of one model, and finds their data."""

    def read(
        self, content: bytes | memoryview, header_length: int | None, rows: int, request_id: int | None = None
    ) -> Answer:
        """Check one answer.

        Args:
            content: the body of a reply with status 200.
            header_length: ``Inference-Header-Content-Length`` of a binary answer.
            rows: how many rows were sent.
            request_id: the id of the request.

        Raises:
            InferenceError: it is not what was asked for, or the answer to another request.
        """
        ...


class Format(Protocol):
    """How the requests of one model look."""

    inputs: list[TensorSpec]
    outputs: list[TensorSpec]
    #: Whether a request may have an id, which Triton repeats in the answer.
    takes_id: bool
    #: Which columns are keys of the text of an answer, where some are.
    structured: Structured | None

    def encode(self, columns: Sequence[pa.Array], request_rows: int = 1, *, in_order: bool = False) -> Encoded:
        """Encode the columns of one record batch; see `RequestFormat.encode`."""
        ...

    def answer_bytes(self, rows: int) -> int:
        """Return what the outputs of so many rows take, as far as their shapes say."""
        ...

    def reader(self) -> Reader:
        """Return what reads the answers."""
        ...
