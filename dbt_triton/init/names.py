"""Names: those of a server, and what they may be called in SQL and in dbt."""

from __future__ import annotations

import re
from collections.abc import Collection

from dbt_triton.foreign_text import NAME_LENGTH

#: Of a dbt model's name: the table of its predictions has a longer one.
MAX_MODEL_NAME = 60
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_DBT_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
#: What a name may hold beside letters and digits, to be a column in quotes: no quote, brace, backslash or line end, so
#: that it is itself in SQL, in Jinja and in YAML.
_IN_QUOTES = frozenset("_./:- ")
#: What cannot stand as a name without quotes in DuckDB or Spark; a test compares them with DuckDB's own list.
_RESERVED = """
    all analyse analyze and anti any array as asc asof asymmetric at authorization between bigint binary bit
    boolean both by case cast char character check coalesce collate collation column columns concurrently
    constraint create cross current_date current_time current_timestamp current_user date dec decimal default
    deferrable delete desc describe distinct do drop else end escape except exists export export_state extract
    false fetch filter float for foreign freeze from full generated glob grant group grouping grouping_id having
    ilike in initially inner inout insert int integer intersect interval into is isnull join lambda lateral
    leading left like limit map merge minus national natural nchar none not notnull null nullif numeric offset on
    only or order out outer overlaps overlay pivot pivot_longer pivot_wider placing position positional precision
    primary qualify real recursive references returning revoke right row select semi session_user set setof show
    similar smallint some sql struct substring summarize symmetric table tablesample then time timestamp to
    trailing treat trim true try_cast tuple union unique unnest unpack unpivot update user using values varchar
    variadic verbose view when where window with within xmlattributes xmlconcat xmlelement xmlexists xmlforest
    xmlnamespaces xmlparse xmlpi xmlroot xmlserialize xmltable
"""
RESERVED = frozenset(_RESERVED.split())


def dbt_name(served: str) -> str:
    """Return what a served model is called in dbt: small letters, digits and underscores, and no word of SQL."""
    name = _plain(served).lower()[:MAX_MODEL_NAME].rstrip("_") or "model"
    name = f"model_{name}" if name[0].isdigit() else name
    return f"{name}_model" if name in RESERVED else name


def is_dbt_name(name: str) -> bool:
    """Tell whether a user's word can be a model's name as it is: a file, a table, and a word in Jinja."""
    return bool(_DBT_NAME.fullmatch(name)) and len(name) <= MAX_MODEL_NAME


def is_plain(name: str) -> bool:
    """Tell whether a name needs no quotes in SQL."""
    return bool(_PLAIN.fullmatch(name)) and name.lower() not in RESERVED


def can_be_column(name: str) -> bool:
    """Tell whether a tensor's name can be a column's, in quotes or without."""
    return (
        0 < len(name) <= NAME_LENGTH
        and name.strip() == name
        and name.isprintable()
        and all(char.isalnum() or char in _IN_QUOTES for char in name)
    )


def plain_name(name: str, taken: Collection[str] = ()) -> str:
    """Return a name that needs no quotes, for a tensor's, and is none of those that are taken.

    Args:
        name: of the tensor.
        taken: names in small letters.
    """
    found = _plain(name)[:NAME_LENGTH].rstrip("_") or "column"
    found = f"c_{found}" if found[0].isdigit() else found
    found = f"{found}_" if found.lower() in RESERVED else found
    wanted, number = found, 1
    while wanted.lower() in taken:
        number += 1
        wanted = f"{found}_{number}"
    return wanted


def _plain(name: str) -> str:
    return name if _PLAIN.fullmatch(name) else re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_")
