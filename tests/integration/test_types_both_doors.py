"""What SQL and a Python model send of a value is the same, on the real server; and what the Python door keeps apart."""

from __future__ import annotations

from collections.abc import Callable, Generator
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest
from support.proxy import RecordingProxy
from support.session import Session, StepError
from support.triton import Triton

from dbt_triton import ml_predict
from dbt_triton.errors import DbtTritonError

pytestmark = pytest.mark.duckdb_only(
    "it is about relations and cursors of DuckDB; tests/spark/test_project.py has Python models on Spark"
)

#: SQL of two values: one that is sent as it is, and one that is none of the declared type.
VALUES = [
    ("VARCHAR", "STRING", "STRING", "'é \\x41'", None),
    ("BLOB", "STRING", "STRING", "'d\\x22f'::blob", "'\\xFF'::blob"),
    ("ENUM('a', 'b')", "STRING", "STRING", "'b'::enum('a', 'b')", None),
    ("UUID", "STRING", "STRING", "'6ba7b810-9dad-11d1-80b4-00c04fd430c8'::uuid", None),
    ("VARCHAR", "BYTES", "STRING", "'\\x41'", None),
    ("VARCHAR", "JSON", "STRING", "'[1.10]'", "'{1'"),
    ("DOUBLE", "INT", "INT32", "2.0::double", "2.5::double"),
    ("HUGEINT", "BIGINT", "INT64", "9007199254740993::hugeint", "9223372036854775808::hugeint"),
    ("VARCHAR", "BIGINT", "INT64", "'9007199254740993'", "'9007199254740992.6'"),
    ("DECIMAL(4,3)", "DECIMAL(5,2)", "STRING", "1.250::decimal(4,3)", "1.255::decimal(4,3)"),
    ("DOUBLE", "DECIMAL(38,9)", "STRING", "(-2455555555.33)::double", "'inf'::double"),
    ("TIMESTAMP", "DATE", "STRING", "timestamp '2026-11-24'", "timestamp '2026-11-24 12:34:56'"),
    ("VARCHAR", "TIMESTAMP", "INT64", "'2026-11-24 12:34:56'", "'2026-11-24 12:34:56+02'"),
    ("VARCHAR", "FLOAT", "FP32", "'1e38'", "'1e39'"),
    ("DOUBLE", "FLOAT16", "FP16", "1.0009765625::double", "1e6::double"),
    ("VARCHAR[]", "BYTES[]", "STRING", "['é']", None),
    ("BLOB[]", "STRING[]", "STRING", "['d\\x22f'::blob]", "['\\xFF'::blob]"),
    ("DOUBLE[]", "FLOAT[1]", "FP32", "[0.5::double]", "[1e39::double]"),
    ("VARCHAR", "FLOAT[]", "FP32", "'[0.5]'", "'[x]'"),
]
TOTALS = "INPUT (amount BIGINT) OUTPUT (total BIGINT)"


@pytest.fixture
def session() -> Generator[Session, None, None]:
    """A warehouse in memory."""
    with Session() as opened:
        yield opened


@pytest.fixture(scope="module")
def identity(serve: Callable[[str], str]) -> str:
    """The name of a model whose outputs are its inputs."""
    return serve("identity_scalar")


def _in_python(
    session: Session, table: Any, model: str, descriptor: str | list[str], name: str = "out", **options: Any
) -> Any:
    """Call the Python door as a dbt Python model does."""
    dbt = SimpleNamespace(this=SimpleNamespace(database=None, schema="main", identifier=name))
    relation = session.connection.query(f"select * from {model}")
    config = {key.replace("_", "-"): value for key, value in options.items()}
    return ml_predict(dbt, session.connection, table, relation, descriptor, config=config)


@pytest.mark.parametrize("case", VALUES, ids=str)
def test_both_doors_send_the_same(
    case: tuple[str, str, str, str, str | None], session: Session, triton: Triton, identity: str
) -> None:
    """A value comes back as it is through both doors, and one that does not fit fails its own row."""
    source, declared, tensor, good, bad = case
    session.create_model(
        "echo",
        f"INPUT (in_{tensor.lower()} {declared}) OUTPUT (out_{tensor} {declared})",
        {"endpoint": triton.url, "model-name": identity, "on-error": "null"},
    )
    values = f"(0, {good}), (1, {bad}), (2, null)" if bad else f"(0, {good}), (2, null)"
    session.sql(f"create table given as select i, cast(x as {source}) as x from (values {values}) as t(i, x)")
    output = f"out_{tensor}"
    in_sql = session.build(
        "out",
        f"select i, {output}, ml_error from ML_PREDICT(TABLE given, MODEL echo, DESCRIPTOR(x)) order by i",
        ["echo"],
    )
    relation = _in_python(session, session.connection.table("given"), "echo", "x")
    assert relation.columns == ["i", "x", output, "ml_error"]
    in_python = relation.project(f"i, {output}, ml_error").fetchall()
    assert in_python == in_sql
    sent = session.sql(f"select out_{tensor} is not null, ml_error ilike 'not sent: in_{tensor}%' from out order by i")
    assert sent == [(True, None), *([(False, True)] if bad else []), (False, None)]


def test_sequences_work_in_python(session: Session, triton: Triton, serve: Callable[[str], str]) -> None:
    """`sequence-by` and `order-by` name columns of the input in a Python model, too."""
    session.create_model(
        "totals",
        TOTALS,
        {
            "endpoint": triton.url,
            "model-name": serve("running_total"),
            "sequence-by": "customer",
            "order-by": "day desc",
        },
    )
    session.sql("create table payments as select i % 3 as customer, i as day, i as amount from range(30) t(i)")
    totals = _in_python(session, "select * from payments", "totals", "amount")
    assert totals.columns == ["customer", "day", "amount", "total"]
    expected = "sum(amount) over (partition by customer order by day desc)"
    totals.create("totalled")
    wrong = f"from (select *, {expected} as expected from totalled) where total <> expected"
    assert session.sql(wrong) == []
    assert [row[1] for row in session.sql("from totalled")] == list(range(30))


@pytest.mark.parametrize("is_open", [True, False])
def test_transaction_of_dbt_goes_on(
    is_open: bool, session: Session, triton: Triton, serve: Callable[[str], str]
) -> None:
    """What a hook did before is there, and a transaction is open after the call if one was before it, only then."""
    session.create_model(
        "upper", "INPUT (text STRING) OUTPUT (output STRING)", {"endpoint": triton.url, "model-name": serve("upper")}
    )
    if is_open:
        session.sql("begin")
    session.sql("create temp table given as select 'fine' as text")
    for _ in range(2):
        found = _in_python(session, session.connection.table("given"), "upper", "text").fetchall()
        assert found == [("fine", "FINE")]
        session.sql("insert into given values ('fine')" if is_open else "select 1")
        session.sql("rollback; begin" if is_open else "begin; rollback")
    with pytest.raises(DbtTritonError, match="the input has no column none; it has text"):
        _in_python(session, session.connection.table("given"), "upper", "none")
    session.sql("rollback" if is_open else "begin")


def test_order_and_unusual_inputs(session: Session, triton: Triton, serve: Callable[[str], str]) -> None:
    """Rows keep their order, an Arrow table and the result of a call are inputs, and nothing is left behind."""
    session.create_model(
        "upper", "INPUT (text STRING) OUTPUT (output STRING)", {"endpoint": triton.url, "model-name": serve("upper")}
    )
    texts = [f"text {place % 700}" for place in range(20_000)]
    for table in (pa.table({"text": texts}), pa.table({"text": pa.array(texts, pa.string_view())})):
        once = _in_python(session, table, "upper", "text")
        twice = _in_python(session, once, "upper", "output", name="again")
        assert twice.fetchall() == [(text, text.upper(), text.upper()) for text in texts]
    assert all(
        row[0].endswith("_predicted") for row in session.sql("select table_name from duckdb_tables() where temporary")
    )


def test_stream_of_the_session_is_read_whole(session: Session, triton: Triton, serve: Callable[[str], str]) -> None:
    """A stream of record batches that the session itself makes, as relation.arrow() is one, gives every row."""
    model = {"endpoint": triton.url, "model-name": serve("upper")}
    session.create_model("upper", "INPUT (text STRING) OUTPUT (output STRING)", model)
    relation = session.connection.sql("select 'text ' || i as text from range(5000) r(i)")
    make = getattr(relation, "to_arrow_reader", None) or relation.fetch_arrow_reader
    rows = _in_python(session, make(100), "upper", "text").fetchall()
    assert sorted(rows) == sorted((f"text {number}", f"TEXT {number}") for number in range(5000))


@pytest.mark.parametrize("option", ["auth-token", "custom-headers"])
def test_mask_is_never_sent(option: str, session: Session, proxy: RecordingProxy, serve: Callable[[str], str]) -> None:
    """A literal secret is not in the warehouse: an error names the way that works, and no row is sent."""
    value = "Bearer s3cret" if option == "auth-token" else '{"X-Tenant": "s3cret"}'
    session.create_model(
        "upper",
        "INPUT (text STRING) OUTPUT (output STRING)",
        {"endpoint": proxy.url, "model-name": serve("upper"), option: value},
    )
    proxy.clear()
    with pytest.raises(DbtTritonError, match=rf"{option}.* holds \*\*\*.*\$\{{NAME\}}"):
        _in_python(session, "select 'x' as text", "upper", "text")
    assert proxy.inferences == []


def test_nested_value_for_a_text_is_an_error_of_the_plan(session: Session, triton: Triton, identity: str) -> None:
    """No row is sent of a STRUCT for STRING through either door, and the message has the expression to write."""
    session.create_model(
        "echo", "INPUT (in_string STRING) OUTPUT (out_string STRING)", {"endpoint": triton.url, "model-name": identity}
    )
    session.sql("create table given as select {'name': 'Ann'} as person")
    said = r"the column person is STRUCT\(.*\), of which no value is a VARCHAR; write .*to_json\(person\)"
    with pytest.raises(StepError, match=said):
        session.build("out", "select * from ML_PREDICT(TABLE given, MODEL echo, DESCRIPTOR(person))", ["echo"])
    with pytest.raises(DbtTritonError, match=said):
        _in_python(session, "from given", "echo", "person")


@pytest.mark.parametrize("door", ["SQL", "Python"])
def test_settings_of_arrow_change_no_prediction(
    door: str, session: Session, triton: Triton, serve: Callable[[str], str]
) -> None:
    """Arrays, texts and bytes of unequal lengths come back as they are under every setting of Arrow at once."""
    session.create_model(
        "echo",
        "INPUT (in_fp32 FLOAT[], in_string STRING[], in_bool BOOLEAN[]) "
        "OUTPUT (out_fp32 FLOAT[], out_string BYTES[], out_bool BOOLEAN[])",
        {"endpoint": triton.url, "model-name": serve("identity_vector")},
    )
    others = {"true": "false", "false": "true", "1.0": "1.5"}
    for name, value in session.sql("select name, value from duckdb_settings() where name like '%arrow%'"):
        session.sql(f"set {name} = '{others[value]}'")
    session.sql(
        "create table given as select i, [i, 5, i * 7][: 1 + i % 3]::float[] as x, "
        "[repeat('é', i % 9)]::varchar[] as t, [i % 3 = 0, true] as b from range(300) t(i)"
    )
    if door == "SQL":
        call = "ML_PREDICT(TABLE given, MODEL echo, DESCRIPTOR(x, t, b))"
        session.build("out", f"select * from {call}", ["echo"])
    else:
        _in_python(session, "from given", "echo", ["x", "t", "b"]).create("out")
    wrong = "out_fp32 <> x or out_string <> [encode(t[1])] or out_bool <> b or out_fp32 is null"
    assert session.sql(f"from out where {wrong}") == []
    assert session.sql("select count(*) from out") == [(300,)]


def test_persistent_cache_outlives_another_time_zone(session: Session, proxy: RecordingProxy, identity: str) -> None:
    """A moment is the same input in every time zone: nothing is sent again."""
    session.create_model(
        "echo",
        "INPUT (in_int64 TIMESTAMPTZ, in_string STRING) OUTPUT (out_int64 TIMESTAMPTZ, out_string STRING)",
        {"endpoint": proxy.url, "model-name": identity, "cache": "persistent"},
    )
    session.sql(
        "create table given as select timestamptz '2026-10-25 00:00:00+00' + to_hours(i) as x from range(50) t(i)"
    )
    select = "select * from ML_PREDICT(TABLE (select *, 'a' as t from given), MODEL echo, DESCRIPTOR(x, t))"
    session.sql("set timezone = 'UTC'")
    session.build("out", select, ["echo"])
    proxy.clear()
    session.sql("set timezone = 'America/New_York'")
    session.build("out", select, ["echo"])
    assert proxy.inferences == []
    assert session.sql("from out where x <> out_int64 or out_int64 is null") == []


def test_default_value_is_not_rounded(session: Session, triton: Triton, identity: str) -> None:
    """A default-value that its OUTPUT column does not have is told by the plan."""
    session.create_model(
        "echo",
        "INPUT (in_int32 INT) OUTPUT (out_int32 INT)",
        {"endpoint": triton.url, "model-name": identity, "on-error": "null", "default-value": "2.5"},
    )
    with pytest.raises(StepError, match=r"default-value '2.5' is no INT \(out_int32\)"):
        session.build("out", "select * from ML_PREDICT(TABLE (select 1 as x), MODEL echo, DESCRIPTOR(x))", ["echo"])
