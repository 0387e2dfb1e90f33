"""One sequence for each key, on a real stateful model: a running total."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from support.proxy import Exchange, Message, RecordingProxy, answer_message
from support.session import StepError, Steps
from support.triton import Triton
from support.warehouses import duckdb_only

#: What a gateway says of a request that it has passed on already, when the connection to the server breaks.
_STATUSES = (429, 502, 503, 504)
SCHEMA = "INPUT (amount BIGINT) OUTPUT (total BIGINT)"
SELECT = "select * from ML_PREDICT(TABLE payments, MODEL totals, DESCRIPTOR(amount)) order by id"
WRONG = """
    select id, total, expected from (
        select *, sum(amount) over (partition by customer order by at_second, id) as expected from {table}
    ) where total is distinct from expected
"""


@pytest.fixture
def session(session: Steps) -> Steps:
    """A warehouse with 600 payments of 40 customers, one of them unknown, in no order."""
    session.sql(
        "create table payments as select i as id, case when i % 40 < 39 then 'c' || (i % 40) end as customer, "
        "hash(i) % 1000 as amount, (i * 7919) % 600 as at_second from range(600) t(i) order by hash(i)"
    )
    return session


def _create(session: Steps, url: str, model: str, **options: str) -> None:
    session.create_model(
        "totals",
        SCHEMA,
        {"endpoint": url, "model-name": model, "sequence-by": "customer", "order-by": "at_second"}
        | {key.replace("_", "-"): value for key, value in options.items()},
    )


def _parameters(proxy: RecordingProxy) -> list[dict[str, Any]]:
    return [exchange.request.json["parameters"] for exchange in proxy.inferences]


@pytest.mark.parametrize(
    "strategy", [*duckdb_only("what a server does with steps is its own", "running_total"), "running_total_oldest"]
)
def test_each_key_is_one_sequence(
    strategy: str, session: Steps, proxy: RecordingProxy, serve: Callable[[str], str]
) -> None:
    """Every key has the running total of its own rows in their order, whether Triton's strategy is direct or oldest."""
    _create(session, proxy.url, serve(strategy), max_concurrent_operations="8")
    rows = session.build("out", SELECT, ["totals"])
    assert len(rows) == 600
    assert session.sql(WRONG.format(table="out")) == []
    parameters = _parameters(proxy)
    assert len(parameters) == 600
    sequences: dict[int, list[tuple[bool, bool]]] = {}
    for step in parameters:
        sequences.setdefault(step["sequence_id"], []).append((step["sequence_start"], step["sequence_end"]))
    assert len(sequences) == 40
    for steps in sequences.values():
        assert steps == [(True, False), *[(False, False)] * 13, (False, True)]
    assert proxy.most_in_flight > 1


@pytest.mark.duckdb_only("ids are drawn without a warehouse")
def test_ids_do_not_meet_another_run(session: Steps, proxy: RecordingProxy, serve: Callable[[str], str]) -> None:
    """Two runs use no sequence id twice: a step of one would else be one of the other."""
    _create(session, proxy.url, serve("running_total"))
    session.build("once", SELECT, ["totals"])
    first = {step["sequence_id"] for step in _parameters(proxy)}
    proxy.clear()
    session.build("twice", SELECT, ["totals"])
    second = {step["sequence_id"] for step in _parameters(proxy)}
    assert len(first) == len(second) == 40
    assert not first & second


class Losing:
    """Loses the answers to some steps: the server runs them, and something else is answered, or nothing."""

    def __init__(self, upstream: str, every: int, answer: Message | bytes = b"") -> None:
        self.answer = answer
        self.upstream = upstream
        self.every = every
        self.steps = 0
        self.lost = 0
        self.lock = threading.Lock()

    def __call__(self, exchange: Exchange) -> Message | bytes | None:
        """Pass every n-th step on, and lose its answer."""
        if not exchange.path.endswith("/infer"):
            return None
        with self.lock:
            self.steps += 1
            if self.steps % self.every:
                return None
            self.lost += 1
        headers = {name: value for name, value in exchange.request.headers if name.lower().startswith("inference-")}
        httpx.post(self.upstream + exchange.path, content=exchange.request.body, headers=headers, trust_env=False)
        return self.answer


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        *duckdb_only(
            "what is read of an answer is the same on each warehouse",
            *(answer_message(status, b"upstream connect error or reset before headers") for status in _STATUSES),
        ),
    ],
    ids=["none", *map(str, _STATUSES)],
)
def test_lost_answers_count_no_row_twice(
    session: Steps, triton: Triton, serve: Callable[[str], str], answer: Message | bytes
) -> None:
    """A sequence that lost an answer, whatever a gateway says of it, starts again, so that no amount is added twice."""
    losing = Losing(triton.url, every=97, answer=answer)
    with RecordingProxy(triton.url, losing) as proxy:
        _create(session, proxy.url, serve("running_total_oldest"), max_retries="20", max_concurrent_operations="4")
        session.build("out", SELECT, ["totals"])
    assert losing.lost >= 6
    assert session.sql(WRONG.format(table="out")) == []
    assert session.sql("select count(*), count(distinct id) from out") == [(600, 600)]


@pytest.mark.duckdb_only("a lost answer is the case of a sequence that starts again; two tasks share no idle time")
def test_idle_sequence_starts_again(session: Steps, triton: Triton, serve: Callable[[str], str]) -> None:
    """A sequence that the server dropped, since a step came too late, starts again from its START."""
    waited = threading.Event()

    def late(exchange: Exchange) -> None:
        if exchange.path.endswith("/infer") and not waited.is_set():
            parameters = exchange.request.json["parameters"]
            if not parameters["sequence_start"]:
                waited.set()
                time.sleep(1.5)  # the server's own clock decides that it is idle

    with RecordingProxy(triton.url, late) as proxy:
        _create(session, proxy.url, serve("running_total_forgetful"), max_concurrent_operations="1")
        session.sql("delete from payments where id % 40 > 1")
        session.build("out", SELECT, ["totals"])
        answers = [exchange.status for exchange in proxy.inferences]
    assert 400 in answers
    assert session.sql(WRONG.format(table="out")) == []
    assert session.sql("select count(*), count(distinct id) from out") == [(30, 30)]


def test_one_bad_row_spoils_its_own_sequence(session: Steps, triton: Triton, serve: Callable[[str], str]) -> None:
    """With on-error = null the rows of one sequence have no total, and say why; the others are whole."""
    session.retype("payments", "amount", "double")
    session.sql("update payments set amount = 0.5 where id = 205")
    _create(session, triton.url, serve("running_total"), on_error="null")
    session.build("out", SELECT, ["totals"])
    assert session.sql("select customer, count(*) from out where total is null group by 1") == [("c5", 15)]
    assert "its value is no BIGINT" in session.sql("select ml_error from out where id = 205")[0][0]
    assert session.sql(WRONG.format(table="(select * from out where customer is distinct from 'c5')")) == []


def test_columns_of_a_sequence_are_checked(session: Steps, triton: Triton, serve: Callable[[str], str]) -> None:
    """A sequence-by or order-by that names no column is refused with the nearest one, before a row is sent."""
    model = serve("running_total")
    before = triton.counters(model)
    _create(session, triton.url, model, sequence_by="custmer", order_by="at_secnd desc")
    with pytest.raises(StepError) as raised:
        session.build("out", SELECT, ["totals"])
    assert "sequence-by: the input has no column custmer; did you mean customer?" in str(raised.value)
    assert "order-by: the input has no column at_secnd; did you mean at_second?" in str(raised.value)
    assert triton.counters(model) == before


def test_order_may_go_down(session: Steps, triton: Triton, serve: Callable[[str], str]) -> None:
    """``order-by`` takes a direction, and several columns."""
    _create(session, triton.url, serve("running_total"), order_by="at_second DESC, id")
    session.build("out", SELECT, ["totals"])
    down = WRONG.format(table="out").replace("at_second, id", "at_second desc, id")
    assert session.sql(down) == []


@pytest.mark.duckdb_only("Spark has no settings for ORDER BY")
@pytest.mark.parametrize("setting", ["default_order = 'desc'", "default_null_order = 'nulls_first'"])
@pytest.mark.parametrize("order_by", ["at_second", "at_second asc nulls last, id", "at_second NULLS LAST"])
def test_settings_do_not_turn_the_order_round(
    session: Steps, triton: Triton, serve: Callable[[str], str], setting: str, order_by: str
) -> None:
    """DuckDB's settings for ORDER BY do not change the order of steps; NULLs are last by themselves."""
    session.sql("update payments set at_second = null where id % 50 = 7")
    _create(session, triton.url, serve("running_total"), order_by=order_by)
    session.sql(f"set {setting}")
    session.build("out", SELECT, ["totals"])
    session.sql(f"reset {setting.split(maxsplit=1)[0]}")
    in_order = "partition by customer order by at_second asc nulls last, id"
    wrong = f"select id from (select *, sum(amount) over ({in_order}) as expected from out) where at_second is not null"
    assert session.sql(f"{wrong} and total is distinct from expected") == []


@pytest.mark.duckdb_only("the SQL of keys on Spark is in tests/spark; this writes a collation in DuckDB's words")
def test_keys_that_a_collation_calls_equal(session: Steps, triton: Triton, serve: Callable[[str], str]) -> None:
    """Keys that differ in their bytes are two sequences, whatever the column's collation says."""
    session.sql("create table mixed (id integer, customer varchar collate nocase, amount bigint, at_second integer)")
    session.sql("insert into mixed values (1, 'a', 1, 1), (2, 'A', 10, 2), (3, 'a', 100, 3), (4, 'A', 1000, 4)")
    _create(session, triton.url, serve("running_total"))
    rows = session.build("out", SELECT.replace("payments", "mixed"), ["totals"])
    assert sorted((row[0], row[-1]) for row in rows) == [(1, 1), (2, 10), (3, 101), (4, 1010)]
