"""A table that would be built again as it is: with a persistent cache, and nothing new, it is left alone.

What a table was built of is noted as the comment of its prediction store: the statement, and the number and a checksum
of the rows of the input, of the store and of the table itself. The next build compares. It builds wherever it cannot be
sure: a statement that reads something else or asks for the time, a column whose equal values may differ.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from dbt_triton import __version__
from dbt_triton.warehouses import RunContext, WarehouseError
from dbt_triton.warehouses.duckdb.dialect import checksum, literal, quote, same_relation, text_literal
from dbt_triton.warehouses.duckdb.keys import is_wide, key_expression, salt_of
from dbt_triton.warehouses.duckdb.repeatable import is_repeatable
from dbt_triton.warehouses.duckdb.rewrite import Source, joined
from dbt_triton.warehouses.duckdb.session import DuckDBSession
from dbt_triton.warehouses.duckdb.store import PredictionStore
from dbt_triton.warehouses.planned_call import PlannedCall

logger = logging.getLogger("dbt_triton.warehouses")

#: How a note begins. A comment of somebody else's is left alone.
_NOTE = "dbt-triton built this table of statement "
_OPERAND = "dbt_triton_operand"
#: Settings that change from run to run, or from machine to machine, or while a neighbour writes, and no result.
_NO_RESULT = "token|secret|key|session|password|thread|memory|director|progress|profil|checkpoint|^log"
#: Types whose values differ wherever they are not equal, but for the sign of zero in floating point.
_SCALARS = re.compile(
    r"(U?(TINY|SMALL|BIG|HUGE)INT|U?INTEGER|BOOLEAN|VARCHAR|JSON|BLOB|UUID|DATE|TIME|TIMESTAMP(_S|_MS|_NS)?"
    r"|TIMESTAMP WITH TIME ZONE|DECIMAL\(\d+,\d+\)|ENUM\(.*\))"
)
_FLOATS = re.compile(r"FLOAT|DOUBLE")
_LEVEL = re.compile(r"\[\d*\]$")
_TEXTS = {"VARCHAR", "JSON", "BLOB"}

Columns = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Target:
    """The table that is built.

    Args:
        relation: as SQL.
        exists: whether it may be left as it is, where nothing is new.
        definition: what it depends on besides its SELECT: constraints, indexes, comments.
    """

    relation: str
    exists: bool
    definition: str

    @classmethod
    def of(cls, context: RunContext) -> Target | None:
        """Read it from what the macros say; None where the table is not made anew as a whole."""
        target = context.target
        return None if not target else cls(str(target["relation"]), bool(target["exists"]), str(target["definition"]))


class BuiltOf:
    """What a table is built of, and was.

    Args:
        planned: the call.
        statement: renders the whole SELECT with the call replaced.
        target: the table.
        store: the prediction store of the call.
        source: its input.
        warehouse: the session.
    """

    def __init__(  # noqa: PLR0913 - all that a table is built of
        self,
        planned: PlannedCall,
        statement: Callable[[str], str],
        target: Target,
        *,
        store: PredictionStore,
        source: Source,
        warehouse: DuckDBSession,
    ) -> None:
        self._target = target
        self._store = store
        self._warehouse = warehouse
        build_sql = statement(joined(planned, source, store))
        columns = warehouse.describe(source.rows)
        self._columns = warehouse.describe(build_sql)
        if len({name.lower() for name, _ in self._columns}) < len(self._columns):
            raise _NotComparableError  # DuckDB renames the second of two columns of a name
        depends_on = [
            __version__,
            build_sql,
            target.definition,
            columns,
            self._columns,
            _surroundings(planned, source, warehouse),
        ]
        self._statement = hashlib.sha256(json.dumps(depends_on, default=str).encode()).hexdigest()
        rows = checksum(source.relation, _exact(columns, salt_of(planned)))
        self._input = warehouse.rows(f"select {rows} as checksum")[0]["checksum"]

    @property
    def note(self) -> str:
        """A SELECT for the note: NULL where DuckDB has no definition of the table."""
        relation = self._target.relation
        of = same_relation(relation)
        definition = (
            f"md5((select any_value(sql) from duckdb_tables() where {of}) || "
            f"coalesce((select string_agg(sql, ';' order by sql) from duckdb_indexes() where {of}), ''))"
        )
        known = literal(f"{_NOTE}{self._statement}, input {self._input}, predictions ", "VARCHAR")
        table = checksum(relation, _as_they_are(self._columns))
        return f"select {known} || {self._store.checksum} || ', table ' || {table} || ' ' || {definition}"

    def is_unchanged(self, noted: str | None) -> bool:
        """Tell whether the table is what would be built, by the comment of its store."""
        if not self._target.exists or noted is None or f"{self._statement}, input {self._input}," not in noted:
            return False
        try:
            return bool(self._warehouse.rows(f"select ({self.note}) = {literal(noted, 'VARCHAR')} as same")[0]["same"])
        except WarehouseError:
            return False  # a pre-hook has dropped the table, or a column is not there any more

    @property
    def to_remember(self) -> dict[str, str]:
        """The SELECT for the note once the table is made, and the relation that keeps it as its comment."""
        return {"note": self.note, "relation": self._store.relation}


class _NotComparableError(Exception):
    """Rows of this type may differ where their checksums do not."""


def built_of(
    planned: PlannedCall, context: RunContext, store: PredictionStore, source: Source, warehouse: DuckDBSession
) -> BuiltOf | None:
    """Return what the table of a call is built of, or None where the same may give another table.

    Args:
        planned: the call.
        context: of the model whose table it is.
        store: the prediction store of the call.
        source: its input.
        warehouse: the session.
    """
    target, statement = Target.of(context), context.statement
    if (
        target is None
        or statement is None
        or planned.model.options.cache != "persistent"
        or planned.in_order
        or is_wide(planned)
    ):
        return None
    try:
        if not is_repeatable(statement(_OPERAND), _OPERAND, warehouse):
            return None
        return BuiltOf(planned, statement, target, store=store, source=source, warehouse=warehouse)
    except (WarehouseError, RecursionError, _NotComparableError):
        return None


def take_note(note: str, store: str, warehouse: DuckDBSession) -> None:
    """Note what a table was built of, once it is committed. Where that cannot be told, the next build just builds.

    Args:
        note: the SELECT for the note. It reads DuckDB's catalog, which fails while a neighbour drops an index.
        store: the relation whose comment it becomes.
        warehouse: the session.
    """
    try:
        text = warehouse.rows(f"{note} as note")[0]["note"]
        if text is not None:
            warehouse.execute(f"comment on table {store} is {text_literal(text)}")
    except WarehouseError as error:
        logger.debug("no note of what the table is built of: %s", error)


def is_note(comment: str | None) -> bool:
    """Tell whether the comment of a store is a note of ours."""
    return comment is not None and comment.startswith(_NOTE)


def _surroundings(planned: PlannedCall, source: Source, warehouse: DuckDBSession) -> list[dict[str, Any]]:
    """Return what a statement may depend on besides what it says: settings, types, and the collations of the input."""
    names = [source.relation.strip('"'), *(planned.call.relation or ())[-1:]]
    tables = ", ".join(literal(name.lower(), "VARCHAR") for name in names)
    return [
        *warehouse.rows(
            "select name, value, version() as version from duckdb_settings() "
            f"where not regexp_matches(name, '{_NO_RESULT}') order by all"
        ),
        *warehouse.rows(
            "select database_name, schema_name, type_name, labels::varchar from duckdb_types() where not internal "
            "order by all"
        ),
        *warehouse.rows(f"select sql from duckdb_tables() where lower(table_name) in ({tables}) order by all"),
    ]


def _exact(columns: Columns, salt: str) -> list[str]:
    """Return the SQL of values that differ where rows do, whatever the authors of texts do to make them look alike.

    Raises:
        _NotComparableError: there are none.
    """
    for _, kind in columns:
        if not _FLOATS.fullmatch(kind) and not _SCALARS.fullmatch(_LEVEL.sub("", kind)):
            raise _NotComparableError
    return _as_they_are(columns, salt)


def _as_they_are(columns: Columns, salt: str | None = None) -> list[str]:
    """Return the SQL of columns, and of what tells their values apart where a hash does not.

    Args:
        columns: their names and types.
        salt: the SQL of a text; with it every value is hashed with a salt, since DuckDB's own hash is easy to meet
            twice: that of a number can be turned round.
    """
    values = []
    for position, (name, kind) in enumerate(columns):
        column = quote(name)
        values.append(_bytes_of(column, kind) if salt is None else _salted(column, kind, f"{salt} || '{position}'"))
        if _FLOATS.fullmatch(kind):
            values.append(f"signbit({column})")  # zero has the same hash with either sign
        elif _LEVEL.search(kind):
            values.append(f"len({column})")  # an empty list has the hash of NULL
    return values


def _bytes_of(column: str, kind: str) -> str:
    """Return the SQL of a text without its collation, which DuckDB's hash follows since 2.0.1."""
    return f"encode({column})" if kind == "VARCHAR" else column


def _salted(column: str, kind: str, salt: str) -> str:
    element = _LEVEL.sub("", kind)
    if element != kind:
        whole = "varchar" if element in _TEXTS else element
        return f"[{_salted('element', element, salt)} for element in cast({column} as {whole}[])]"
    if kind in _TEXTS:
        return key_expression([f"cast({column} as varchar)"], salt)
    return f"xor(hash({column}), hash({salt}))"
