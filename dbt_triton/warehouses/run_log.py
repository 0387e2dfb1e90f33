"""The run log as a step sees it: a table in which each call has a row, and what the rows are made of."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple, Protocol

import pyarrow as pa

from dbt_triton.client.statistics import NANOSECONDS, Counts, counted, counted_between
from dbt_triton.engine import Servers
from dbt_triton.run_log.columns import COLUMNS
from dbt_triton.warehouses import ServerSeconds, WarehouseError
from dbt_triton.warehouses.columns import ERROR, KEY, REASON

logger = logging.getLogger("dbt_triton.warehouses")

#: A server has so many seconds to say what it has counted.
STATISTICS_SECONDS = 0.5
#: A profile is made of so many rows of the input at most, chosen at random.
PROFILED_ROWS = 50_000
#: Without these a table is no run log; others are added to one that lacks them.
CORE = ("run_id", "invocation_id", "node", "call", "started_at", "ended_at", "outcome")
KILLED_WORDS = "the process ended without a word: it was killed, ran out of memory, or the machine went down"

Row = Mapping[str, Any]


class RunPlace(NamedTuple):
    """Where the run log is."""

    database: str | None
    schema: str
    identifier: str


class RunTable(Protocol):
    """The table of the run log. What goes wrong is a `WarehouseError`, which must fail nobody's build."""

    def begin(self, row: Row) -> None:
        """Add a row that is running, and commit it. Rows of processes that are gone become killed."""
        ...

    def note(self, row: Row) -> None:
        """Keep what has become known of a running row, where that costs next to nothing."""
        ...

    def end(self, row: Row) -> None:
        """Keep the whole row as it ended, and commit it."""
        ...

    def last(self, row: Row) -> dict[str, Any]:
        """Return the last row that succeeded of the same call with the same inference model; empty where none did."""
        ...

    def close(self) -> None:
        """Free what is open."""
        ...


def refusal(columns: Sequence[str]) -> str | None:
    """Say why a relation is no run log, by its columns; None where it is one, or an older one."""
    names = {name.lower() for name in columns}
    lacking = [name for name in CORE if name not in names]
    return f"it has no {', '.join(lacking)}" if lacking else None


def refused(relation: str, why: str) -> WarehouseError:
    """Return the error of a relation that is no run log."""
    return WarehouseError(
        f"{relation} is there already and is no run log: {why}. It is left alone; name another place by the variable "
        "dbt_triton_runs_name or dbt_triton_runs_schema"
    )


def missing(columns: Sequence[str]) -> dict[str, str]:
    """Return the columns that an older run log lacks, with their types in DuckDB's words."""
    names = {name.lower() for name in columns}
    return {name: kind for name, kind in COLUMNS.items() if name not in names}


def failed_rows_query(relation: str, column: str) -> str:
    """Return the query for the failed rows of a built table, by the quoted name of the column that says why."""
    return f"select * from {relation} where {column} is not null"


def failed_by_reason_query(key: str, relation: str, failed: str) -> str:
    """Return the query that counts the rows of an input that failed, by the kind of the reason.

    Args:
        key: of a row of the input.
        relation: the input.
        failed: what the store has of this run.
    """
    return (
        f"select failed.{REASON} as reason, count(*) as n from (select {key} as input_key from "
        f"{relation}) as input_rows join {failed} as failed on failed.{KEY} = input_rows.input_key "
        f"where failed.{ERROR} is not null group by 1 order by 2 desc, 1"
    )


async def server_counts(servers: Servers, version: str | None) -> Counts | None:
    """Ask all servers of a run what they have counted; None where one does not say, or not soon."""
    try:
        return await counted([server.client for server in servers.all], version, seconds=STATISTICS_SECONDS)
    except Exception as error:  # noqa: BLE001 - whatever an answer is: nobody's run may fail for it
        logger.debug("no statistics: %s", error)
        return None


def server_seconds(before: Counts | None, after: Counts | None) -> ServerSeconds | None:
    """Return what servers spent between two answers; None where they do not say."""
    found = counted_between(before, after)
    if found is None:
        return None
    compute = sum(found[f"compute_{part}.ns"] for part in ("input", "infer", "output"))
    return ServerSeconds(found["queue.ns"] / NANOSECONDS, compute / NANOSECONDS)


class ServerTime:
    """What servers spend on a run; they are asked only if anything is sent. Make it on the event loop of the run.

    Args:
        servers: of the run.
        version: of the model.
    """

    def __init__(self, servers: Servers, version: str | None) -> None:
        self._servers = servers
        self._version = version
        self._loop = asyncio.get_running_loop()
        self._asked = False
        self._before: Counts | None = None

    def before(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Yield what is to be sent; before the first row, the servers are asked. It is read by another thread."""
        for batch in batches:
            if batch.num_rows and not self._asked:
                self._asked = True
                asking = asyncio.run_coroutine_threadsafe(server_counts(self._servers, self._version), self._loop)
                with suppress(Exception):  # the run is over before it began
                    self._before = asking.result(2 * STATISTICS_SECONDS)
            yield batch

    async def after(self) -> ServerSeconds | None:
        """Ask once more, and return what was spent since; None where that is not known."""
        if self._before is None:
            return None
        return server_seconds(self._before, await server_counts(self._servers, self._version))
