"""The SQL of the generic tests: what fails, and which number dbt shows, on DuckDB; drift is compared with numpy's."""

from __future__ import annotations

import json
import math
from collections.abc import Generator
from types import SimpleNamespace
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from support.jinja_macros import MacroError, Macros

from dbt_triton.run_log.columns import duckdb_columns
from dbt_triton.run_log.profile import profile

NODE = "model.shop.predictions"
FLOOR = 0.0001
Rows = list[dict[str, Any]]


class Relation:
    """The run log, as dbt names a relation."""

    database, schema, identifier = "memory", "main", "ml_predict_runs"

    def __str__(self) -> str:
        """Return it as SQL."""
        return "memory.main.ml_predict_runs"


class Warehouse:
    """A DuckDB in memory, the macros of the tests on it, and a run log."""

    def __init__(self) -> None:
        self.connection = duckdb.connect()
        self.said: list[str] = []
        self.flags = SimpleNamespace(WHICH="test")
        self.runs: Relation | None = Relation()
        self.macros = Macros(
            *(f"internal/{name}.sql" for name in ("accuracy", "drift", "failed_ratio", "freshness")),
            *("internal/generic_tests.sql", "internal/texts.sql", "internal/evaluation.sql", "unit_tests/scanner.sql"),
            flags=self.flags,
            model=SimpleNamespace(attached_node=NODE),
            graph=SimpleNamespace(nodes={NODE: SimpleNamespace(unique_id=NODE, name="predictions")}, sources={}),
            run_query=lambda sql: SimpleNamespace(rows=self.connection.execute(sql).fetchall()),
            get_columns_in_query=lambda sql: [item[0] for item in self.connection.execute(sql).description or ()],
            fromjson=json.loads,
            log=lambda text, info: self.said.append(text) if info else None,
        )
        self.macros._macros |= {"runs_relation": lambda: self.runs, "runs_place": lambda: self.runs}

    def empty(self) -> None:
        """Begin with another database, which is empty but for the run log."""
        self.connection.close()
        self.connection = duckdb.connect()
        self.connection.execute(f"create table ml_predict_runs ({duckdb_columns()})")
        self.said.clear()
        self.flags.WHICH, self.runs = "test", Relation()

    def failing(self, sql: str) -> Rows:
        """Return the rows that a test finds, by column."""
        answer = self.connection.execute(sql)
        columns = [item[0] for item in answer.description or ()]
        return [dict(zip(columns, row, strict=True)) for row in answer.fetchall()]

    def run(self, invocation: str, hours_ago: float, **columns: Any) -> None:
        """Add a row to the run log."""
        row = {"invocation_id": invocation, "node": NODE, "call": 1, "outcome": "succeeded"} | columns
        names = ", ".join(f'"{name}"' for name in row)
        time = f"epoch_ms((epoch_ms(now()) - {round(hours_ago * 3_600_000)})::bigint)"
        marks = ", ".join("?" for _ in row)
        self.connection.execute(
            f"insert into ml_predict_runs ({names}, started_at, ended_at) select {marks}, {time}, {time}",
            list(row.values()),
        )


@pytest.fixture(scope="module")
def same_macros() -> Warehouse:
    """Return the warehouse of all tests, whose macros are read once."""
    return Warehouse()


@pytest.fixture
def warehouse(same_macros: Warehouse) -> Generator[Warehouse]:
    """Yield it with an empty database."""
    same_macros.empty()
    yield same_macros
    same_macros.connection.close()


def psi(before: dict[Any, float], now: dict[Any, float]) -> float:
    """Compute the index by hand: shares of each bin, none below the floor."""
    all_before, all_now, total = sum(before.values()), sum(now.values()), 0.0
    for key in before.keys() | now.keys():
        expected, found = max(before.get(key, 0) / all_before, FLOOR), max(now.get(key, 0) / all_now, FLOOR)
        total += (found - expected) * math.log(found / expected)
    return total


def drift(warehouse: Warehouse, at_most: float = 0.0, **said: Any) -> Rows:
    """Return the bins of a drift that is more than a number."""
    arguments = {
        "baseline": None,
        "baseline_column": None,
        "output": None,
        "call": None,
        "bins": 10,
        "kind": None,
    } | said
    relation = arguments.pop("relation", "now")
    return warehouse.failing(warehouse.macros.drift_sql(relation, at_most, "p", **arguments))


def table(warehouse: Warehouse, name: str, kind: str, values: list[Any]) -> None:
    """Make a table of one column."""
    rows = pa.table({"p": pa.array(values, pa.null() if not values else None)})
    warehouse.connection.register("rows", rows)
    warehouse.connection.execute(f"create or replace table {name} as select cast(p as {kind}) as p from rows")


def counted(values: list[Any]) -> dict[Any, float]:
    """Count values."""
    return {value: values.count(value) for value in set(values)}


CLASSES = [
    (["a"] * 50 + ["b"] * 50, ["a"] * 70 + ["b"] * 30),
    (["a"] * 50 + ["b"] * 50, ["a"] * 70 + ["c"] * 30),
    (["a", "b", None, "NULL"], ["a", None, None, "it's"]),
    (["a"], ["other values", "a"]),
]


@pytest.mark.parametrize(("before", "now"), CLASSES)
def test_drift_of_classes(warehouse: Warehouse, before: list[Any], now: list[Any]) -> None:
    """Classes are compared by value, with NULL as one of its own, against a relation."""
    table(warehouse, "before", "varchar", before)
    table(warehouse, "now", "varchar", now)
    found = drift(warehouse, baseline="before")
    expected = psi(counted(before), counted(now))
    assert found[0]["psi"] == pytest.approx(expected)
    assert sum(row["contribution"] for row in found) == pytest.approx(expected)
    assert found[0]["dbt_failures"] == int(expected * 1000)
    assert drift(warehouse, expected + 0.001, baseline="before") == []


@pytest.mark.parametrize("values", [[True, False, True], [1, 2, 1]])
def test_drift_of_other_classes(warehouse: Warehouse, values: list[Any]) -> None:
    """Booleans, and integers of few values, are classes; another type on the other side changes nothing."""
    kind = "boolean" if values[0] is True else "integer"
    table(warehouse, "before", kind, values)
    table(warehouse, "now", "varchar", [str(values[1]).lower(), str(values[0]).lower()])
    (first, *_) = drift(warehouse, baseline="before")
    assert first["psi"] == pytest.approx(psi({"a": 2, "b": 1}, {"a": 1, "b": 1}))


@pytest.mark.parametrize("bins", [5, 10, 20])
@pytest.mark.parametrize("shift", [0.2, 3.0])
def test_drift_of_numbers(warehouse: Warehouse, shift: float, bins: int) -> None:
    """Numbers are compared in bins of the baseline's quantiles, as numpy counts them."""
    random = np.random.default_rng(3)
    before, now = random.normal(0, 1, 500), random.normal(shift, 1, 400)
    table(warehouse, "before", "double", before.tolist())
    table(warehouse, "now", "double", now.tolist())
    edges = np.quantile(before, np.arange(1, bins) / bins)
    expected = psi(*(counted(np.searchsorted(edges, values, side="right").tolist()) for values in (before, now)))
    assert drift(warehouse, baseline="before", bins=bins)[0]["psi"] == pytest.approx(expected)


def test_what_is_no_number(warehouse: Warehouse) -> None:
    """NULL, NaN and infinity are the bin of NULL; many values of one number share a bin."""
    table(warehouse, "before", "double", [1.0] * 50 + [2.0] * 50)
    table(warehouse, "now", "double", [1.0] * 40 + [2.0] * 40 + [None, math.nan, math.inf, -math.inf] * 5)
    found = {row["bin"]: row for row in drift(warehouse, baseline="before", bins=4)}
    assert found["NULL"]["current_rows"] == 20
    assert found["NULL"]["psi"] == pytest.approx(psi({1: 50, 2: 50}, {1: 40, 2: 40, None: 20}))


@pytest.mark.parametrize("with_baseline", [True, False])
@pytest.mark.parametrize("before", [[5.0] * 20, [0.0] * 20, [-2 / 3] * 20, [0.0] * 10 + [1.0] * 10])
def test_what_lies_above_a_baseline_of_one_value(
    warehouse: Warehouse, before: list[float], with_baseline: bool
) -> None:
    """A baseline that is constant, or often its highest value, shows what came above it, and itself is no drift."""
    table(warehouse, "before", "double", before)
    profiles = [json.dumps({"p": profile(pa.array(before))})] * 2
    for hours, predicted in enumerate(profiles, 1):
        warehouse.run(str(hours), hours, predicted=predicted)
    said: dict[str, Any] = {"baseline": "before"} if with_baseline else {}
    table(warehouse, "now", "double", before)
    assert drift(warehouse, 1e-6, **said) == []
    for beside in (max(before) + 1, max(before) + 1e-6):
        table(warehouse, "now", "double", before[:10] + [beside] * 10)
        found = {row["bin"]: row for row in drift(warehouse, **said)}
        assert found["bin 11"]["current_rows"] == 10
        now = counted(before[:10] + [beside] * 10)
        assert found["bin 11"]["psi"] == pytest.approx(psi(counted(before), now))


@pytest.mark.parametrize(("rows", "few"), [(40, True), (4000, False)])
def test_too_few_rows_to_judge(warehouse: Warehouse, rows: int, few: bool) -> None:
    """Where chance may be all that has moved, dbt says so; of many rows, or without a drift, it says nothing."""
    table(warehouse, "before", "varchar", ["a", "b"] * (rows // 2))
    table(warehouse, "now", "varchar", (["a"] * 8 + ["b"] * 2) * (rows // 20))
    (row, _) = drift(warehouse, 0.05, baseline="before")
    assert row["by_chance"] == pytest.approx(1 / rows + 2 / rows)
    assert bool(warehouse.said) is few
    if few:
        assert (
            "too few rows to judge, 20 now and 40 before: by chance alone it would be about 0.075" in warehouse.said[0]
        )
    warehouse.said.clear()
    assert drift(warehouse, 1, baseline="before") == []
    assert warehouse.said == []


@pytest.mark.parametrize(("before", "now"), CLASSES[:3])
def test_drift_of_classes_since_the_run_before(warehouse: Warehouse, before: list[Any], now: list[Any]) -> None:
    """Without a baseline it is the profile of the run before the last; classes that it has not are one."""
    table(warehouse, "now", "varchar", now)
    warehouse.run("first", 3, predicted=json.dumps({"P": profile(pa.array(before, pa.string()))}))
    warehouse.run("second", 2, predicted=json.dumps({"P": profile(pa.array(now, pa.string()))}))
    warehouse.run("failed", 1, outcome="failed", predicted=None)
    known = {value for value in before if value is not None}
    expected = psi(counted(before), counted([v if v is None or v in known else "other" for v in now]))
    assert drift(warehouse)[0]["psi"] == pytest.approx(expected)


@pytest.mark.parametrize("values", ["many", "thirds"])
def test_drift_of_numbers_since_the_run_before(warehouse: Warehouse, values: str) -> None:
    """The bins of a profile are those of its quantiles, whether values are many, or a few that are no round numbers."""
    random = np.random.default_rng(5)
    before = random.normal(0, 1, 2000) if values == "many" else random.integers(0, 4, 2000) / 3
    now = before if values == "thirds" else random.normal(0.5, 1, 2000)
    table(warehouse, "now", "double", now.tolist())
    warehouse.run("first", 2, predicted=json.dumps({"p": profile(pa.array(before))}))
    warehouse.run("second", 1, predicted=json.dumps({"p": profile(pa.array(now))}))
    found = drift(warehouse, 1e-6)
    if values == "thirds":
        assert found == []  # nothing has changed
    else:
        edges = np.quantile(before, np.arange(1, 10) / 10, method="nearest")
        expected = psi(*(counted(np.searchsorted(edges, side, side="right").tolist()) for side in (before, now)))
        assert found[0]["psi"] == pytest.approx(expected, rel=1e-3)


def test_run_of_several_batches(warehouse: Warehouse) -> None:
    """A microbatch model has a row for each batch: the largest one of the run before is the baseline."""
    table(warehouse, "now", "varchar", ["a", "b"] * 50)
    for rows, values in ((2, ["c"]), (6, ["a", "b"]), (4, ["d"])):
        warehouse.run("first", 3, rows=rows, predicted=json.dumps({"P": profile(pa.array(values * rows))}))
        warehouse.run("second", 2, rows=rows, predicted=json.dumps({"P": profile(pa.array(values * rows))}))
    assert drift(warehouse, 0.0001) == []


def test_which_run_is_before(warehouse: Warehouse) -> None:
    """A first run has nothing to be compared with: the test passes, and says so."""
    table(warehouse, "now", "varchar", ["a"])
    assert drift(warehouse) == []
    warehouse.run("only", 1, predicted=json.dumps({"p": profile(pa.array(["b"]))}))
    warehouse.run("other node", 2, node="model.shop.other", predicted=json.dumps({"p": profile(pa.array(["b"]))}))
    assert drift(warehouse) == []
    assert (
        warehouse.said == ["max_drift of p in predictions: there is no earlier run to compare with, so it passes"] * 2
    )
    warehouse.run("newer", 0.5, predicted=json.dumps({"p": profile(pa.array(["a"]))}))
    assert drift(warehouse)[0]["baseline_share"] in {1.0, FLOOR}


@pytest.mark.parametrize("of_nothing", [[], [None, None]])
@pytest.mark.parametrize("kind", [pa.float64(), pa.string()])
def test_a_run_that_predicted_no_value_is_passed_over(
    warehouse: Warehouse, of_nothing: list[Any], kind: pa.DataType
) -> None:
    """A night without input, or in which every row failed, neither hides a drift nor makes the test an error."""
    values: tuple[list[Any], list[Any]] = ([1.5], [2.5]) if kind == pa.float64() else (["a"], ["b"])
    before, now = values
    table(warehouse, "now", "double" if kind == pa.float64() else "varchar", now)
    nothing = json.dumps({"p": profile(pa.array(of_nothing, kind))})
    warehouse.run("empty", 2, predicted=nothing)
    warehouse.run("last", 1, predicted=json.dumps({"p": profile(pa.array(now, kind))}))
    assert drift(warehouse) == []
    assert warehouse.said.pop().endswith("there is no earlier run to compare with, so it passes")
    warehouse.run("full", 3, predicted=json.dumps({"p": profile(pa.array(before, kind))}))
    assert drift(warehouse)


@pytest.mark.parametrize(
    "said",
    [
        {"kind": "classes", "nulls": 0, "other": "0 as double) from (select 1/0) --", "counts": {"a": 1}},
        {"kind": "classes", "nulls": 0, "other": 0, "counts": {"a": "1 as double), (select 2"}},
        {"kind": "classes", "nulls": None, "other": 0, "counts": {"a": 1}},
        {"kind": "classes", "nulls": 0, "other": 0, "counts": [1]},
        {"kind": "classes", "nulls": 0, "other": -1, "counts": {"a": math.nan}},
        {"kind": "numbers", "rows": 1, "nulls": 0, "edges": [10**400] * 21, "shares": [0.05] * 20},
        {"kind": "numbers", "rows": 1, "nulls": 0, "edges": [math.inf] * 21, "shares": [0.05] * 20},
        {"kind": "numbers", "rows": 1, "nulls": 0, "edges": [1.0] * 21, "shares": ["x"] * 20},
        {"kind": "numbers", "rows": "9", "nulls": 0, "edges": [1.0] * 3, "shares": [0.05] * 2},
        {"kind": ["x"], "nulls": 0},
        {},
    ],
)
def test_a_profile_that_somebody_else_wrote(warehouse: Warehouse, said: dict[str, Any]) -> None:
    """The run log may be written by more people than those who test: what stands in it becomes no SQL."""
    table(warehouse, "now", "varchar", ["1", "2"])
    for invocation, hours in (("first", 2), ("second", 1)):
        warehouse.run(invocation, hours, predicted=json.dumps({"p": said}))
    with pytest.raises(MacroError, match="is none that dbt_triton has written"):
        drift(warehouse)


@pytest.mark.parametrize("said", [[], {"p": 1}, "x", None])
def test_no_profiles_at_all(warehouse: Warehouse, said: Any) -> None:
    """What is no map of profiles is nothing to compare with."""
    table(warehouse, "now", "varchar", ["1"])
    for invocation, hours in (("first", 2), ("second", 1)):
        warehouse.run(invocation, hours, predicted=json.dumps(said))
    assert not drift(warehouse)


def test_which_output(warehouse: Warehouse) -> None:
    """A table may call its only prediction otherwise; of several, `output` and `call` say which."""
    table(warehouse, "now", "varchar", ["a", "b"])
    one = {"label": profile(pa.array(["a"]))}
    for invocation, hours in (("first", 2), ("second", 1)):
        warehouse.run(invocation, hours, predicted=json.dumps(one))
    assert drift(warehouse)
    assert drift(warehouse, output="LABEL")
    with pytest.raises(MacroError, match=r"score is no OUTPUT column of the last run; .*label of call 1"):
        drift(warehouse, output="score")
    warehouse.run("first", 2, call=2, predicted=json.dumps(one | {"other": profile(pa.array([["x"]]))}))
    with pytest.raises(
        MacroError, match=r"p is no OUTPUT column of the last run; .*label of call 1, label of call 2, other of"
    ):
        drift(warehouse)
    with pytest.raises(MacroError, match="label is predicted by several calls"):
        drift(warehouse, output="label")
    assert drift(warehouse, output="label", call=2)
    with pytest.raises(MacroError, match="OUTPUT other holds arrays, or texts that are nearly all different"):
        drift(warehouse, output="other")


@pytest.mark.parametrize(("before", "now"), [([], ["a"]), (["a"], []), ([], [])])
@pytest.mark.parametrize("kind", ["classes", "numbers"])
def test_drift_of_nothing(warehouse: Warehouse, before: list[Any], now: list[Any], kind: str) -> None:
    """Without a row on either side there is no drift."""
    numbers = {"a": 1.0}
    for name, values in (("before", before), ("now", now)):
        table(warehouse, name, "double", [numbers[value] for value in values])
    assert drift(warehouse, baseline="before", kind=kind) == []


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"at_most": "much"}, "at_most is a number from 0, not much"),
        ({"bins": 7}, "bins is 2, 4, 5, 10 or 20, not 7"),
        ({"kind": "letters", "baseline": "before"}, "kind is 'classes' or 'numbers', not letters"),
        ({"kind": "numbers"}, "kind is for a baseline"),
    ],
)
def test_wrong_arguments_of_drift(warehouse: Warehouse, said: dict[str, Any], words: str) -> None:
    """An argument that means nothing is told, with what it may be."""
    with pytest.raises(MacroError, match=words):
        drift(warehouse, **({"at_most": 0.1} | said))


def ratio(warehouse: Warehouse, at_most: float, column: str | None = None, relation: str = "t") -> Rows:
    """Return what max_failed_ratio finds."""
    return warehouse.failing(warehouse.macros.failed_ratio_sql(relation, at_most, column, "ml_error"))


def test_failed_ratio(warehouse: Warehouse) -> None:
    """Of four rows one was not sent and one has failed: of the column's rows a third, of the table's a quarter."""
    warehouse.connection.execute(
        "create table t as from (values (1, 'a', null), (2, null, 'timed out'), (3, null, null), (4, 'b', null)) "
        "v(id, p, ML_ERROR)"
    )
    (row,) = ratio(warehouse, 0.2, "p")
    assert (row["failed_rows"], row["sent_rows"], row["failed_ratio"], row["dbt_failures"]) == (
        1,
        3,
        pytest.approx(1 / 3),
        1,
    )
    (row,) = ratio(warehouse, 0.2)
    assert (row["sent_rows"], row["failed_ratio"]) == (4, 0.25)
    assert ratio(warehouse, 0.25) == []
    assert ratio(warehouse, 0.3, "ml_error") == []
    assert ratio(warehouse, 0, relation="(select * from t where id <> 2) as dbt_subquery") == []
    assert ratio(warehouse, 0, relation="(select * from t where false) as dbt_subquery") == []


def test_failed_ratio_of_a_run(warehouse: Warehouse) -> None:
    """A table without ml_error is judged by the last run that succeeded, with all of its calls."""
    warehouse.connection.execute("create table t as select 1 as id")
    with pytest.raises(MacroError, match="no column ml_error, and ml_predict_runs has no run of it that succeeded"):
        ratio(warehouse, 0)
    warehouse.run("old", 5, rows=100, failed_rows=100)
    for call, failed in ((1, 10), (2, 0)):
        warehouse.run("new", 4, rows=100, failed_rows=failed, call=call)
    warehouse.run("broken", 3, rows=100, failed_rows=100, outcome="failed")
    (row,) = ratio(warehouse, 0.01)
    assert (row["failed_rows"], row["sent_rows"], row["failed_ratio"], row["dbt_failures"]) == (10, 200, 0.05, 10)
    assert ratio(warehouse, 0.05) == []
    warehouse.runs = None
    with pytest.raises(MacroError, match="so it reads ml_predict_runs, which the variable dbt_triton_runs says is not"):
        ratio(warehouse, 0)


def accuracy(warehouse: Warehouse, at_least: float, at_least_rows: int = 0, relation: str = "t") -> Rows:
    """Return what min_accuracy finds."""
    return warehouse.failing(warehouse.macros.accuracy_sql(relation, "p", "a", at_least, at_least_rows, "ml_error"))


def test_accuracy(warehouse: Warehouse) -> None:
    """A label that is NULL does not count; a prediction that is NULL, or made up for a failed row, is wrong."""
    rows = "('x', 'x', null), ('y', 'x', null), (null, 'x', null), ('x', null, null), ('x', 'x', 'timed out')"
    warehouse.connection.execute(f"create table t as from (values {rows}) v(p, a, ml_error)")
    (row,) = accuracy(warehouse, 0.5)
    assert (row["labelled_rows"], row["right_rows"], row["accuracy"], row["dbt_failures"]) == (4, 1, 0.25, 3)
    assert accuracy(warehouse, 0.25) == []
    empty = "(select * from t where false) as dbt_subquery"
    assert accuracy(warehouse, 1, relation=empty) == []
    assert accuracy(warehouse, 1, 1, relation=empty)[0]["dbt_failures"] == 1
    assert accuracy(warehouse, 0.2, 5)[0]["labelled_rows"] == 4


def freshness(warehouse: Warehouse, count: Any, period: str = "hour", timestamp: str | None = None) -> Rows:
    """Return what prediction_freshness finds."""
    return warehouse.failing(warehouse.macros.freshness_sql("t", count, period, timestamp))


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Auckland"])
def test_freshness_of_runs(warehouse: Warehouse, zone: str) -> None:
    """The age is that of the last run that succeeded, wherever the session's clock is; no run at all is too old."""
    warehouse.connection.execute(f"set timezone = '{zone}'")
    assert freshness(warehouse, 1)[0]["dbt_failures"] == 999_999
    warehouse.connection.execute("alter table ml_predict_runs rename to later")
    assert freshness(warehouse, 1)[0]["dbt_failures"] == 999_999
    warehouse.connection.execute("alter table later rename to ml_predict_runs")
    warehouse.run("old", 50)
    warehouse.run("newest", 3.5)
    warehouse.run("failed", 1, outcome="failed")
    assert freshness(warehouse, 4) == []
    (row,) = freshness(warehouse, 3)
    assert row["dbt_failures"] == 3
    assert row["age_seconds"] == pytest.approx(3.5 * 3600, abs=60)
    assert freshness(warehouse, 180, "minute")[0]["dbt_failures"] == 210
    assert freshness(warehouse, 1, "day") == []
    assert freshness(warehouse, 0.1, "day")[0]["dbt_failures"] == 1
    warehouse.runs = None
    with pytest.raises(MacroError, match="it was given no timestamp column, so it reads ml_predict_runs"):
        freshness(warehouse, 1)


@pytest.mark.parametrize("kind", ["timestamptz", "timestamp"])
def test_freshness_of_a_column(warehouse: Warehouse, kind: str) -> None:
    """The age may be that of a column's newest time; an empty table is too old."""
    warehouse.connection.execute("set timezone = 'Pacific/Auckland'")
    utc = "epoch_ms(epoch_ms(now()) - 5400000)" if kind == "timestamp" else "now() - interval 90 minute"
    warehouse.connection.execute(f'create table t as select {utc} as "when" union all select null')
    assert freshness(warehouse, 2, timestamp="when") == []
    assert freshness(warehouse, 1, timestamp="when")[0]["dbt_failures"] == 1
    warehouse.connection.execute("delete from t")
    assert freshness(warehouse, 1, timestamp="when")[0]["age_seconds"] is None


#: How a column says that it was 90 minutes ago, on whatever clock; and of which type that is.
TIMES = {
    "timestamptz": "now() - interval 90 minute",
    "timestamp": "make_timestamp(epoch_us(now()) - 5400000000)",
    "timestamp_ns": "make_timestamp(epoch_us(now()) - 5400000000)::timestamp_ns",
    "timestamp_s": "make_timestamp(epoch_us(now()) - 5400000000)::timestamp_s",
    "text": "make_timestamp(epoch_us(now()) - 5400000000)::varchar",
    "text with T": "strftime(make_timestamp(epoch_us(now()) - 5400000000), '%Y-%m-%dT%H:%M:%S')",
    "text in UTC": "strftime(make_timestamp(epoch_us(now()) - 5400000000), '%Y-%m-%dT%H:%M:%SZ')",
    "text with a zone": "strftime(make_timestamp(epoch_us(now()) + 1800000000), '%Y-%m-%d %H:%M:%S+02')",
}


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Auckland", "America/Los_Angeles"])
@pytest.mark.parametrize("kind", TIMES)
def test_freshness_of_every_type(warehouse: Warehouse, kind: str, zone: str) -> None:
    """A time is read whatever its type is, also as a text, and is UTC where it has no time zone."""
    warehouse.connection.execute(f"set timezone = '{zone}'")
    warehouse.connection.execute(f'create table t as select {TIMES[kind]} as "when" union all select null')
    assert freshness(warehouse, 2, timestamp="when") == []
    (row,) = freshness(warehouse, 1, timestamp="when")
    assert row["dbt_failures"] == 1
    assert row["age_seconds"] == pytest.approx(5400, abs=60)


def test_freshness_of_dates(warehouse: Warehouse) -> None:
    """A date is its midnight in UTC; that of tomorrow is one of a place where the day has begun."""
    warehouse.connection.execute("create table t as select cast(epoch_ms(epoch_ms(now())) as date) as d")
    assert freshness(warehouse, 24, timestamp="d") == []
    warehouse.connection.execute("update t set d = d + 1")
    assert freshness(warehouse, 1, timestamp="d") == []
    warehouse.connection.execute("update t set d = d - 3")
    assert freshness(warehouse, 1, "day", timestamp="d")[0]["dbt_failures"] == 2


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("now() + interval 3 hour", "column d has its newest time 180 minutes in the future"),
        ("cast(now() + interval 50 hour as date)", "minutes in the future"),
        ("'yesterday'", "column d is a text, and no time in 1 row"),
        ("'20261101'", "column d is a text, and no time in 1 row"),
        ("7", "column d is INTEGER, which is no time"),
        ("time '10:00'", "column d is TIME, which is no time"),
    ],
)
def test_freshness_of_what_is_no_time(warehouse: Warehouse, value: str, words: str) -> None:
    """What is no time, or still to come, is an error that says so: its age would say nothing."""
    warehouse.connection.execute(f"create table t as select {value} as d union all select null")
    with pytest.raises(MacroError, match=words):
        freshness(warehouse, 1, timestamp="d")
    warehouse.flags.WHICH = "compile"
    assert "select" in str(warehouse.macros.freshness_sql("none", 1, "hour", "d"))


@pytest.mark.parametrize(("count", "period"), [("many", "hour"), (True, "hour"), (1, "week")])
def test_wrong_arguments_of_freshness(warehouse: Warehouse, count: Any, period: str) -> None:
    """Count and period are as dbt has them for sources."""
    with pytest.raises(MacroError, match="write a number as count, and 'minute', 'hour' or 'day' as period"):
        freshness(warehouse, count, period)


@pytest.mark.parametrize(
    ("value", "wrong"), [(0.5, False), (0, False), (1, False), (1.5, True), ("x", True), (True, True)]
)
def test_ratios(warehouse: Warehouse, value: Any, wrong: bool) -> None:
    """A ratio is from 0 to 1; a percentage is an error."""
    if not wrong:
        warehouse.macros.check_test_ratio("min_accuracy", "at_least", value)
        return
    with pytest.raises(MacroError, match="min_accuracy: at_least is a ratio from 0 to 1"):
        warehouse.macros.check_test_ratio("min_accuracy", "at_least", value)


def test_where_nothing_may_be_asked(warehouse: Warehouse) -> None:
    """`dbt compile` and `dbt docs generate` render every test, though no table is there."""
    warehouse.flags.WHICH = "compile"
    for sql in (
        warehouse.macros.drift_sql("none", 0.1, "p", None, None, None, None, 10, None),
        warehouse.macros.failed_ratio_sql("none", 0.1, "p", "ml_error"),
        warehouse.macros.accuracy_sql("none", "p", "a", 1, 0, "ml_error"),
        warehouse.macros.freshness_sql("none", 1, "hour", None),
    ):
        assert sql.strip().startswith("select")


def test_the_column_of_a_test(warehouse: Warehouse) -> None:
    """A test stands at the column of predictions, quoted or not, or names it."""
    assert warehouse.macros.tested_column("min_accuracy", None, "p") == "p"
    assert warehouse.macros.tested_column("min_accuracy", None, '"it""s"') == 'it"s'
    assert warehouse.macros.tested_column("min_accuracy", "named", None) == "named"
    with pytest.raises(MacroError, match="min_accuracy needs the column of predictions"):
        warehouse.macros.tested_column("min_accuracy", None, None)
