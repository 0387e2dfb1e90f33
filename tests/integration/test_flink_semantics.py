"""Options of Flink's that mean something, as they are written there, on a real server."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from support.proxy import RecordingProxy
from support.session import Steps

TEXT = "INPUT (review STRING) OUTPUT (shouted STRING)"
SELECT = "select * from ML_PREDICT(TABLE reviews, MODEL upper, DESCRIPTOR(review){options}) order by id"


@pytest.mark.parametrize(
    ("in_model", "in_call", "failed"),
    [
        ({"default-value": "FAILED"}, "", "FAILED"),
        ({"default-value": "null"}, "", None),
        ({"default-value": "NULL"}, "", "NULL"),
        ({}, ", MAP['default-value', 'FAILED']", "FAILED"),
        ({}, ", MAP['default-value', 'null', 'async', 'true']", None),
    ],
)
def test_default_value_by_itself(  # noqa: PLR0913, PLR0917 - a case and its parts
    in_model: dict[str, str],
    in_call: str,
    failed: str | None,
    session: Steps,
    proxy: RecordingProxy,
    serve: Callable[[str], str],
) -> None:
    """A default-value is what a row gets that the model refuses, without an on-error; the literal null is NULL."""
    session.sql("create table reviews as from (values (1, 'good'), (2, 'REFUSE'), (3, 'bad')) t(id, review)")
    session.create_model("upper", TEXT, {"endpoint": proxy.url, "model-name": serve("upper")} | in_model)
    rows = session.ordered(session.build("out", SELECT.format(options=in_call), ["upper"]))
    assert [row[2] for row in rows] == ["GOOD", failed, "BAD"]
    assert [row[3] is None for row in rows] == [True, False, True]


@pytest.mark.parametrize(
    "headers",
    [
        "X-Team:${FLINK_TEAM},X-Key:${FLINK_KEY}",
        "{X-Team: ${FLINK_TEAM}, 'X-Key': \"${FLINK_KEY}\"}",
        '{"X-Team": "${FLINK_TEAM}", "X-Key": "${FLINK_KEY}"}',
    ],
)
def test_headers_are_sent(
    headers: str,
    session: Steps,
    proxy: RecordingProxy,
    serve: Callable[[str], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Headers that are a map of Flink's are on the wire, with their placeholders filled in."""
    monkeypatch.setenv("FLINK_KEY", "k")
    monkeypatch.setenv("FLINK_TEAM", "reviews")
    session.sql("create table reviews as select 1 as id, 'good' as review")
    options = {"endpoint": proxy.url, "model-name": serve("upper"), "custom-headers": headers}
    session.create_model("upper", TEXT, options)
    session.build("out", SELECT.format(options=""), ["upper"])
    (sent,) = [dict(exchange.request.headers) for exchange in proxy.inferences]
    lowered = {name.lower(): value for name, value in sent.items()}
    assert (lowered["x-team"], lowered["x-key"]) == ("reviews", "k")


def test_each_row_is_a_sequence(session: Steps, proxy: RecordingProxy, serve: Callable[[str], str]) -> None:
    """With sequence-id-auto-increment a stateful model begins anew with each row, under an id of its own."""
    options = {"sequence-id": "42", "sequence-start": "true", "sequence-end": "true"}
    schema = "INPUT (amount BIGINT) OUTPUT (total BIGINT)"
    select = "select * from ML_PREDICT(TABLE payments, MODEL totals, DESCRIPTOR(amount)) order by id"
    totals = {}
    session.sql("create table payments as select i as id, 10 + i % 3 as amount from range(20) t(i)")
    for each in ("false", "true"):
        proxy.clear()
        more = {"endpoint": proxy.url, "model-name": serve("running_total"), "sequence-id-auto-increment": each}
        session.create_model("totals", schema, options | more)
        totals[each] = [row[2] - row[1] for row in session.ordered(session.build(f"out_{each}", select, ["totals"]))]
    assert totals["true"] == [0] * 20
    assert totals["false"] != [0] * 20
    sent = [exchange.request.json["parameters"] for exchange in proxy.inferences]
    assert [step["sequence_id"] for step in sent] == list(range(42, 62))
    assert all(step["sequence_start"] and step["sequence_end"] for step in sent)
