"""What a step and a warehouse hand to each other: parts of SQL, sizes, failures, and what came of a call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from dbt_triton.engine import RunStats
from dbt_triton.errors import DbtTritonError


class WarehouseError(DbtTritonError):
    """The warehouse refused a statement; with its own words."""


class StoppedError(WarehouseError):
    """The warehouse refused something while rows were sent, or the run was interrupted: what was answered is kept."""


class Value(NamedTuple):
    """A DESCRIPTOR column as INPUT declares it, as SQL.

    Args:
        sql: of the declared type; NULL where the column is NULL, and where its value is none of the type.
        key: what the key of a row is made of, NULL only where the column is NULL: distinct for distinct values.
        wide: the value is known by its bytes instead.
    """

    sql: str
    key: str
    wide: bool = False


class Operand(NamedTuple):
    """The TABLE operand of a call, with the calls that it depends on replaced.

    Args:
        query: a query for its rows that stands by itself, with the CTEs that it needs.
        relation: the operand as a FROM clause.
        is_query: whether it is a query rather than a relation, a file or a table function.
    """

    query: str
    relation: str
    is_query: bool


class InputSize(NamedTuple):
    """The size of an input: all rows, those with any value, those that are sent, and the bytes of these, about."""

    every_row: int
    any_filled: int
    filled: int
    bytes: int = 0


class SampleBounds(NamedTuple):
    """How much of an input is read for a sample, at most."""

    rows: int
    bytes: int
    seconds: float


class Failures(NamedTuple):
    """How many rows of an input have failed, of how many that were sent."""

    failed: int
    sent: int


class FailedRow(NamedTuple):
    """One row that failed: its own columns, and why."""

    row: dict[str, Any]
    why: str
    status: int | None
    reason: str


class ServerSeconds(NamedTuple):
    """What servers spent on a run by their own statistics, all requests added up: also those of others meanwhile."""

    queue: float
    compute: float


@dataclass(frozen=True)
class RunContext:
    """What a call's run is told of the model that it belongs to.

    Args:
        name: of the predicting model.
        full_refresh: forget what earlier runs have left.
        target: what is known of the table, where it is made anew as a whole; as the macros pass it.
        statement: renders the whole SELECT with the call replaced by a text; of a plan with one call only.
        asks_servers: whether servers are asked for their statistics, before and after rows are sent.
        keeps: whether the stores outlive the run.
    """

    name: str
    full_refresh: bool = False
    target: Mapping[str, Any] | None = None
    statement: Callable[[str], str] | None = None
    asks_servers: bool = False
    keeps: bool = True


@dataclass(frozen=True)
class Predicted:
    """What came of a call.

    Args:
        joined: the SQL that takes the place of the call: its input with its predictions.
        stats: of the engine, or of all engines.
        reused: rows whose prediction the store had.
        unchanged: whether the table is what would be built.
        remember: what is to be kept for the next build to tell so.
        anything_known: whether the store had any prediction.
    """

    joined: str
    stats: RunStats = field(default_factory=RunStats)
    reused: int = 0
    unchanged: bool = False
    remember: dict[str, str] | None = None
    anything_known: bool = False
