"""A DuckDB in memory that nobody else sees: rows of a file or of words are put there, predicted, and read again.

What a build does with a warehouse's tables is done with these, so that types, NULL and failures are the same. Texts of
a CSV stay as they are written, since a declared type reads a text exactly, and a guess at a type may not.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, takewhile
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import duckdb
import pyarrow as pa

from dbt_triton.errors import DbtTritonError
from dbt_triton.foreign_text import shown
from dbt_triton.inference_model.row import COLUMNS
from dbt_triton.warehouses import WarehouseError
from dbt_triton.warehouses.duckdb.conversions import NESTED
from dbt_triton.warehouses.duckdb.csv_files import options_of_csv, refuse_utf16
from dbt_triton.warehouses.duckdb.dialect import quote, text_literal
from dbt_triton.warehouses.duckdb.json_files import problem_of_json
from dbt_triton.warehouses.duckdb.source_types import parse_source_type
from dbt_triton.warehouses.duckdb.warehouse import DuckDBWarehouse

#: The relations of a run, as its SQL names them.
INPUT, MODEL = "memory.main.dbt_triton_input", "memory.main.dbt_triton_model"
_LINES = 10_000
_NUMBERS = {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "FLOAT", "DOUBLE", "DECIMAL"}
_NUMBERS |= {f"U{kind}" for kind in _NUMBERS if kind.endswith("INT") or kind == "INTEGER"}
#: As JSON alone has them: DuckDB would guess that a text is a date, or round a number.
_IN_JSON = "maximum_depth=1, records=true"


@dataclass(frozen=True)
class Rows:
    """Rows that can be read: a query for them, and their columns with DuckDB's types."""

    query: str
    columns: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Shown:
    """A column of a result.

    Args:
        name: of it.
        kind: what its texts are: ``number``, ``boolean``, ``json``, ``bytes`` (in Base64) or ``text``.
        levels: of arrays.
    """

    name: str
    kind: str
    levels: int = 0


class Alone:
    """The database; a context manager, whose end frees everything.

    Raises:
        WarehouseError: whatever DuckDB refuses; with its words.
    """

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(prefix="dbt-triton-")
        spill = str(Path(self._folder.name) / "spill")
        # Nothing is downloaded, and nothing is left in the folder where the command is called.
        settings: dict[str, Any] = {"temp_directory": spill, "autoinstall_known_extensions": "false"}
        self._connection = duckdb.connect(":memory:", config=settings)
        self.warehouse = DuckDBWarehouse(self._connection)
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._connection.close()
        self._folder.cleanup()

    def file(self, path: Path, kind: str) -> Rows:
        """Return the rows of a file: ``csv``, ``json`` or ``parquet``.

        Raises:
            DbtTritonError: there is no such file, or it is empty or another kind.
        """
        with path.open("rb") as file:  # the system's own words for a folder, or for what nobody may read
            if not file.read(1):
                raise DbtTritonError(f"{path} is empty")
        if kind != "parquet":
            refuse_utf16(path)
        source = text_literal(str(self._linked(path, kind)))
        read = {
            "csv": lambda: f"read_csv({source}, {options_of_csv(path)})",
            "json": lambda: f"read_json({source}, {_IN_JSON})",
            "parquet": lambda: f"read_parquet({source}, hive_partitioning=false)",
        }[kind]()
        try:
            return self._rows(f"select * from {read}")
        except WarehouseError as error:
            problem = problem_of_json(path) if kind == "json" else None
            raise DbtTritonError(problem or f"{path} cannot be read as {kind}: {self._said(error)}") from error

    def lines(
        self,
        source: Iterable[bytes],
        column: str,
        limit: int | None,
        name: str,
        beside: Mapping[str, str | bytes | None],
    ) -> Rows:
        """Return the texts of a stream, one a line, as a column.

        Args:
            source: of the texts.
            column: what it is called.
            limit: only the first lines.
            name: of the source, for who reads an error.
            beside: by its column, what every row has.

        Raises:
            DbtTritonError: a line is no UTF-8.
        """
        relation = "memory.main.dbt_triton_lines"
        self.warehouse.execute(f"create or replace table {relation} ({quote(column)} varchar)")
        texts = _texts(source, name)
        texts = texts if limit is None else islice(texts, limit)
        while chunk := list(islice(texts, _LINES)):
            view = "dbt_triton_chunk"
            self.warehouse.load(
                f"insert into {relation} select * from {view}", view, pa.table({"text": pa.array(chunk, pa.string())})
            )
        if not beside:
            return self._rows(f"select * from {relation}")
        constants = self.values({name: [value] for name, value in beside.items()}, ())
        return self._rows(f"select * from {relation} cross join ({constants.query})")

    def values(self, columns: Mapping[str, Sequence[str | bytes | None]], json: Sequence[str]) -> Rows:
        """Return values of columns: texts, or bytes; those of ``json`` are JSON."""
        arrays = [
            pa.array(values, pa.binary() if any(isinstance(value, bytes) for value in values) else pa.string())
            for values in columns.values()
        ]
        names = [f"c{place}" for place in range(len(arrays))]
        relation, view = "memory.main.dbt_triton_values", "dbt_triton_chunk"
        read = ", ".join(
            f"{name}{'::json' if column in json else ''} as {quote(column)}"
            for name, column in zip(names, columns, strict=True)
        )
        table = pa.table(arrays, names=names)
        self.warehouse.load(f"create or replace table {relation} as select {read} from {view}", view, table)
        return self._rows(f"select * from {relation}")

    def spooled(self, source: IO[bytes], kind: str) -> Path:
        """Keep a stream as a file, and return its name."""
        path = Path(self._folder.name) / f"standard_input.{kind}"
        with path.open("wb") as file:
            shutil.copyfileobj(source, file)
        return path

    def put_input(
        self,
        rows: Rows,
        *,
        as_text: Sequence[str],
        nothing: Sequence[str],
        numbers: Sequence[str] = (),
        limit: int | None = None,
    ) -> None:
        """Put the input where a call reads it.

        Args:
            rows: of it.
            as_text: the columns whose JSON is one value, which its text is.
            nothing: columns that it lacks; they are NULL.
            numbers: columns of texts that are to be in the order of numbers, where all of them are numbers.
            limit: only the first rows.
        """
        replaced = [f"{_text_in_json(quote(name))} as {quote(name)}" for name in as_text]
        replaced += [f"{sql} as {quote(name)}" for name in numbers if (sql := self._as_numbers(rows, name))]
        added = "".join(f", null as {quote(name)}" for name in nothing)
        columns = f"* replace ({', '.join(replaced)})" if replaced else "*"
        # The limit stands within, so that no more of the file is read.
        query = f"select * from ({rows.query})" + ("" if limit is None else f" limit {limit}")
        numbered = f"row_number() over () as {quote(self._number(rows))}"
        try:
            self.warehouse.execute(f"create table {INPUT} as select {columns}{added}, {numbered} from ({query})")
        except WarehouseError as error:
            raise DbtTritonError(f"the rows cannot be read: {self._said(error)}") from error
        self.number = self._number(rows)

    def put_model(self, row: Mapping[str, Any]) -> None:
        """Put the metadata row of an inference model where a call reads it."""
        self.warehouse.execute(f"create table {MODEL} as {self.warehouse.dialect.metadata_query(row, COLUMNS)}")

    def count(self, build_sql: str, error: str | None) -> tuple[int, int]:
        """Make the table of a result; return how many rows it has, and in how many of them the error is said."""
        self.warehouse.execute(f"create table {_RESULT} as {build_sql}")
        failed = "0" if error is None else f"count({quote(error)})"
        found = self.warehouse.rows(f"select count(*) as n, {failed} as failed from {_RESULT}")[0]
        return int(found["n"]), int(found["failed"])

    def missing(self, columns: Sequence[str]) -> int:
        """Count the rows of the result in which one of these columns is NULL."""
        lacks = " or ".join(f"{quote(column)} is null" for column in columns) or "false"
        return int(self.warehouse.rows(f"select count(*) as n from {_RESULT} where {lacks}")[0]["n"])

    def failed(self, error: str, limit: int) -> list[dict[str, Any]]:
        """Return the first failed rows of the result."""
        return self.warehouse.rows(
            f"select * exclude ({quote(self.number)}) from {_RESULT} where {quote(error)} is not null "
            f"order by {quote(self.number)} limit {limit}"
        )

    def result(self, hidden: Sequence[str]) -> tuple[list[Shown], Iterator[pa.RecordBatch]]:
        """Return the columns of the result, and its rows in the order of the input, as texts and arrays of texts.

        Args:
            hidden: columns that are not shown.
        """
        shown, selected = [], []
        for name, kind in self.warehouse.describe(f"select * from {_RESULT}"):
            if name not in {self.number, *hidden}:
                one, sql = _as_text(name, kind)
                shown.append(one)
                selected.append(sql)
        query = f"select {', '.join(selected)} from {_RESULT} order by {quote(self.number)}"
        return shown, self.warehouse.read(query)

    def _said(self, error: WarehouseError) -> str:
        """Return DuckDB's words about a file, with the name that the user knows it by."""
        return _said(error).replace(str(Path(self._folder.name) / "input"), "input")

    def _rows(self, query: str) -> Rows:
        return Rows(query, self.warehouse.describe(query))

    def _as_numbers(self, rows: Rows, wanted: str) -> str | None:
        """Return the SQL of a column of texts as numbers; None where it is none, or some are none."""
        for name, kind in rows.columns:
            if name.lower() != wanted.lower() or kind not in {"VARCHAR", "JSON"}:
                continue
            text = _text_in_json(quote(name)) if kind == "JSON" else quote(name)
            for number in ("BIGINT", "DOUBLE"):
                counted = f"count({text}) = count(try_cast({text} as {number}))"
                if self.warehouse.rows(f"select {counted} as fits from ({rows.query})")[0]["fits"]:
                    return f"cast({text} as {number})"
        return None

    def _linked(self, path: Path, kind: str) -> Path:
        """Return a name without characters that DuckDB would take for a pattern."""
        path = path.absolute()
        zipped = ".gz" if path.suffix.lower() == ".gz" else ""
        link = Path(self._folder.name) / f"input.{kind}{zipped}"
        try:
            link.unlink(missing_ok=True)
            link.symlink_to(path)
        except OSError:  # as Windows has it
            return path
        return link

    @staticmethod
    def _number(rows: Rows) -> str:
        name, taken = "dbt_triton_row", {column.lower() for column, _ in rows.columns}
        while name in taken:
            name += "_"
        return name


_RESULT = "memory.main.dbt_triton_result"
#: A database in memory beside the user's own.
ASIDE = "dbt_triton_aside"


def set_aside(warehouse: DuckDBWarehouse) -> None:
    """Attach an empty database in memory to a session, beside its own; what an earlier call has left there is gone."""
    warehouse.execute(f"detach database if exists {ASIDE}")
    warehouse.execute(f"attach ':memory:' as {ASIDE}")


def _said(error: Exception) -> str:
    """Return what DuckDB says, without its advice on SQL that nobody has written."""
    lines = takewhile(lambda line: line and not line.startswith(("Possible", "LINE ")), str(error).strip().splitlines())
    return shown("; ".join(line.strip() for line in lines).replace(":; ", ": "))


def _texts(source: Iterable[bytes], name: str) -> Iterator[str]:
    for number, line in enumerate(source, 1):
        try:
            yield line.removesuffix(b"\n").removesuffix(b"\r").decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise DbtTritonError(f"line {number} of {name} is not UTF-8 text: {error.reason}") from error


def _text_in_json(column: str) -> str:
    return (
        f"case json_type({column}) when 'VARCHAR' then {column} ->> '$' when 'NULL' then null "
        f"else cast({column} as varchar) end"
    )


def _as_text(name: str, kind: str) -> tuple[Shown, str]:
    """Return a column of the result, and the SQL of its texts."""
    source, column = parse_source_type(kind), quote(name)
    levels = len(source.dims)
    element = source.kind
    if element in NESTED:
        return Shown(name, "json"), f"cast(to_json({column}) as varchar) as {column}"
    if element == "BLOB":
        base64 = "base64(dbt_triton_x)"
        for _ in range(levels):
            base64 = f"list_transform(dbt_triton_x, lambda dbt_triton_x: {base64})"
        return Shown(name, "bytes", levels), f"{base64.replace('dbt_triton_x', column, 1)} as {column}"
    what = "number" if element in _NUMBERS else {"BOOLEAN": "boolean", "JSON": "json"}.get(element, "text")
    return Shown(name, what, levels), f"cast({column} as varchar{'[]' * levels}) as {column}"
