"""Rows of different lengths against a real server: padding, masks, and outputs that are cut to a row's own length."""

from __future__ import annotations

from collections.abc import Callable, Generator

import pytest
from support.proxy import RecordingProxy
from support.session import Session, StepError
from support.triton import Triton


@pytest.fixture
def session() -> Generator[Session, None, None]:
    """An empty warehouse."""
    with Session() as opened:
        yield opened


Rows = list[tuple[object, ...]]
TOKENS = "create table t as select i as id, list_transform(range(1 + (i * 5) % 7), lambda j: (i + 2 * j + 1)) as x from range(40) s(i)"
OUTPUTS = "logits FLOAT[2][], attentions FLOAT[][][2], pooled FLOAT[2], words STRING[], best BIGINT[]"


def _predict(session: Session, schema: str, descriptor: str, options: dict[str, str], call: str = "") -> Rows:
    """Predict for the table ``t``, and return the OUTPUT columns in the order of ``id``."""
    session.create_model("m", schema, options)
    inputs = ", ".join(name for (name,) in session.sql("select column_name from duckdb_columns() where table_name = 't'"))
    return session.build(
        "out",
        f"select * exclude ({inputs}) from ML_PREDICT(TABLE t, MODEL m, DESCRIPTOR({descriptor}){call}) order by id",
        ["m"],
    )


def _expected(ids: list[int], type_id: int) -> tuple[object, ...]:
    """Return what the model ``tokens`` says of one text alone."""
    kept = [number + type_id for number in ids]
    total = sum(kept)
    pairs = [[[float(h * a * b) for b in kept] for a in kept] for h in (1, 2)]
    return (
        [(float(number), float(total)) for number in ids],
        tuple(pairs),
        (float(total), float(len(ids))),
        [str(number) for number in ids],
        [total, len(ids), 2 * total],
    )


@pytest.mark.parametrize("binary", ["true", "false"])
@pytest.mark.parametrize("batch_size", ["1", "7", "64"])
def test_bert(session: Session, proxy: RecordingProxy, serve: Callable[[str], str], binary: str, batch_size: str) -> None:
    """Ids are all that a table needs: the mask is made of their lengths, and every output is of the row alone."""
    session.sql(TOKENS)
    options = {
        "endpoint": proxy.url,
        "model-name": serve("tokens"),
        "pad": "0",
        "mask.attention_mask": "ids",
        "zeros.token_type_ids": "ids",
        "binary-data": binary,
        "batch-size": batch_size,
    }
    rows = _predict(session, f"INPUT (ids BIGINT[]) OUTPUT ({OUTPUTS})", "x", options)
    ids = [ids for (ids,) in session.sql("select x from t order by id")]
    assert rows == [_expected(one, 0) for one in ids]
    print(sorted(str([t["shape"] for t in e.request.json["inputs"]]) for e in proxy.inferences))
