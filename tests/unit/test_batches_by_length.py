"""Which rows share a request: those of similar length, within a budget."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.waves import UPPER, FakeTriton, define, refused, served

from dbt_triton.client.served import ServedModel, ServedTensor
from dbt_triton.errors import ConfigurationError
from dbt_triton.inference_model import InferenceModel, bind
from dbt_triton.inference_model.binding import fingerprint
from dbt_triton.tensors import RequestFormat, TensorSpec, datatype_of_tensor, parse_sql_type
from dbt_triton.tensors.lengths import Batching
from dbt_triton.warehouses.requests import request_format, size_of
from dbt_triton.warehouses.spark.bridge import run_task
from dbt_triton.warehouses.spark.run_names import RunName
from dbt_triton.warehouses.spark.task import Task, without_secrets

#: Of lengths with a long tail, no two alike; as words, so that no estimate of their tokens orders them otherwise.
TEXTS = [
    f"{'word ' * int(length)}{number:04}" for number, length in enumerate(np.random.default_rng(1).lognormal(2, 1, 400))
]


def model_of(url: str, schema: str = UPPER, **options: str) -> InferenceModel:
    """Define a model."""
    given_options = {key.replace("_", "-"): value for key, value in options.items()}
    return define(schema, {"endpoint": url, "model-name": "m", "retry-initial-backoff": "10"} | given_options)


def run(fake: FakeTriton, texts: Sequence[str], **options: str) -> tuple[dict[bytes, str], InferenceModel]:
    """Send texts by the engine within a task, one request at a time. Returns predictions by key, and the model."""
    with fake.serving() as url:
        model = model_of(url, max_concurrent_operations="1", **options)
        types = tuple(column.type for column in model.inputs), tuple(column.type.in_tables for column in model.outputs)
        task = Task(served(model), without_secrets(model.options), "the model", *types, str(RunName.new()))
        rows = [row for batch in run_task(task, _batches(texts)) for row in batch.to_pylist()]
    kept = {key: upper for key, upper, *_, kind in (row.values() for row in rows) if kind == "ok"}
    return kept, model


def _batches(texts: Sequence[str]) -> Iterator[pa.RecordBatch]:
    for start in range(0, len(texts), 64):
        piece = texts[start : start + 64]
        keys = pa.array([text.encode() for text in piece], pa.binary())
        yield pa.RecordBatch.from_arrays([keys, pa.array(piece)], names=["ml_key", "value_0"])


@pytest.fixture(autouse=True)
def _local_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setenv("SPARK_LOCAL_DIRS", str(tmp_path))


def expected(texts: Sequence[str]) -> dict[bytes, str]:
    """Return what the model makes of texts."""
    return {text.encode(): text.upper() for text in texts}


def test_rows_of_similar_length_share_a_request() -> None:
    """Without an option, no request has a text that is shorter than those of the next, and every row its own answer."""
    fake = FakeTriton()
    predicted, _ = run(fake, TEXTS, batch_size="16")
    assert predicted == expected(TEXTS)
    assert [len(texts) for texts in fake.requests] == [16] * 25
    lengths = [[len(text) for text in texts] for texts in fake.requests]
    assert all(min(one) >= max(other) for one, other in pairwise(lengths))


def test_none_keeps_the_order() -> None:
    """With 'batch-by' = 'none', rows go as they come."""
    fake = FakeTriton()
    predicted, _ = run(fake, TEXTS, batch_size="16", batch_by="none")
    assert predicted == expected(TEXTS)
    assert [text for texts in fake.requests for text in texts] == TEXTS


def test_rows_of_about_one_length_keep_their_order() -> None:
    """Where there is next to nothing to gain, nothing is sorted."""
    texts = [f"text {number}" for number in range(1000, 1100)]
    fake = FakeTriton()
    run(fake, texts, batch_size="16")
    assert [text for texts in fake.requests for text in texts] == texts


@pytest.mark.parametrize("batch_by", ["length", "none"])
def test_a_request_has_a_budget(batch_by: str) -> None:
    """A request's rows times its longest text, 4 bytes a token, are within batch-tokens; batch-size is the most."""
    fake = FakeTriton()
    predicted, _ = run(fake, TEXTS, batch_size="32", batch_by=batch_by, batch_tokens="200")
    assert predicted == expected(TEXTS)
    sizes = [len(texts) * max(-(-len(text) // 4) for text in texts) for texts in fake.requests]
    assert all(size <= 200 or len(texts) == 1 for size, texts in zip(sizes, fake.requests, strict=True))
    if batch_by == "none":
        assert [text for texts in fake.requests for text in texts] == TEXTS
    else:
        assert (len(fake.requests[0]), len(fake.requests[-2])) == (1, 32)


def test_a_bad_row_fails_alone() -> None:
    """A request in the order of lengths is split as any other: only the bad row fails."""
    bad = TEXTS[7]
    fake = FakeTriton(lambda rows, _number: refused(400, "bad") if bad in rows else None)
    predicted, _ = run(fake, TEXTS, batch_size="16", batch_tokens="400")
    assert predicted == expected([text for text in TEXTS if text != bad])


@pytest.mark.parametrize("options", [{}, {"batch_by": "none"}, {"batch_tokens": "300"}])
def test_a_dry_run_counts_the_requests_that_are_sent(options: dict[str, str]) -> None:
    """Requests are counted as they will be cut."""
    fake = FakeTriton()
    with fake.serving() as url:
        model = model_of(url, batch_size="16", **options)
        binding = served(model)
    form = request_format(model.options, binding)
    measured = size_of(_batches(TEXTS), form, 1, binding.batch_size, in_order=False)
    sent = FakeTriton()
    run(sent, TEXTS, batch_size="16", **options)
    assert measured.requests == len(sent.requests)


def spec(column: str, sql: str, row_shape: tuple[int, ...], **more: Any) -> TensorSpec:
    """Describe a tensor of texts or of whole numbers."""
    parsed = parse_sql_type(sql)
    assert not isinstance(parsed, str)
    datatype = datatype_of_tensor("BYTES" if parsed.element.kind in {"VARCHAR", "BLOB"} else "INT32")
    assert datatype is not None
    axes = tuple(range(len(parsed.dims)))
    return TensorSpec(column, column.upper(), datatype, row_shape, parsed, axes, **more)


LABEL = spec("label", "STRING", (1,))
KINDS = {
    "text": spec("text", "STRING", (1,)),
    "title": spec("title", "STRING", (1,)),
    "words": spec("words", "STRING[]", (-1,)),
    "ids": spec("ids", "INT[]", (-1,)),
    "padded": spec("padded", "INT[]", (-1,), pad="0"),
    "grid": spec("grid", "INT[][]", (-1, -1), pad="0"),
    "number": spec("number", "INT", (1,)),
}
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "text": st.text("aé评 ,", max_size=40),
    "title": st.text("aé", max_size=9),
    "words": st.lists(st.text("aé", max_size=9), min_size=1, max_size=3),
    "ids": st.lists(st.integers(0, 9), min_size=1, max_size=4),
    "padded": st.lists(st.integers(0, 9), min_size=1, max_size=9),
    "grid": st.integers(1, 4).flatmap(
        lambda width: st.lists(st.lists(st.integers(0, 9), min_size=width, max_size=width), min_size=1, max_size=4)
    ),
    "number": st.integers(0, 9),
}


def tokens_of(kind: str, rows: Sequence[Any]) -> int:
    """Return how long each row of a request is made, by the documented rule."""
    if kind == "number":
        return 0
    if kind == "grid":
        return max(map(len, rows)) * max(len(row[0]) for row in rows)
    if kind in {"ids", "padded"}:
        return max(map(len, rows))
    texts = [row if isinstance(row, list) else [row] for row in rows]
    return max(sum(math.ceil(len(text.encode()) / 4) for text in row) for row in texts)


@given(st.data())
def test_every_row_once_and_no_budget_exceeded(data: st.DataObject) -> None:
    """Whatever the inputs: each row is in one request, of at most batch-size rows, within the budget or alone."""
    kinds = data.draw(st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=3, unique=True))
    rows = data.draw(st.lists(st.tuples(*(VALUES[kind] for kind in kinds)), min_size=1, max_size=40))
    batch_size, budget = data.draw(st.integers(1, 12)), data.draw(st.none() | st.integers(1, 60))
    batching = Batching(by_length=data.draw(st.booleans()), tokens=budget)
    binary = data.draw(st.booleans())
    form = RequestFormat([KINDS[kind] for kind in kinds], [LABEL], binary=binary, batched=True, batching=batching)
    types = [KINDS[kind].sql.arrow_element for kind in kinds]
    columns = []
    for place, kind in enumerate(kinds):
        arrow = types[place]
        for _ in KINDS[kind].sql.dims:
            arrow = pa.large_list(arrow)
        columns.append(pa.array([row[place] for row in rows], arrow))
    encoded = form.encode(columns, batch_size)
    assert encoded.refused == []
    found: list[int] = []
    for places, group in encoded.groups:
        of_group = list(range(len(rows))) if places is None else places.tolist()
        for start, end in group.cuts(len(of_group), batch_size):
            request = [rows[place] for place in of_group[start:end]]
            size = len(request) * sum(tokens_of(kind, [row[at] for row in request]) for at, kind in enumerate(kinds))
            assert len(request) <= batch_size
            measured = any(kind != "number" for kind in kinds)
            assert budget is None or not measured or size <= budget or len(request) == 1
            found += of_group[start:end]
    assert sorted(found) == list(range(len(rows)))


@given(st.lists(st.none() | st.text("ab ", max_size=30), max_size=60), st.integers(2, 9), st.integers(0, 5))
def test_slices_and_nulls(texts: list[str | None], batch_size: int, offset: int) -> None:
    """A column may be a slice of a larger one, and hold values that are none: these are refused, and nothing else."""
    column = pa.array(["x" * 50] * offset + texts, pa.large_string()).slice(offset)
    encoded = RequestFormat([KINDS["text"]], [LABEL], binary=True, batched=True).encode([column], batch_size)
    refused_places = sorted(place for one in encoded.refused for place in one.places.tolist())
    assert refused_places == [place for place, text in enumerate(texts) if text is None]
    for places, group in encoded.groups:
        of_group = list(range(len(texts))) if places is None else places.tolist()
        body, header = group.body(0, len(of_group))
        laid = b"".join(len(raw).to_bytes(4, "little") + raw for raw in (str(texts[at]).encode() for at in of_group))
        assert body[header:] == laid


def test_several_texts_count_together() -> None:
    """Of several inputs, rows are sorted by the sum of their lengths."""
    titles, bodies = ["a" * 80, "", "b" * 40, ""] * 2, ["", "c" * 160, "d" * 60, "e" * 8] * 2
    form = RequestFormat([KINDS["title"], KINDS["text"]], [LABEL], binary=True, batched=True)
    ((places, _),) = form.encode([pa.array(titles), pa.array(bodies)], 2).groups
    assert places is not None
    assert places.tolist() == [1, 5, 2, 6, 0, 4, 3, 7]


def test_a_blob_has_no_length() -> None:
    """The bytes of a BLOB, an image say, say nothing of what it costs: rows keep their order."""
    blob = spec("image", "BLOB", (1,))
    form = RequestFormat([blob], [LABEL], binary=True, batched=True)
    ((places, _),) = form.encode([pa.array([b"x" * size for size in (9, 900, 1, 90)])], 2).groups
    assert places is None


NUMBERS = "INPUT (a FLOAT, b FLOAT[2]) OUTPUT (o FLOAT)"


def _served(max_batch_size: int = 64, **inputs: tuple[str, tuple[int, ...]]) -> ServedModel:
    batch = (-1,) if max_batch_size else ()
    tensors = tuple(ServedTensor(name, datatype, (*batch, *dims)) for name, (datatype, dims) in inputs.items())
    return ServedModel(
        name="m",
        version="1",
        inputs=tensors,
        outputs=(ServedTensor("o", "FP32", (*batch, 1)),),
        max_batch_size=max_batch_size,
        decoupled=False,
        sequence_batching=False,
        dynamic_batching=True,
        server_version="2.51.0",
        binary_data=True,
    )


@pytest.mark.parametrize(
    ("schema", "server", "options", "problem"),
    [
        (
            NUMBERS,
            _served(a=("FP32", (1,)), b=("FP32", (2,))),
            {},
            (
                "batch-tokens is 99, but no input is a text, or an array of any length: all rows are alike "
                "(a FLOAT, b FLOAT[2]); leave it out"
            ),
        ),
        (
            "INPUT (a STRING) OUTPUT (o FLOAT)",
            _served(0, a=("BYTES", (1,))),
            {},
            "batch-tokens is 99, but the model has max_batch_size 0, so each row is a request; leave it out",
        ),
        (
            "INPUT (a STRING) OUTPUT (o FLOAT)",
            _served(a=("BYTES", (1,))),
            {"route": "generate"},
            "batch-tokens is 99, but route is generate, and the generate route takes one row a request; leave it out",
        ),
    ],
)
def test_a_budget_that_measures_nothing_is_refused(
    schema: str, server: ServedModel, options: dict[str, str], problem: str
) -> None:
    """A budget where there is nothing to measure is an error that says why, before a row is sent."""
    with pytest.raises(ConfigurationError) as caught:
        bind(model_of("http://h:8000", schema, batch_tokens="99", **options), server)
    assert problem in caught.value.problems


def test_neither_option_costs_a_prediction() -> None:
    """Changing how rows are put together leaves every kept prediction valid."""
    keys = {
        fingerprint(model_of("http://h:8000", **options), "1")
        for options in ({}, {"batch_by": "none"}, {"batch_tokens": "99"})
    }
    assert len(keys) == 1
