"""The interfaces of models that people deploy, each built from SQL against the real server, every value checked."""

from __future__ import annotations

from collections.abc import Generator

import pytest
from support.formulas import serving_formulas
from support.interfaces import INTERFACES, formula_model, tensors
from support.session import StepError, Steps
from support.triton import Triton
from support.warehouses import duckdb_only

#: Two pictures in which two faces were found in all: the batch dimension that it promises is not there.
FACES_OF_ALL = formula_model(
    "faces_of_all",
    tensors(16, "found FP32 1; picture FP32 1", "boxes FP32 -1,4; labels BYTES -1; rows FP32 3"),
    boxes="np.repeat(picture, found.astype(int).ravel(), 0) * np.ones((1, 4))",
    labels="np.array([str(int(n)) for n in np.repeat(picture, found.astype(int).ravel())], dtype=object)",
    rows="np.repeat(picture, found.astype(int).ravel(), 0) * np.ones((1, 3))",
)


#: NaN, padded tokens, detections, NULL in optional inputs, bytes, the schema of the server, and unusual names.
ON_SPARK = ["fil_xgboost", "ner_padded", "yolov7_end2end", "two_tower_nulls", "document_with_features"]
ON_SPARK += ["features_of_server", "scene_text", "decoder_cache"]


@pytest.fixture(scope="module")
def endpoint(triton: Triton) -> Generator[str, None, None]:
    """A server of all of them."""
    models = [model for interface in INTERFACES.values() for model in (*interface.before, interface.model)]
    with serving_formulas(triton, [*models, FACES_OF_ALL]):
        yield triton.url


@pytest.mark.parametrize(
    "name", [*ON_SPARK, *duckdb_only("one of each kind on Spark", *sorted({*INTERFACES} - {*ON_SPARK}))]
)
def test_interface(session: Steps, endpoint: str, name: str) -> None:
    """The statement that one writes for it builds, and each row has its own values; a row of NULLs has NULLs."""
    interface = INTERFACES[name]
    session.create_model("m", interface.schema, {"endpoint": endpoint, "model-name": name} | dict(interface.options))
    session.table("once", interface.rows)
    columns = [column for column in session.columns("once") if column != "id"]
    named = ", ".join(columns)
    # Twice each row, so that rows share requests in any order.
    twice = f"select id, {named} from once union all select id + 10, {named} from once"
    session.table("rows", f"{twice} union all select 0, {', '.join(['null'] * len(columns))}")
    call = f"ML_PREDICT(TABLE rows, MODEL m, DESCRIPTOR({named}))"
    session.build("predicted", f"select {session.without(*columns)} from {call} order by id", ["m"])
    nothing = (0, *(interface.of_nulls or [None] * len(interface.expected[0])))
    expected = [(i + more, *row) for more in (0, 10) for i, row in enumerate(interface.expected, start=1)]
    assert session.sql("select * from predicted order by id") == session.read([nothing, *expected])


@pytest.mark.parametrize(
    ("output", "found"),
    [
        *((output, found) for output in ("boxes FLOAT[4][]", "labels STRING[]") for found in ("0, 2", "2, 0, 1, 1")),
        # Of an output without an axis of its own any other number of rows says it, and halves of a request may not.
        ("rows FLOAT[3]", "0, 2, 0, 1"),
        ("rows FLOAT[3]", "0, 2, 2"),
    ],
)
@pytest.mark.duckdb_only("what an answer counts is seen without a warehouse; test_models_at_fault has one on Spark")
def test_as_many_detections_as_rows_by_chance(session: Steps, endpoint: str, output: str, found: str) -> None:
    """What was found in all rows together is never read as one of each, however many it is."""
    schema = f"INPUT (found FLOAT, picture FLOAT) OUTPUT ({output})"
    session.create_model("m", schema, {"endpoint": endpoint, "model-name": FACES_OF_ALL.name})
    session.sql(f"create table rows as select unnest([{found}]) as found, generate_subscripts([{found}], 1) as n")
    call = "select * from ML_PREDICT(TABLE rows, MODEL m, DESCRIPTOR(found, n))"
    with pytest.raises(StepError, match=r"has . rows, but . were sent: its first axis is not the batch"):
        session.build("predicted", call, ["m"])
