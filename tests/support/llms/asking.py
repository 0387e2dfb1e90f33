"""Prompts of a table, asked by the steps without a dbt command."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from support.llms import Served
from support.session import Rows, Steps


def literal(value: Any) -> str:
    """Write a value in DuckDB's SQL."""
    if isinstance(value, str):
        quoted = value.replace("'", "''").split("\0")
        return "(" + " || chr(0) || ".join(f"'{part}'" for part in quoted) + ")"
    if isinstance(value, list):
        return f"[{', '.join(literal(item) for item in value)}]"
    return "null" if value is None else str(value)


def ask(
    session: Steps,
    llm: Served,
    rows: Sequence[Any],
    output: str = "answer STRING",
    given: str = "prompt STRING",
    **options: str,
) -> Rows:
    """Build a table of answers, and return the columns of OUTPUT and ``ml_error`` in the order of the rows.

    Args:
        session: where.
        llm: whom to ask.
        rows: the prompts, or tuples of all columns of INPUT.
        output: the columns of OUTPUT.
        given: those of INPUT.
        options: of the model.
    """
    prepare(session, rows, given)
    create(session, llm, output, given, **options)
    return answers(session, given)


def prepare(session: Steps, rows: Sequence[Any], given: str = "prompt STRING") -> None:
    """Make the table ``asked`` of the rows."""
    named = [column.split(" ", 1) for column in given.split(", ")]
    tuples = [row if isinstance(row, tuple) else (row,) for row in rows]
    values = ", ".join(f"({', '.join(map(literal, (place, *row)))})" for place, row in enumerate(tuples))
    columns = ", ".join(f"cast({name} as {_duckdb(kind)}) as {name}" for name, kind in named)
    names = ", ".join(name for name, _ in named)
    session.table("asked", f"select place, {columns} from (values {values}) as v(place, {names})")


def create(
    session: Steps, llm: Served, output: str = "answer STRING", given: str = "prompt STRING", **options: str
) -> None:
    """Build the inference model ``m``; ``max_tokens`` is the option ``max-tokens``."""
    pairs = {"endpoint": llm.url, "model-name": llm.name}
    pairs |= {name.replace("_", "-"): value for name, value in options.items()}
    session.create_model("m", f"INPUT ({given}) OUTPUT ({output})", pairs)


def answers(session: Steps, given: str = "prompt STRING", call: str = "") -> Rows:
    """Build the table of answers of what is prepared and created."""
    names = ", ".join(column.split(" ", 1)[0] for column in given.split(", "))
    select = f"select * from ML_PREDICT(TABLE asked, MODEL m, DESCRIPTOR({names}){call}) order by place"
    rows = session.ordered(session.build("answered", select, ["m"]))
    return [row[1 + len(given.split(", ")) :] for row in rows]


def _duckdb(kind: str) -> str:
    return f"{kind[6:-1]}[]" if kind.startswith("ARRAY<") else kind
