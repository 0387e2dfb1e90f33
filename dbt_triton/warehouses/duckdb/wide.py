"""Inputs of kilobytes and megabytes a row: read once, known by their bytes, and never more of them than needed.

Their keys are made while they are read to be sent, and put into a temporary table beside DuckDB's rowid, by which
everything else finds them: the values are not read again. BLOBs are read in slices of rows, since DuckDB otherwise puts
2,048 of them into memory at once. It does so with lists, and with compressed BLOBs, whatever is asked for (1.4 to 2.0,
measured), so a slice of them would cost as much as all 2,048; they are read in one go.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from dbt_triton.engine.source import rows_at_once
from dbt_triton.inference_model import Binding
from dbt_triton.tensors.elements import Mask
from dbt_triton.tensors.row_keys import KEY_BYTES, row_keys
from dbt_triton.warehouses import WarehouseError
from dbt_triton.warehouses.columns import KEY
from dbt_triton.warehouses.duckdb.dialect import quote, text_literal
from dbt_triton.warehouses.duckdb.keys import key_of_halves
from dbt_triton.warehouses.duckdb.rewrite import Source
from dbt_triton.warehouses.duckdb.session import DuckDBSession
from dbt_triton.warehouses.planned_call import PlannedCall, unused_name

_ROW = "dbt_triton_row"
_VIEW = "dbt_triton_read_keys"
#: The first slice, of rows of unknown size, and by how much the next one may be larger.
_FIRST_SLICE, _GROWTH = 16, 4
#: Rows read at once where their size is not known before.
_ROWS = 256
#: A slice has about so many bytes.
_SLICE_BYTES = 32 * 2**20
_MOST_ROWS = 16_384
#: DuckDB works on so many rows at once; where these are too much, on this part of its memory.
_VECTOR_ROWS, _MEMORY_SHARE = 2_048, 16


@dataclass
class Counts:
    """Of what was read: rows, those with a NULL, and distinct inputs that have a prediction, and that have none yet."""

    rows: int = 0
    nulls: int = 0
    known: int = 0
    new: int = 0


def copy_statements(
    query: str, table: str, planned: PlannedCall, warehouse: DuckDBSession, *, may_peek: bool
) -> list[str]:
    """Return the statements that put the rows of a query into a temporary table.

    DuckDB reads 2,048 rows of lists at once. Where so many do not fit into its memory, each row is followed by empty
    ones, which are deleted at once: they keep their places, so that fewer rows of the query are in each 2,048. This
    takes longer, and its own memory is that of what the query gives at once (a row group of a Parquet file).

    Args:
        query: the rows.
        table: the quoted name of the table.
        planned: the call.
        warehouse: the session.
        may_peek: whether the first row takes much less time than all of them.
    """
    create = f"create or replace temp table {table} as"
    width = _list_bytes(query, planned, warehouse, may_peek=may_peek)
    limit = warehouse.memory_limit() if width else 0
    if width * _VECTOR_ROWS <= limit:
        return [f"{create} {query}"]
    places = min(_VECTOR_ROWS * width * _MEMORY_SHARE // limit, _VECTOR_ROWS)
    number = quote(unused_name("ml_place", planned.columns))
    selected = ", ".join(
        f"case when {number} = 0 then {quote(name)} end as {quote(name)}" if kind.endswith("]") else quote(name)
        for name, kind in warehouse.describe(query)
    )
    return [
        f"{create} select {selected}, {number} from ({query}) as input_rows, range({places}) as places({number})",
        f"delete from {table} where {number} > 0",
        f"alter table {table} drop column {number}",
    ]


def _list_bytes(query: str, planned: PlannedCall, warehouse: DuckDBSession, *, may_peek: bool) -> int:
    """Return how many bytes the lists of a row are; where no length is declared, those of the first row."""
    inputs = [
        (column, value)
        for column, value, is_wide in zip(planned.model.inputs, planned.values, planned.wide, strict=True)
        if is_wide and column.type.dims
    ]
    known = [column.type.row_bytes for column, _ in inputs]
    if None not in known:
        return sum(size or 0 for size in known)
    if not inputs or not may_peek:
        return 0
    sizes = " + ".join(
        f"coalesce(len({'flatten(' * (len(column.type.dims) - 1)}{value}{')' * (len(column.type.dims) - 1)}), 0) "
        f"* {column.type.element_bytes}"
        for column, value in inputs
    )
    found = warehouse.rows(f"select {sizes} as size from ({query}) limit 1")
    return int(found[0]["size"]) if found else 0


class WideInput:
    """The input of one call, read while it is sent.

    Args:
        planned: the call.
        table: the quoted name of a table that stays as it is while it is read.
        keys_table: the quoted name of the temporary table for the keys.
        warehouse: the session.
    """

    def __init__(self, planned: PlannedCall, table: str, keys_table: str, warehouse: DuckDBSession) -> None:
        self.counts = Counts()
        self._planned = planned
        self._table = table
        self._keys_table = keys_table
        self._warehouse = warehouse
        self._keys = _ReadKeys()

    def batches(self, known: str | None, salt: str, binding: Binding) -> Generator[pa.RecordBatch, None, None]:
        """Yield the distinct inputs that have no prediction yet: the halves of their keys, then the values of INPUT.

        Args:
            known: a query for the halves of keys that have one; None where none has.
            salt: of the keys.
            binding: what the model serves.
        """
        stored: set[bytes] = self._known(known) if known else set()
        seen, found = set(stored), set[bytes]()
        values = len(self._planned.sent_values)
        for batch in self._read(binding.batch_size, _width(binding)):
            rows, columns = batch.column(0), batch.columns[1:]
            keys = row_keys(_hashed(columns, self._planned), salt.encode(), self._planned.optional)
            self._keys.add(rows, keys)
            self.counts.rows += len(keys)
            new: list[int] = []
            for place, key in enumerate(keys):
                if key is None:
                    self.counts.nulls += 1
                elif key not in seen:
                    seen.add(key)
                    new.append(place)
                elif key in stored:
                    found.add(key)
            self.counts.known = len(found)
            self.counts.new += len(new)
            if not new:
                continue
            halves = _halves([keys[place] or b"" for place in new])
            chosen = (
                columns[:values] if len(new) == len(keys) else [one.take(pa.array(new)) for one in columns[:values]]
            )
            names = ["high", "low", *(f"value_{position}" for position in range(values))]
            yield pa.RecordBatch.from_arrays([*halves, *chosen], names=names)

    @property
    def filled(self) -> int:
        """How many of the rows that were read have no NULL."""
        return self.counts.rows - self.counts.nulls

    @property
    def source(self) -> Source:
        """Where the input is read once its keys are in their table."""
        names = [quote(unused_name(name, self._planned.columns)) for name in ("wide_key", "rowid", "is_lost")]
        key, place, lost = names
        relation = (
            f"(select input_table.*, input_table.rowid as {place}, row_keys.{KEY} as {key}, "
            f"row_keys.{_ROW} is null as {lost} from {self._table} as input_table left join {self._keys_table} "
            f"as row_keys on row_keys.{_ROW} = input_table.rowid)"
        )
        return Source(relation, key, hidden=(key, place, lost), lost=lost, keep_keys=self.keep_keys)

    def keep_keys(self) -> None:
        """Put the keys of what was read into their table; the session must be free."""
        sql = (
            f"create or replace temp table {self._keys_table} as select {_ROW}, "
            f"{key_of_halves('high', 'low')} as {KEY} from {_VIEW}"
        )
        self._warehouse.load(sql, _VIEW, self._keys.table())

    def _known(self, query: str) -> set[bytes]:
        with closing(self._warehouse.read(query)) as batches:
            return {key for batch in batches for key in _digests(batch.column(0), batch.column(1))}

    def _read(self, batch_size: int, width: int) -> Iterator[pa.RecordBatch]:
        query = f"select {', '.join(_selected(self._planned))} from {self._table}"
        if not self._can_be_sliced:
            rows = rows_at_once(width, batch_size) if width else _ROWS
            with closing(self._warehouse.read(query, rows=rows)) as batches:
                yield from batches
            return
        last = self._warehouse.rows(f"select max(rowid) as last from {self._table}")[0]["last"]
        start, count = 0, _FIRST_SLICE
        while last is not None and start <= last:
            within = f"{query} where rowid between {start} and {start + count - 1}"
            with closing(self._warehouse.read(within, rows=min(count, _MOST_ROWS))) as batches:
                read = size = 0
                for batch in batches:
                    read, size = read + batch.num_rows, size + batch.nbytes
                    yield batch
            start += count
            count = _next_slice(count, read, size, batch_size)

    @property
    def _can_be_sliced(self) -> bool:
        """Tell whether DuckDB reads only the rows of a slice: not of lists, nor of BLOBs that it has compressed."""
        inputs = zip(self._planned.model.inputs, self._planned.wide, strict=True)
        if any(column.type.dims for column, is_wide in inputs if is_wide):
            return False
        found = f"select 1 from pragma_storage_info({text_literal(self._table)}) where compression = 'ZSTD' limit 1"
        try:
            return not self._warehouse.rows(found)
        except WarehouseError:
            return True


@dataclass
class _ReadKeys:
    """The rows that were read, and their keys."""

    rows: list[np.ndarray[tuple[int], np.dtype[np.int64]]] = field(default_factory=list)
    keys: list[bytes] = field(default_factory=list)
    filled: list[bytes] = field(default_factory=list)

    def add(self, rows: pa.Array, keys: list[bytes | None]) -> None:
        self.rows.append(rows.to_numpy(zero_copy_only=False).astype(np.int64))
        self.keys.append(b"".join(key or bytes(KEY_BYTES) for key in keys))
        self.filled.append(bytes(key is not None for key in keys))

    def table(self) -> pa.Table:
        is_null = ~np.frombuffer(b"".join(self.filled), dtype=np.bool_)
        high, low = _halves(self.keys, is_null)
        rows = np.concatenate([np.zeros(0, dtype=np.int64), *self.rows])
        return pa.table([pa.array(rows), high, low], names=[_ROW, "high", "low"])


def _width(binding: Binding) -> int:
    """Return the bytes of one row; 0 where rows differ."""
    widths = [spec.row_bytes for spec in binding.inputs]
    return sum(widths) if all(widths) else 0


def _selected(planned: PlannedCall) -> list[str]:
    """Return what is read: the row's number, the values, and the keys of those that are not wide."""
    keys = [key for key, is_wide in zip(planned.key_values, planned.wide, strict=True) if not is_wide]
    return ["rowid", *planned.sent_values, *keys]


def _hashed(columns: list[pa.Array], planned: PlannedCall) -> list[pa.Array]:
    """Choose what a key is made of, in the order of INPUT."""
    keys = iter(columns[len(planned.sent_values) :])
    return [value if is_wide else next(keys) for value, is_wide in zip(columns, planned.wide, strict=False)]


def _halves(keys: list[bytes], is_null: Mask | None = None) -> list[pa.Array]:
    """Return the high and the low halves of keys, of which some may be NULL."""
    numbers = np.frombuffer(b"".join(keys), dtype=">u8").astype(np.uint64).reshape(-1, 2)
    return [pa.array(np.ascontiguousarray(numbers[:, side]), mask=is_null) for side in (0, 1)]


def _digests(high: pa.Array, low: pa.Array) -> list[bytes]:
    halves = [half.to_numpy(zero_copy_only=False) for half in (high, low)]
    data = np.stack(halves, axis=1).astype(">u8").tobytes()
    return [data[start : start + KEY_BYTES] for start in range(0, len(data), KEY_BYTES)]


def _next_slice(count: int, read: int, size: int, batch_size: int) -> int:
    """Return how many rows to read next: whole requests of about as many bytes as a slice has."""
    if not read:
        return count * _GROWTH
    width = max(size // read, 1)
    fitting = max(_SLICE_BYTES // width, 1)
    whole = rows_at_once(width, batch_size)
    fitting = fitting // whole * whole or fitting
    return max(min(fitting, count * _GROWTH), 1)
