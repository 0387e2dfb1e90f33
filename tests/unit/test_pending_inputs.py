import math
import struct
from typing import Any

import duckdb
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from dbt_triton.ddl import parse_create_model
from dbt_triton.engine import FailedRows
from dbt_triton.errors import InferenceError, Reason
from dbt_triton.inference_model import InferenceModel
from dbt_triton.warehouses.duckdb.keys import Part, key_expression, parts, salt_of_session
from dbt_triton.warehouses.duckdb.session import DuckDBSession
from dbt_triton.warehouses.duckdb.store import PredictionStore

TEXTS = st.one_of(
    st.sampled_from(["", "a", "A", "ä", "Ä", "a ", "ß", "ss", "1:a", "a1:", "null", "🙂", "\x00"]),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=6),
)
DOUBLES = st.one_of(st.sampled_from([0.0, -0.0, math.nan, math.inf, -math.inf, 1e300, 5e-324]), st.floats())
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "VARCHAR": TEXTS,
    "VARCHAR COLLATE NOCASE": TEXTS,
    "DOUBLE": DOUBLES,
    "BIGINT": st.integers(-3, 3) | st.integers(-(2**63), 2**63 - 1),
    "BOOLEAN": st.booleans(),
    "BLOB": st.sampled_from([b"", b"a", b"\x00", b"\\x00", b"\xff", b"A"]) | st.binary(max_size=4),
}
INPUT_TYPES = {"VARCHAR COLLATE NOCASE": "VARCHAR"}


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[str], list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    """Draw the types of the columns, rows with NULLs and duplicates, and rows that the store has already."""
    kinds = draw(st.lists(st.sampled_from(sorted(VALUES)), min_size=1, max_size=3))
    row = st.tuples(*(st.none() | VALUES[kind] for kind in kinds))
    rows = draw(st.lists(row, max_size=25))
    again = draw(st.lists(st.sampled_from(rows), max_size=15)) if rows else []
    known = draw(st.lists(st.sampled_from(rows), max_size=8)) if rows else []
    return kinds, rows + again, known


def identity(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return what tells two inputs apart: bytes of texts, the sign of zero; every NaN is one."""
    return tuple(
        (struct.pack("<d", value) if not math.isnan(value) else "nan") if isinstance(value, float) else value
        for value in row
    )


class Setting:
    """A table, its store, and how they are read."""

    def __init__(self, kinds: list[str], rows: list[tuple[Any, ...]]) -> None:
        self.connection = duckdb.connect()
        columns = ", ".join(f"column_{number} {kind}" for number, kind in enumerate(kinds))
        self.connection.execute(f"create table inputs ({columns})")
        if rows:
            self.connection.executemany(f"insert into inputs values ({', '.join('?' * len(kinds))})", rows)
        inputs = ", ".join(f"i{number} {INPUT_TYPES.get(kind, kind)}" for number, kind in enumerate(kinds))
        options = "'provider' = 'triton', 'endpoint' = 'http://localhost', 'model-name' = 'm'"
        statement = f"create model m input ({inputs}) output (o VARCHAR) with ({options})"
        model = InferenceModel.from_definition(parse_create_model(statement))
        self.warehouse = DuckDBSession(self.connection)
        self.store = PredictionStore('"inputs__ml_predictions"', model, "fingerprint")
        self.values = [f"cast(column_{number} as {column.type.name})" for number, column in enumerate(model.inputs)]
        self.salt = salt_of_session("salt")
        texts = [value if " as VARCHAR)" in value else f"cast({value} as varchar)" for value in self.values]
        self.key = key_expression(texts, self.salt)
        self.store.unlock(self.warehouse, "salt")

    def pending(self, *, anything_known: bool, count: int = 1) -> pa.Table:
        """Return what is still to be sent, read in so many parts: the halves of the keys, and the values."""
        found = []
        for part in (Part(number, count) for number in range(count)):
            query = self.store.pending_query(
                "inputs", self.values, self.key, salt=self.salt, anything_known=anything_known, part=part
            )
            found.append(self.connection.sql(query).to_arrow_table())
        return pa.concat_tables(found)


def rows_of(table: pa.Table, kinds: list[str]) -> list[tuple[Any, ...]]:
    """Return the values; texts may travel as bytes."""
    rows = zip(*(column.to_pylist() for column in table.columns[2:]), strict=True)
    return [
        tuple(
            value.decode() if isinstance(value, bytes) and kind.startswith("VARCHAR") else value
            for value, kind in zip(row, kinds, strict=True)
        )
        for row in rows
    ]


def keys_of(table: pa.Table) -> list[tuple[int, int]]:
    """Return the halves of the keys, in order."""
    return sorted(zip(table.column(0).to_pylist(), table.column(1).to_pylist(), strict=True))


def fill(setting: Setting, known: list[tuple[Any, ...]], kinds: list[str]) -> set[tuple[Any, ...]]:
    """Put some inputs into the store, every third as a failed one. Returns them."""
    wanted = {identity(row) for row in known if None not in row}
    everything = setting.pending(anything_known=False)
    places = [place for place, row in enumerate(rows_of(everything, kinds)) if identity(row) in wanted]
    keys = [everything.column(0).combine_chunks(), everything.column(1).combine_chunks()]
    failed, fine = places[::3], [place for place in places if place not in places[::3]]
    error = InferenceError("bad", reason=Reason.REFUSED, status=400)
    with setting.warehouse.writer() as writer:
        setting.store.prepare(setting.warehouse, writer, retry_errors=False)
        if fine:
            taken = [key.take(pa.array(fine)) for key in keys]
            setting.store.append(writer, taken, [pa.array([f"p{place}" for place in fine])])
        if failed:
            setting.store.append_failures(writer, [FailedRows([k.take(pa.array(failed)) for k in keys], error)])
        counted = setting.store.prepare(setting.warehouse, writer, retry_errors=False)
        assert counted == len(places)
    return wanted


@settings(max_examples=50)
@given(tables())
def test_pending_inputs(drawn: tuple[list[str], list[tuple[Any, ...]], list[tuple[Any, ...]]]) -> None:
    """What is sent are the distinct inputs without NULL that the store lacks, each once; then each row finds one."""
    kinds, rows, known = drawn
    setting = Setting(kinds, rows)
    try:
        wanted = fill(setting, known, kinds)
        table = setting.pending(anything_known=True)
        sent = [identity(row) for row in rows_of(table, kinds)]
        distinct = {identity(row) for row in rows if None not in row}
        assert sorted(sent, key=repr) == sorted(distinct - wanted, key=repr)
        if not known:
            assert keys_of(setting.pending(anything_known=False)) == keys_of(table)
        # However many parts the inputs are read in, an input is in one of them.
        for anything_known in (True, False) if not known else (True,):
            assert keys_of(setting.pending(anything_known=anything_known, count=3)) == keys_of(table)
        with setting.warehouse.writer() as writer:
            keys = [table.column(0).combine_chunks(), table.column(1).combine_chunks()]
            setting.store.append(writer, keys, [pa.array([f"n{n}" for n in range(len(table))], pa.string())])
        found = setting.connection.execute(
            f"select count(*), count({setting.key}), count(store.ml_key), count(distinct store.ml_key) from inputs "
            f"left join {setting.store.current} as store on store.ml_key = {setting.key}"
        ).fetchall()
        filled = sum(None not in row for row in rows)
        assert found == [(len(rows), filled, filled, len(distinct))]
        assert setting.pending(anything_known=True).num_rows == 0
    finally:
        setting.connection.close()


def test_other_fingerprint_is_not_known() -> None:
    """Predictions of another model, or of another version of it, save no request."""
    setting = Setting(["VARCHAR"], [("a",), ("b",)])
    fill(setting, [("a",), ("b",)], ["VARCHAR"])
    assert setting.pending(anything_known=True).num_rows == 0
    setting.store.fingerprint = "other"
    assert setting.pending(anything_known=True).num_rows == 2
    setting.connection.close()


def test_columns_are_not_confused() -> None:
    """Values that would run into each other when they are joined have keys of their own."""
    rows = [("a", "b"), ("ab", ""), ("", "ab"), ("a1:b", ""), ("a", "1:b"), ("1:a", "b"), ("a", "1:b")]
    setting = Setting(["VARCHAR", "VARCHAR"], rows)
    assert setting.pending(anything_known=False).num_rows == 6
    setting.connection.close()


@given(st.integers(0, 10**10), st.integers(0, 10**13), st.sampled_from([0, 2**27, 400 * 2**20, 2**30, 2**34]))
def test_parts(rows: int, size: int, memory: int) -> None:
    """Inputs are cut into parts of about equal size that together are everything: one for few, never very many."""
    found, most = parts(rows, size, memory), max(2**27, min(2**28, memory // 2), memory // 16)
    assert [part.number for part in found] == list(range(len(found)))
    assert {part.count for part in found} == {len(found)}
    assert 1 <= len(found) <= 32
    assert len(found) == 1 or size + 64 * rows > most
    assert len(found) == 32 or (size + 64 * rows) / len(found) <= most
