"""Writing the run log: a row is begun before a call does anything, and ended when its table is made, or is not.

A step ends before dbt makes the table. So a row waits for dbt's own word about its node, which comes in the same thread
whatever becomes of it: a contract that does not hold, a hook that fails, Ctrl-C. Nothing here fails a build: what goes
wrong is said once, and the run goes on.
"""

from __future__ import annotations

import json
import logging
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from dbt_triton import __version__
from dbt_triton.engine import RunStats
from dbt_triton.foreign_text import harmless
from dbt_triton.inference_model import Binding
from dbt_triton.run_log import processes
from dbt_triton.run_log.columns import DEFAULT_NAME, FAILED, INTERRUPTED, RUNNING, SUCCEEDED
from dbt_triton.run_log.profile import profiles
from dbt_triton.step.dbt_context import invocation_id, listen, name_in_variable, node_id, target, variable
from dbt_triton.step.run_outcomes import first_line, outcome_of
from dbt_triton.step.unbegun import Unbegun, called
from dbt_triton.step.waiting_rows import WAITING, on_event
from dbt_triton.warehouses import CallRun, InputSize, Predicted, Warehouse
from dbt_triton.warehouses.planned_call import PlannedCall
from dbt_triton.warehouses.run_log import PROFILED_ROWS, RunPlace, RunTable

logger = logging.getLogger("dbt_triton.step")


class RunLog:
    """The rows of one step.

    Args:
        warehouse: the session.
        place: of the table; None where no run log is written.
        node: the unique id of the predicting model.
        invocation: the id of the dbt invocation.
        relation: the table of the model, as SQL names it.
    """

    def __init__(
        self,
        warehouse: Warehouse | None = None,
        place: RunPlace | None = None,
        *,
        node: str | None = None,
        invocation: str | None = None,
        relation: str | None = None,
    ) -> None:
        #: What went wrong, for Jinja to say.
        self.notes: list[str] = []
        self.relation = relation
        self._warehouse = warehouse
        self._place = place
        self._node = node
        self._invocation = invocation
        #: What planning has taken, which is a part of the first call.
        self.plan_seconds = 0.0
        self._dbt_will_say = False

    @classmethod
    def of_step(cls, args: Mapping[str, Any], warehouse: Warehouse) -> RunLog:
        """Return the run log that the arguments of a step name; one that writes nothing where they name none."""
        said = args.get("runs")
        if not said:
            return cls()
        database = said.get("database")
        place = RunPlace(None if database is None else str(database), str(said["schema"]), str(said["identifier"]))
        return cls(
            warehouse,
            place,
            node=str(args.get("unique_id") or ""),
            invocation=said.get("invocation_id"),
            relation=said.get("relation"),
        )

    @classmethod
    def of_python_model(cls, warehouse: Warehouse, relation: str) -> RunLog:
        """Return the run log of the project to which the Python model of this thread belongs."""
        node, (database, schema) = node_id(), target()
        if node is None or not schema or str(variable("dbt_triton_runs")).strip().lower() == "false":
            return cls()
        database = name_in_variable("dbt_triton_runs_database") or database
        schema = name_in_variable("dbt_triton_runs_schema") or schema
        place = RunPlace(database, schema, name_in_variable("dbt_triton_runs_name") or DEFAULT_NAME)
        return cls(warehouse, place, node=node, invocation=invocation_id(), relation=relation)

    @property
    def is_written(self) -> bool:
        """Whether there is one."""
        return self._warehouse is not None

    def begin(self, planned: PlannedCall, number: int) -> LoggedCall:
        """Begin the row of a call, and commit it.

        Args:
            planned: the call.
            number: of the call in its model, from 1.
        """
        if self._warehouse is None or self._place is None:
            return LoggedCall({}, None, self)
        logged = self._call(str(self._node), number)
        logged.row |= called(planned)
        processes.begin(logged.row["run_id"])
        self._dbt_will_say = listen(on_event)
        WAITING.add(logged)
        logged.begin()
        return logged

    def expect(self, nodes: Sequence[str] | None = None, **known: str | None) -> Unbegun:
        """Write a row of what fails before a call begins: this step's model, or those that wait for it.

        Args:
            nodes: the unique ids of the models that cannot be built without this one; None is this model itself.
            known: columns of the rows that are known already.
        """
        if self._warehouse is None or not self._node or not listen(on_event):
            return Unbegun([])
        rows = [self._call(node, 1) for node in ([self._node] if nodes is None else nodes)]
        for logged in rows:
            logged.row |= known
        if rows:
            WAITING.expect(self._node, rows)
        return Unbegun(rows, waits=nodes is not None)

    def _call(self, node: str, number: int) -> LoggedCall:
        """Return the row of a call that begins now; it is not written yet."""
        row: dict[str, Any] = {
            "run_id": str(uuid.uuid4()),
            "invocation_id": self._invocation,
            "node": node,
            "call": number,
            "started_at": _now(),
            "outcome": RUNNING,
            "process": processes.this_process(),
            "dbt_triton_version": __version__,
        }
        table = None if self._warehouse is None or self._place is None else self._warehouse.run_table(self._place)
        return LoggedCall(row, table, self)

    def end_unless_dbt_does(self) -> None:
        """End the rows of this thread that have no node of dbt's to wait for: their calls are all there is."""
        if not self._dbt_will_say:
            WAITING.end(SUCCEEDED)

    def say(self, problem: str) -> None:
        """Say once in this process that the run log lacks something, and why."""
        text = harmless(f"no run log is written: {problem}".splitlines()[0])
        if (self._invocation, text) in _SAID:
            logger.debug("%s", text)
            return
        _SAID.add((self._invocation, text))
        self.notes.append(text)


class LoggedCall:
    """The row of one call; without a table, nothing is noted.

    Args:
        row: as it was begun.
        table: to which it is written.
        log: that it belongs to.
    """

    def __init__(self, row: dict[str, Any], table: RunTable | None, log: RunLog) -> None:
        self.row = row
        self._table = table
        self._log = log
        self._began = time.perf_counter()
        self._read_seconds = 0.0
        #: When the rest of the model's build began, on the clock of `time.perf_counter`.
        self.predicted_at: float | None = None
        self.thread = threading.get_ident()
        self._is_there = False

    @property
    def is_written(self) -> bool:
        """Whether there is a table for it."""
        return self._table is not None

    def begin(self) -> None:
        """Commit the row."""
        self._written(self._add)

    def _add(self) -> None:
        if self._table is not None:
            self._table.begin(self.row)
            self._is_there = True

    def measured(self, size: InputSize) -> None:
        """Note how many rows the input has; all that was done so far was reading it."""
        self.row["rows"] = size.every_row
        self._read_seconds += time.perf_counter() - self._began

    def bound(self, binding: Binding | None) -> None:
        """Note what is served, and commit what is known by now."""
        table = self._table
        if table is None:
            return
        if binding is not None:
            self.row["served_version"] = binding.served.shown_version if binding.served else binding.version
            self.row["fingerprint"] = binding.fingerprint
        planning = time.perf_counter() - self._began - self._read_seconds
        self.row["plan_seconds"] = round(self._log.plan_seconds + planning, 6)
        self._log.plan_seconds = 0.0
        if not self._is_there:
            return
        known = ("run_id", "rows", "served_version", "fingerprint", "plan_seconds")
        self._written(lambda: table.note({name: self.row[name] for name in known if name in self.row}))

    def note_nothing_sent(self) -> None:
        """Note that no row had anything to send."""
        if self._table is not None:
            self._note_stats(RunStats(), None)
            self.row |= {"distinct_rows": 0, "reused_rows": 0, "failed_rows": 0, "failed_by_reason": "{}"}

    def note_predicted(self, predicted: Predicted, call: CallRun) -> None:
        """Note what was sent."""
        if self._table is not None:
            self._note_stats(predicted.stats, call)
            self.row |= {"reused_rows": predicted.reused, "failed_rows": 0, "failed_by_reason": "{}"}

    def note_profiles(self, predicted: Predicted, call: CallRun, size: InputSize, *, in_order: bool) -> None:
        """Note how many inputs were distinct, and what was predicted for the rows of the input.

        Where nothing is new, that is what it was the last time.
        """
        table, row = self._table, self.row
        if table is None:
            return
        last = self._found(lambda: table.last(row)) if predicted.unchanged and self._is_there else None
        if last and last.get("rows") == row["rows"]:
            row |= {name: last[name] for name in ("distinct_rows", "predicted")}
        if row.get("distinct_rows") is None:
            row["distinct_rows"] = self._found(lambda: _distinct(predicted, call, size, in_order=in_order))
        if row.get("predicted") is None:
            row["predicted"] = self._found(lambda: _profiles(call, size))

    def note_failures(self, failed: int, call: CallRun, query: Callable[[], str | None]) -> None:
        """Note how many rows of the input failed, why, and how they are selected."""
        if self._table is None:
            return
        self.row["failed_rows"] = failed
        self.row["failed_by_reason"] = json.dumps(self._found(call.failed_by_reason) or {})
        self.row["failed_query"] = self._found(query)

    def failed(self, error: BaseException, call: CallRun | None) -> None:
        """Note why the call failed, and what it had done by then."""
        if self._table is None:
            return
        if call is not None and "requests" not in self.row:
            self._note_stats(call.stats, call)
        self.row |= {"outcome": outcome_of(error), "error": first_line(error)}

    def done(self) -> None:
        """Note that the rest of the build is the warehouse's and dbt's."""
        self.predicted_at = time.perf_counter()

    def end(self, outcome: str, error: str | None, *, is_last: bool) -> None:
        """Write the row as it ended. A failure that was noted stays one.

        Args:
            outcome: of the node.
            error: what dbt says of it.
            is_last: whether it is the last call of its model, after which the table is made.
        """
        table, row = self._table, self.row
        if table is None:
            return
        if row["outcome"] == RUNNING:
            row |= {"outcome": outcome, "error": error}
        if self.predicted_at is not None and is_last and row["outcome"] != INTERRUPTED:
            row["join_seconds"] = round(time.perf_counter() - self.predicted_at, 6)
        row["ended_at"] = _now()
        self._written(lambda: table.end(row))
        processes.end(row["run_id"])
        with suppress(Exception):
            table.close()
        for note in self._log.notes:  # those that came too late for Jinja
            logger.warning("%s", note)
        self._log.notes.clear()

    def end_unbegun(self, outcome: str, error: str | None) -> None:
        """Write the row of a call that never began, if its node has failed.

        Args:
            outcome: of the node that had to be built first, or of the call's own.
            error: what dbt says of it.
        """
        self.row["error"] = self.row.get("error") or error
        if outcome == FAILED:
            self.end(outcome, self.row["error"], is_last=False)

    def _written(self, work: Callable[[], object]) -> None:
        """Write to the run log; where that fails, it is said."""
        try:
            work()
        except Exception as error:  # noqa: BLE001 - nothing about the run log may fail a build
            self._log.say(str(error) or type(error).__name__)

    @staticmethod
    def _found(work: Callable[[], Any]) -> Any:  # noqa: ANN401 - whatever the work returns
        """Return what comes of some work for the run log; None where it fails."""
        try:
            return work()
        except Exception as error:  # noqa: BLE001 - as above
            logger.debug("a column of the run log stays empty: %s", harmless(str(error)))
            return None

    def _note_stats(self, stats: RunStats, call: CallRun | None) -> None:
        self.row |= {
            "sent_rows": stats.rows + stats.rows_failed,
            "requests": stats.requests,
            "retries": stats.retries,
            "bytes_sent": stats.bytes_sent,
            "bytes_received": stats.bytes_received,
            "read_seconds": round(self._read_seconds + stats.read_seconds, 6),
            "wait_seconds": round(stats.wait_seconds, 6),
            "write_seconds": round(stats.write_seconds, 6),
            "requests_in_flight": stats.limit if stats.requests else None,
        }
        for percent in (50, 95, 99):
            seconds = stats.latencies.quantile(percent / 100)
            self.row[f"latency_p{percent}_ms"] = None if seconds is None else round(1000 * seconds, 4)
        spent = None if call is None or not stats.requests else call.server_seconds
        if spent is not None:
            self.row["server_queue_seconds"] = round(spent.queue, 6)
            self.row["server_compute_seconds"] = round(spent.compute, 6)


#: By the invocation.
_SAID: set[tuple[str | None, str]] = set()


def _distinct(predicted: Predicted, call: CallRun, size: InputSize, *, in_order: bool) -> int:
    sent = predicted.stats.rows + predicted.stats.rows_failed
    if in_order:
        return size.filled
    if not predicted.anything_known:
        return sent
    return min(max(call.distinct(), sent), size.filled)


def _profiles(call: CallRun, size: InputSize) -> str:
    return json.dumps(profiles(call.outputs(PROFILED_ROWS, size.every_row)), ensure_ascii=False)


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)
