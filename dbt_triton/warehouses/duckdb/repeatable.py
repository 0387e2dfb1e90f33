"""Whether a SELECT gives the same rows for the same rows, as DuckDB itself parses it.

Only what is known to do so is believed: DuckDB calls some functions consistent that tell the time or read the session,
and functions of Python its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from dbt_triton.warehouses.duckdb.dialect import literal
from dbt_triton.warehouses.duckdb.session import DuckDBSession

_EXPRESSIONS = {
    "BETWEEN",
    "CASE",
    "CAST",
    "COLUMN_REF",
    "COMPARISON",
    "CONJUNCTION",
    "CONSTANT",
    "FUNCTION",
    "OPERATOR",
    "STAR",
    "TYPE",
}
#: Other sources of rows, and choices among rows that depend on their order.
_OTHERS = {
    "COLUMN_DATA",
    "CTE_NODE",
    "JOIN",
    "LIMIT_MODIFIER",
    "LIMIT_PERCENT_MODIFIER",
    "PIVOT",
    "RECURSIVE_CTE_NODE",
    "SHOW_REF",
    "TABLE_FUNCTION",
}
_FUNCTIONS = set(
    """
    + - * / // % || ^@ ~~ !~~ ~~* !~~* like_escape not_like_escape ilike_escape not_ilike_escape
    abs ceil ceiling floor round trunc sign sqrt ln log log2 log10 exp pow power mod greatest least
    bool_and bool_or count count_star max min sum avg
    array_extract concat concat_ws contains ends_with ifnull json_extract json_extract_string left length len
    list_value lower lpad ltrim md5 nullif prefix regexp_extract regexp_matches regexp_replace repeat replace reverse
    right row rpad rtrim split_part starts_with strip_accents strlen struct_extract struct_pack substr substring suffix
    trim upper -> ->> date_part date_trunc datepart datetrunc day dayofweek dayofyear epoch epoch_ms hour isodow minute
    month quarter second strftime week year
    """.split()  # noqa: SIM905 - the list would be a hundred lines
)
#: What DuckDB takes for a function where it knows no column of that name, and the number of a row.
_NO_COLUMNS = {
    "current_catalog",
    "current_date",
    "current_role",
    "current_schema",
    "current_time",
    "current_timestamp",
    "current_user",
    "localtime",
    "localtimestamp",
    "rowid",
    "session_user",
    "user",
}


def is_repeatable(statement: str, operand: str, warehouse: DuckDBSession) -> bool:
    """Tell whether a SELECT reads nothing but the table ``operand``, and gives the same for the same, in any order.

    Raises:
        WarehouseError: DuckDB cannot tell.
        RecursionError: the statement is nested too deeply to tell.
    """
    tree = json.loads(warehouse.rows(f"select json_serialize_sql({literal(statement, 'VARCHAR')}) as tree")[0]["tree"])
    if tree["error"]:
        return False
    functions: set[str] = set()
    for node in _nodes(tree):
        if not _is_known(node, operand):
            return False
        if "function_name" in node:
            functions.add(str(node["function_name"]).lower())
    return functions <= _FUNCTIONS and not _are_shadowed(functions, warehouse)


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401 - JSON
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            yield node
            waiting += node.values()
        elif isinstance(node, list):
            waiting += node


def _is_known(node: Mapping[str, Any], operand: str) -> bool:
    """Tell whether a node of DuckDB's syntax tree reads no other table, no random sample, and not the session."""
    kind = str(node.get("type"))
    if kind in _OTHERS or node.get("sample") is not None or node.get("distinct_on_targets"):
        return False
    if kind == "BASE_TABLE":
        return bool(node["table_name"] == operand)
    if kind == "COLUMN_REF":
        return str(node["column_names"][-1]).lower() not in _NO_COLUMNS
    return str(node.get("class", "STAR")) in _EXPRESSIONS


def _are_shadowed(functions: set[str], warehouse: DuckDBSession) -> bool:
    """Tell whether a macro stands in the place of a function."""
    names = ", ".join(literal(name, "VARCHAR") for name in sorted(functions))
    query = f"select 1 from duckdb_functions() where not internal and lower(function_name) in ({names}) limit 1"
    return bool(functions and warehouse.rows(query))
