"""Whose prediction is whose: no author of inputs, no other table and no other server gives a row somebody else's."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import pytest
from support.dbt import DbtProject
from support.proxy import RecordingProxy
from support.session import StepError, Steps
from support.triton import Triton
from support.warehouses import duckdb_only

#: Two texts with one MD5; a public pair.
ONE, OTHER = (
    f"TEXTCOLLBYfGiJUETHQ4h{letter}cKSMd5zYpgqf1YRDhkmxHkhPWptrkoyz28wnI9V0aHeAuaKnak" for letter in ("A", "E")
)
_UPPER = "INPUT (name STRING) OUTPUT (label STRING)"
_STORE = "predicted__ml_predictions"
_ONE_HASH = "the key of a row is one hash on Spark, whatever the type and the cache"
_NO_SALT = "a key on Spark is a hash of 128 bits that nobody can make collide, without a salt"
_ONE_FINGERPRINT = "what is another prediction is decided without a warehouse; two cases say that Spark asks"
_LIKE_A_STORE = (
    "select 1::uhugeint as ml_key, '' as ml_fingerprint, 1::ubigint as ml_salt, '' as label, '' as ml_error, "
    "'' as ml_reason, 1 as ml_http_status, 1 as ml_attempts"
)


def _call(table: str, *columns: str) -> str:
    return f"select * from ML_PREDICT(TABLE {table}, MODEL m, DESCRIPTOR({', '.join(columns)}))"


@pytest.fixture
def options(triton: Triton, serve: Callable[[str], str]) -> dict[str, str]:
    """A model that upper-cases a text, and keeps its predictions."""
    return {"endpoint": triton.url, "model-name": serve("upper"), "cache": "persistent"}


def test_the_pair_collides() -> None:
    """The two texts of these tests have one MD5."""
    assert ONE != OTHER
    assert hashlib.md5(ONE.encode()).digest() == hashlib.md5(OTHER.encode()).digest()  # noqa: S324 - what is shown


@pytest.mark.parametrize("kind", ["varchar", *duckdb_only(_ONE_HASH, "blob")])
@pytest.mark.parametrize("cache", [*duckdb_only(_ONE_HASH, "run"), "persistent"])
def test_colliding_inputs(session: Steps, options: dict[str, str], cache: str, kind: str) -> None:
    """Three inputs, of which two have one MD5, are three rows, each with its own prediction; also in a later build."""
    declared = _UPPER.replace("name STRING", "name BYTES") if kind == "blob" else _UPPER
    session.create_model("m", declared, options | {"cache": cache})
    session.sql(f"create table texts as select name::{kind} as name from (values ('{ONE}'), ('fine')) v(name)")
    assert len(session.build("predicted", _call("texts", "name"), ["m"])) == 2
    session.sql(f"insert into texts values ('{OTHER}'::{kind})")
    rows = session.build("predicted", _call("texts", "name"), ["m"])
    texts = [(name if isinstance(name, str) else bytes(name).decode(), label) for name, label in rows]
    assert sorted(texts) == sorted((text, text.upper()) for text in (ONE, OTHER, "fine"))


@pytest.mark.duckdb_only(_NO_SALT)
def test_the_salt_is_a_secret_of_each_store(session: Steps, options: dict[str, str]) -> None:
    """Two stores have different keys for one input, and the SQL that dbt logs does not hold the salt."""
    session.create_model("m", _UPPER, options)
    session.sql("create table texts as select 'a' as name")
    names = ("predicted", "again")
    for name in names:
        session.build(name, _call("texts", "name"), ["m"])
        assert str(session.sql(f"select ml_salt from {name}__ml_predictions")[0][0]) not in session.build_sql
    one, other = (session.sql(f"select ml_salt, ml_key from {name}__ml_predictions")[0] for name in names)
    assert one[0] != other[0]
    assert one[1] != other[1]


@pytest.mark.parametrize("label", [*duckdb_only("two equal predictions are one there", "label"), "'another'"])
def test_a_key_that_is_not_unique(session: Steps, options: dict[str, str], label: str) -> None:
    """Two predictions for one input, which somebody else wrote, fail the build rather than make two rows of one."""
    session.create_model("m", _UPPER, options)
    session.sql("create table texts as select 'a' as name")
    session.build("predicted", _call("texts", "name"), ["m"])
    doubled = ", ".join(label if name == "label" else name for name in session.columns(_STORE))
    session.sql(f"insert into {_STORE} select {doubled} from {_STORE}")
    session.sql("insert into texts values ('b')")
    with pytest.raises(StepError, match=r"more than one prediction for an input.*clear_predictions"):
        session.build("predicted", _call("texts", "name"), ["m"])


@pytest.mark.parametrize(
    "table",
    [
        "create table {store} as select 1 as id, 'mine' as text",
        "create view {store} as select 1 as id",
        *duckdb_only(
            "these have columns of DuckDB's stores",
            "create table {store} as select 1 as ml_key, 'mine' as ml_fingerprint",
            f"create table {{store}} as {_LIKE_A_STORE}, 'mine' as mine",
            f"create view {{store}} as {_LIKE_A_STORE}",
        ),
    ],
)
@pytest.mark.parametrize("cache", ["run", *duckdb_only("one check for all of them", "persistent", "off")])
def test_a_table_of_somebody_else_is_left_alone(
    session: Steps, options: dict[str, str], table: str, cache: str
) -> None:
    """Whatever else stands under the store's name is refused before a row is sent, and is still there."""
    session.create_model("m", _UPPER, options | {"cache": cache})
    session.sql("create table texts as select 'a' as name")
    session.sql(table.format(store=_STORE))
    before = session.sql(f"select * from {_STORE}")
    with pytest.raises(StepError, match=f"{_STORE}.*is no prediction store.*Rename it, or give"):
        session.build("predicted", _call("texts", "name"), ["m"])
    assert session.sql(f"select * from {_STORE}") == before


def test_a_broken_view_of_somebody_else_is_told(session: Steps, options: dict[str, str]) -> None:
    """A view that cannot be read is refused in the same words, not in those of the warehouse."""
    session.create_model("m", _UPPER, options)
    session.sql("create table texts as select 'a' as name")
    for statement in (
        "create table gone as select 1 as x",
        f"create view {_STORE} as from gone",
        "drop table gone",
    ):
        session.sql(statement)
    why = r"it is a view that cannot be read\." if session.warehouse == "duckdb" else r"it is a view\."
    with pytest.raises(StepError, match=f"is no prediction store: {why} Rename it"):
        session.build("predicted", _call("texts", "name"), ["m"])


@pytest.mark.duckdb_only(_NO_SALT)
def test_a_salt_that_is_gone(session: Steps, options: dict[str, str]) -> None:
    """Rows whose salt somebody has taken away are nobody's predictions any more."""
    session.create_model("m", _UPPER, options)
    session.sql("create table texts as select 'a' as name")
    session.build("predicted", _call("texts", "name"), ["m"])
    session.sql(f"update {_STORE} set ml_salt = null")
    assert session.build("predicted", _call("texts", "name"), ["m"]) == [("a", "A")]
    assert session.figures["requests"] == 1


def test_a_table_of_somebody_else_is_not_cleared(project: DbtProject) -> None:
    """clear_predictions drops stores, and no other table that has such a name."""
    project.model("predicted__ml_predictions_2", "{{ config(materialized='table') }} select 1 as id")
    project.model("reviews", "select 'a' as review")
    project.model(
        "m",
        "{{ config(materialized='inference_model') }} CREATE MODEL m INPUT (a STRING) OUTPUT (b STRING) "
        "WITH ('provider' = 'stub')",
    )
    project.model(
        "predicted",
        "{{ config(materialized='ml_predict') }} select * from "
        "ML_PREDICT(TABLE {{ ref('reviews') }}, MODEL {{ ref('m') }}, DESCRIPTOR(review))",
    )
    project.build()
    done = project.dbt("run-operation", "clear_predictions")
    assert done.code == 0, done.printed
    assert "there are no stored predictions" in done.output
    assert project.query("from predicted__ml_predictions_2") == [(1,)]
    assert project.dbt("run-operation", "predictions_status").code == 0


@pytest.mark.parametrize(
    ("changed", "sent"),
    [
        ({}, 0),
        ({"endpoint": "moved"}, 2),
        *duckdb_only(
            _ONE_FINGERPRINT,
            ({"custom-headers": '{"X-Tenant": "${TENANT_B}"}'}, 2),
            ({"cache-version": "2"}, 2),
            ({"cache-scope": "model"}, 2),
            ({"timeout": "10s"}, 0),
        ),
    ],
    ids=str,
)
def test_what_is_another_prediction(  # noqa: PLR0913, PLR0917 - a case and its parts
    session: Steps,
    options: dict[str, str],
    proxy: RecordingProxy,
    monkeypatch: pytest.MonkeyPatch,
    changed: dict[str, str],
    sent: int,
) -> None:
    """Another server, cache-version, or header as it is written is another prediction; another timeout is not."""
    monkeypatch.setenv("TENANT_A", "a")
    monkeypatch.setenv("TENANT_B", "a")
    options |= {"custom-headers": '{"X-Tenant": "${TENANT_A}"}'}
    changed = {key: proxy.url if value == "moved" else value for key, value in changed.items()}
    session.create_model("m", _UPPER, options)
    session.sql("create table texts as select unnest(['a', 'b']) as name")
    session.build("predicted", _call("texts", "name"), ["m"])
    assert session.figures["rows_predicted"] == 2
    session.create_model("m", _UPPER, options | changed)
    session.build("predicted", _call("texts", "name"), ["m"])
    assert session.figures["rows_predicted"] == sent


@pytest.mark.duckdb_only(_ONE_FINGERPRINT)
def test_moving_the_server_costs_nothing_for_a_model_scope(
    session: Steps, options: dict[str, str], proxy: RecordingProxy
) -> None:
    """With cache-scope model, a build against a moved server sends nothing."""
    options |= {"cache-scope": "model"}
    session.sql("create table texts as select unnest(['a', 'b']) as name")
    for endpoint, sent in ((options["endpoint"], 2), (proxy.url, 0)):
        session.create_model("m", _UPPER, options | {"endpoint": endpoint})
        session.build("predicted", _call("texts", "name"), ["m"])
        assert session.figures["rows_predicted"] == sent


@pytest.mark.parametrize(
    "also",
    ["create schema other; create table other.texts (name varchar)", "create temp view texts as select 'x' as name"],
)
def test_a_view_is_read_once(session: Steps, options: dict[str, str], also: str) -> None:
    """A view whose rows differ each time is read once, also where a table elsewhere has its name."""
    session.create_model("m", _UPPER, options)
    session.sql("create view texts as select 'text ' || (random() * 1e9)::bigint as name from range(50)")
    for statement in also.split(";"):
        session.sql(statement)
    rows = session.build("predicted", _call("texts", "name"), ["m"])
    assert rows
    assert all(label == name.upper() for name, label in rows)
