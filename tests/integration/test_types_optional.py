"""NULL in an input that the server calls optional is left out, so that the model's own default holds."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from support.proxy import RecordingProxy
from support.session import Session, Steps
from support.triton import Triton
from support.warehouses import duckdb_only

from dbt_triton import ml_predict
from dbt_triton.warehouses.duckdb import keys

SCHEMA = "INPUT (a INT, b INT, c STRING) OUTPUT (total INT, seen STRING)"
#: A and B, C, and what the model makes of them alone.
ROWS = [
    ("1", "2", "'x'", 3, "ABC:x"),
    ("1", "null", "'x'", 101, "AC:x"),
    ("1", "2", "null", 3, "AB:none"),
    ("1", "null", "null", 101, "A:none"),
    ("1", "100", "''", 101, "ABC:"),
    ("1", "null", "''", 101, "AC:"),
    ("1", "null", "'-'", 101, "AC:-"),
    ("1", "null", "'null'", 101, "AC:null"),
    ("null", "2", "'x'", None, None),
    ("null", "null", "null", None, None),
]
VALUES = ", ".join(f"({number}, {a}, {b}, {c})" for number, (a, b, c, *_) in enumerate(ROWS))
EXPECTED = [(total, seen) for *_, total, seen in ROWS]


@pytest.fixture
def session(session: Steps) -> Steps:
    """A warehouse with the rows as the table ``t``."""
    session.sql(f"create table t as select * from (values {VALUES}) as v(id, a, b, c)")
    return session


@pytest.fixture(scope="module")
def model(serve: Callable[[str], str]) -> str:
    """The name of a model with a required input and two optional ones."""
    return serve("optional_sum")


def _build(session: Steps, **call: str) -> list[tuple[Any, ...]]:
    pairs = ", ".join(f"'{key.replace('_', '-')}', '{value}'" for key, value in call.items())
    config = f", MAP[{pairs}]" if pairs else ""
    select = f"select id, total, seen from ML_PREDICT(TABLE t, MODEL m, DESCRIPTOR(a, b, c){config}) order by id"
    rows = session.build("out", select, ["m"])
    return [row[1:] for row in session.ordered(rows)]


@pytest.mark.parametrize(
    "more",
    [
        {},
        *duckdb_only(
            "a request is the same on each warehouse",
            {"batch-size": "1"},
            {"preflight": "false"},
            {"binary-data": "false"},
        ),
    ],
    ids=" ".join,
)
def test_null_in_an_optional_input_is_left_out(
    session: Steps, triton: Triton, model: str, more: dict[str, str]
) -> None:
    """Each row has its own inputs; what is required is required, and NULL is told from any text."""
    session.create_model("m", SCHEMA, {"endpoint": triton.url, "model-name": model} | more)
    assert _build(session) == EXPECTED


def test_rows_of_one_kind_share_requests(session: Steps, proxy: RecordingProxy, model: str) -> None:
    """Rows with the same inputs go together, those with others do not; equal rows are sent once."""
    session.sql("insert into t select id + 100 + 10 * i, a, b, c from t, range(5) s(i)")
    session.create_model("m", SCHEMA, {"endpoint": proxy.url, "model-name": model})
    assert _build(session) == EXPECTED * 6
    sent = [exchange.request.json["inputs"] for exchange in proxy.inferences]
    shapes: dict[tuple[str, ...], int] = {}
    for tensors in sent:
        names = tuple(tensor["name"] for tensor in tensors)
        shapes[names] = shapes.get(names, 0) + tensors[0]["shape"][0]
    assert shapes == {("A", "B", "C"): 2, ("A", "C"): 4, ("A", "B"): 1, ("A",): 1}
    assert len(sent) == len(shapes) or session.warehouse == "spark"  # whose tasks have requests of their own


@pytest.mark.duckdb_only("Spark's Python models are in tests/spark/test_project.py")
def test_python_models_leave_it_out_too(session: Session, triton: Triton, model: str) -> None:
    """The Python door predicts the same."""
    session.create_model("m", SCHEMA, {"endpoint": triton.url, "model-name": model})
    dbt = SimpleNamespace(this=SimpleNamespace(database=None, schema="main", identifier="out"))
    relation = session.connection.query("select * from m")
    found = ml_predict(dbt, session.connection, "select * from t order by id", relation, ["a", "b", "c"], config={})
    assert [row[-2:] for row in found.fetchall()] == EXPECTED


def test_a_value_of_another_type_still_fails(session: Steps, triton: Triton, model: str) -> None:
    """A value that is none of the type is not left out: its row fails, and says why."""
    session.retype("t", "b", "varchar")
    session.sql("insert into t values (90, 1, 'two', 'x')")
    session.create_model("m", SCHEMA, {"endpoint": triton.url, "model-name": model, "on-error": "null"})
    assert _build(session) == [*EXPECTED, (None, None)]
    rows = session.build("out", "select * from ML_PREDICT(TABLE t, MODEL m, DESCRIPTOR(a, b, c)) where id = 90", ["m"])
    assert "not sent: b: its value is no INTEGER" in str(rows[0][-1])


def test_what_is_known_is_not_sent_again(session: Steps, triton: Triton, model: str) -> None:
    """With a persistent cache rows that lack an input are found again; a new kind of row is sent."""
    session.create_model("m", SCHEMA, {"endpoint": triton.url, "model-name": model, "cache": "persistent"})
    assert _build(session) == EXPECTED
    sent = session.figures["rows_predicted"]
    assert sent == len(ROWS) - 2
    assert _build(session) == EXPECTED
    assert session.figures["rows_predicted"] == 0
    session.sql("insert into t values (91, 7, null, null)")
    assert _build(session) == [*EXPECTED, (107, "A:none")]
    assert session.figures["rows_predicted"] == 1


def test_the_dry_run_counts_them(session: Steps, triton: Triton, model: str) -> None:
    """The dry run says what the build then does."""
    session.create_model("m", SCHEMA, {"endpoint": triton.url, "model-name": model})
    said = session.dry_run("select * from ML_PREDICT(TABLE t, MODEL m, DESCRIPTOR(a, b, c))", ["m"])
    _build(session)
    assert (said["rows"], said["nulls"], said["to_send"]) == (len(ROWS), 2, len(ROWS) - 2)
    assert (said["requests"], said["to_send"]) == (session.figures["requests"], session.figures["rows_predicted"])
    assert said["bytes"] == session.figures["bytes_sent"]


@pytest.mark.parametrize(
    "sequence",
    [
        *duckdb_only("one sequence of all rows is in test_flink_semantics", {"sequence-id": "5"}),
        {"sequence-by": "id", "order-by": "a"},
    ],
)
def test_steps_of_a_sequence_may_lack_them(
    session: Steps, triton: Triton, serve: Callable[[str], str], sequence: dict[str, str]
) -> None:
    """The steps of a sequence keep their order, whatever inputs each has."""
    options = {"endpoint": triton.url, "model-name": serve("optional_steps")} | sequence
    if "sequence-id" in sequence:
        options["sequence-start"] = "true"
    session.create_model("m", "INPUT (a INT, b INT) OUTPUT (total INT)", options)
    session.sql(
        "create or replace table t as select i // 20 as id, i as a, if(i % 3 = 0, null, 1) as b from range(60) s(i)"
    )
    rows = session.build("out", "select * from ML_PREDICT(TABLE t, MODEL m, DESCRIPTOR(a, b)) order by a", ["m"])
    totals: dict[object, int] = {}
    for key, a, b, total in sorted(rows, key=lambda row: int(row[1])):
        group = key if "sequence-by" in sequence else 0
        totals[group] = totals.get(group, 0) + a + (1000 if b is None else b)
        assert total == totals[group]


def test_nothing_at_all_predicts_null(session: Steps, proxy: RecordingProxy, serve: Callable[[str], str]) -> None:
    """Where every input is optional, a row with any value is sent, and one without is not: no server takes that."""
    values = "(1, 5, null), (2, null, 'x'), (3, null, null)"
    session.sql(f"create or replace table t as select * from (values {values}) v(id, a, b)")
    options = {"endpoint": proxy.url, "model-name": serve("identity_scalar"), "on-error": "null"}
    session.create_model("m", "INPUT (in_int64 BIGINT, in_string STRING) OUTPUT (out_int64 BIGINT)", options)
    rows = session.build("out", "select * from ML_PREDICT(TABLE t, MODEL m, DESCRIPTOR(a, b)) order by id", ["m"])
    rows = session.ordered(rows)
    assert [row[3] for row in rows] == [5, None, None]
    assert "the answer has no output OUT_INT64" in str(rows[1][4])
    assert rows[2][4] is None
    sent = [[tensor["name"] for tensor in exchange.request.json["inputs"]] for exchange in proxy.inferences]
    assert sorted(sent) == [["IN_INT64"], ["IN_STRING"]]
    proxy.clear()
    session.sql("delete from t where id < 3")
    session.build("out", "select * from ML_PREDICT(TABLE t, MODEL m, DESCRIPTOR(a, b)) order by id", ["m"])
    assert proxy.exchanges == []


@pytest.mark.duckdb_only("Spark reads its input in partitions, not in parts of so many bytes")
def test_many_inputs_in_parts(session: Steps, triton: Triton, model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A large input, which is read in several parts, has each row once, whatever inputs it lacks."""
    for setting, value in {"_PART_BYTES": 2000, "_ROOM_SHARE": 2**60, "_PART_SHARE": 2**60}.items():
        monkeypatch.setattr(keys, setting, value)
    assert len(keys.parts(2000, 0, 2**34)) > 1
    session.sql(
        "create or replace table t as select i as id, i as a, if(i % 3 = 0, null, i) as b, "
        "if(i % 5 = 0, null, 'é' || i % 7) as c from range(2000) s(i)"
    )
    session.create_model("m", SCHEMA, {"endpoint": triton.url, "model-name": model})
    wrong = "total <> a + coalesce(b, 100) or not ends_with(seen, coalesce(c, ':none'))"
    session.build("out", "select * from ML_PREDICT(TABLE t, MODEL m, DESCRIPTOR(a, b, c))", ["m"])
    assert session.sql(f"select count(*), count(*) filter (where {wrong}) from out") == [(2000, 0)]
    assert session.figures["rows_predicted"] == 2000
