"""A table that would be built again as it is: with a persistent cache, and nothing new, it is left alone.

What a table was built of is kept as the comment of its prediction store: the statement, and the number and a checksum
of the rows of the input, of the store and of the table itself. The next build compares. It builds wherever it cannot be
sure: a statement that reads something else or asks for the time, a column whose equal values may differ.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dbt_triton import __version__
from dbt_triton.step.plan import Plan
from dbt_triton.step.rewrite import Source, joined
from dbt_triton.store import PredictionStore
from dbt_triton.warehouse import DuckDBWarehouse, WarehouseError, literal, quote

_ROW = "dbt_triton_row"
_OPERAND = "dbt_triton_operand"
#: Settings of a session that change what a statement gives.
_SETTINGS = (
    "TimeZone",
    "Calendar",
    "default_collation",
    "default_null_order",
    "default_order",
    "ieee_floating_point_ops",
    "integer_division",
    "old_implicit_casting",
)
#: Types whose values differ wherever they are not equal, but for the sign of zero in floating point.
_SCALARS = re.compile(
    r"(U?(TINY|SMALL|BIG|HUGE)INT|U?INTEGER|BOOLEAN|VARCHAR|JSON|BLOB|UUID|DATE|TIME|TIMESTAMP(_S|_MS|_NS)?"
    r"|TIMESTAMP WITH TIME ZONE|DECIMAL\(\d+,\d+\)|ENUM\(.*\))"
)
_FLOATS = re.compile(r"FLOAT|DOUBLE")
_LEVEL = re.compile(r"\[\d*\]$")
#: What DuckDB takes for a function where it knows no column of that name, and the number of a row.
_NO_COLUMNS = {
    "rowid",
    "current_catalog",
    "current_date",
    "current_role",
    "current_schema",
    "current_time",
    "current_timestamp",
    "current_user",
    "localtime",
    "localtimestamp",
    "session_user",
    "user",
}
#: Functions that older versions of DuckDB call consistent, though they read the session.
_OF_THE_SESSION = {"current_database", "current_schema", "current_schemas", "current_setting", "getvariable", "version"}
_OTHER_SOURCES = {"TABLE_FUNCTION", "SHOW_REF", "PIVOT", "COLUMN_DATA", "BOUND_TABLE_REF"}


@dataclass(frozen=True)
class Target:
    """The table that is built.

    Args:
        relation: as SQL.
        exists: whether it may be left as it is, where nothing is new.
        definition: what it depends on besides its SELECT: constraints, indexes, a header.
    """

    relation: str
    exists: bool
    definition: str

    @classmethod
    def of(cls, args: Mapping[str, Any]) -> Target | None:
        """Read it from the arguments of a step; None where the table is not made anew as a whole."""
        target = args.get("target")
        return None if not target else cls(str(target["relation"]), bool(target["exists"]), str(target["definition"]))


class BuiltOf:
    """What a table is built of, and was.

    Args:
        target: the table.
        store: its prediction store.
        build_sql: its SELECT.
        source: the input.
        warehouse: the session.
    """

    def __init__(
        self, target: Target, store: PredictionStore, build_sql: str, source: Source, warehouse: DuckDBWarehouse
    ) -> None:
        self._target = target
        self._store = store
        self._warehouse = warehouse
        settings = ", ".join(literal(name, "VARCHAR") for name in _SETTINGS)
        found = warehouse.rows(
            f"select name, value, version() as version from duckdb_settings() where name in ({settings}) order by name"
        )
        statement = json.dumps([__version__, build_sql, target.definition, found], sort_keys=True, default=str)
        self._statement = hashlib.sha256(statement.encode()).hexdigest()
        self._input = warehouse.rows(f"select {_input_checksum(source, warehouse)} as checksum")[0]["checksum"]

    @property
    def text(self) -> str:
        """A SELECT for the text that is kept."""
        table = (
            f"(select count(*) || ' ' || {_sum_of_hashes(_ROW)} || ' ' || coalesce(any_value(typeof({_ROW})), '') "
            f"from {self._target.relation} as {_ROW})"
        )
        known = f"dbt-triton built this table from statement {self._statement}, input {self._input}, "
        return (
            f"select {literal(known, 'VARCHAR')} || 'predictions ' || {self._store.checksum} || ', table ' || {table}"
        )

    def is_unchanged(self) -> bool:
        """Tell whether the table is what would be built."""
        if not self._target.exists:
            return False
        kept = self._store.comment(self._warehouse)
        if kept is None or self._statement not in kept or f"input {self._input}," not in kept:
            return False
        return bool(self._warehouse.rows(f"select ({self.text}) = {literal(kept, 'VARCHAR')} as same")[0]["same"])

    @property
    def to_remember(self) -> dict[str, str]:
        """The SELECT for what is to be kept once the table is made, and the relation that keeps it as its comment."""
        return {"text": self.text, "relation": self._store.relation}


def built_of(
    plan: Plan, target: Target | None, store: PredictionStore, source: Source, warehouse: DuckDBWarehouse
) -> BuiltOf | None:
    """Return what the table of a plan is built of, or None where the same may give another table.

    Args:
        plan: the planned statement.
        target: the table, where it is made anew as a whole.
        store: the prediction store of the only call.
        source: its input.
        warehouse: the session.
    """
    planned = plan.calls[0]
    if target is None or planned.model.options.cache != "persistent" or planned.in_order or len(plan.calls) > 1:
        return None
    build_sql = plan.statement.render({planned.call.span: joined(planned, source, store)})
    try:
        if not _is_repeatable(plan.statement.render({planned.call.span: _OPERAND}), warehouse):
            return None
        return BuiltOf(target, store, build_sql, source, warehouse)
    except (WarehouseError, _NotComparableError):
        return None


class _NotComparableError(Exception):
    """Rows of this type may differ where their checksums do not."""


def _input_checksum(source: Source, warehouse: DuckDBWarehouse) -> str:
    """Return the SQL of the number and a checksum of the rows of the input."""
    values = []
    for name, kind in warehouse.describe(source.rows):
        column, element = quote(name), _LEVEL.sub("", kind)
        values.append(column)
        if _FLOATS.fullmatch(kind):
            values.append(f"signbit({column})")  # zero has the same hash with either sign
        elif not _SCALARS.fullmatch(element):
            raise _NotComparableError
        elif element != kind:
            values.append(f"len({column})")  # an empty list has the hash of NULL
    return f"(select count(*) || ' ' || {_sum_of_hashes(', '.join(values))} from {source.relation})"


def _sum_of_hashes(values: str) -> str:
    """Return the SQL of a checksum of rows in any order.

    DuckDB joins the hashes of values by XOR. Hashed once more, they do not cancel out where two rows swap a value.
    """
    return f"coalesce(sum(hash(hash({values}))), 0)"


def _is_repeatable(statement: str, warehouse: DuckDBWarehouse) -> bool:
    """Tell whether a SELECT reads nothing but the operand, and gives the same for the same."""
    tree = json.loads(warehouse.rows(f"select json_serialize_sql({literal(statement, 'VARCHAR')}) as tree")[0]["tree"])
    nodes = list(_nodes(tree))
    functions = {str(node["function_name"]).lower() for node in nodes if "function_name" in node}
    return (
        not tree["error"]
        and not any(_reads_more(node) for node in nodes)
        and not functions & _OF_THE_SESSION
        and (not functions or _are_consistent(functions, warehouse))
    )


def _nodes(tree: Any) -> Sequence[dict[str, Any]]:  # noqa: ANN401 - JSON
    below = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else []
    nodes = [node for part in below for node in _nodes(part)]
    return [tree, *nodes] if isinstance(tree, dict) else nodes


def _reads_more(node: Mapping[str, Any]) -> bool:
    """Tell whether a node of DuckDB's syntax tree reads another table, a random sample, or the session."""
    kind = str(node.get("type"))
    if kind == "BASE_TABLE" and node["table_name"] != _OPERAND:
        return True
    if kind == "COLUMN_REF":
        return str(node["column_names"][-1]).lower() in _NO_COLUMNS
    return kind in _OTHER_SOURCES or node.get("sample") is not None


def _are_consistent(functions: set[str], warehouse: DuckDBWarehouse) -> bool:
    """Tell whether all are functions of DuckDB's own that give the same for the same."""
    names = ", ".join(literal(name, "VARCHAR") for name in sorted(functions))
    found = warehouse.rows(
        "select count(distinct function_name) as known, bool_and(coalesce(stability = 'CONSISTENT', false) "
        "and internal and function_type in ('scalar', 'aggregate', 'window')) as consistent "
        f"from duckdb_functions() where lower(function_name) in ({names})"
    )[0]
    return bool(found["known"] == len(functions) and found["consistent"])
