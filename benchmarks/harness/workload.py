"""What every client sends: distinct reviews of 45 bytes, in the same requests."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from dbt_triton.tensors import RequestFormat, TensorSpec, datatype_of_tensor
from dbt_triton.tensors.datatypes import Datatype

MODEL_REPOSITORY = Path(__file__).resolve().parent.parent / "models"
MODEL = "label"
INPUT = "INPUT_TEXT"
OUTPUT = "OUTPUT_TEXT"
LABEL = "positive"
REVIEW_BYTES = 45
#: In Python's and in DuckDB's printf.
REVIEW_PATTERN = "Review %09d: a fine film and well played"


@dataclass(frozen=True)
class Case:
    """One setting: rows a request, requests in flight, and how many rows there are."""

    batch_size: int
    in_flight: int
    rows: int


@dataclass(frozen=True)
class Request:
    """One inference request as it goes over the wire."""

    body: bytes
    header_length: int | None

    @property
    def headers(self) -> dict[str, str]:
        """The request's own headers."""
        headers = {"Content-Type": "application/octet-stream", "Accept-Encoding": "identity"}
        if self.header_length is not None:
            headers["Inference-Header-Content-Length"] = str(self.header_length)
        return headers


def infer_url(endpoint: str) -> str:
    """Return where inference requests go."""
    return f"{endpoint}/v2/models/{MODEL}/infer"


def reviews(count: int) -> list[str]:
    """Make distinct reviews."""
    texts = [REVIEW_PATTERN % number for number in range(count)]
    assert {len(text.encode()) for text in texts} == {REVIEW_BYTES}
    return texts


def request_format(*, binary: bool) -> RequestFormat:
    """Return the requests of dbt-triton for the benchmark's model."""
    return RequestFormat([tensor(INPUT)], [tensor(OUTPUT)], binary=binary, batched=True)


def make_request(rows: int, *, binary: bool) -> Request:
    """Make one request with so many rows."""
    return Request(*request_format(binary=binary).encode([pa.array(reviews(rows))]).groups[0][1].body(0, rows))


def tensor(name: str) -> TensorSpec:
    """Return a tensor with one text a row."""
    return TensorSpec(column=name.lower(), name=name, datatype=bytes_datatype(), row_shape=(1,))


def bytes_datatype() -> Datatype:
    """Return the datatype of texts."""
    datatype = datatype_of_tensor("BYTES")
    assert datatype is not None
    return datatype
