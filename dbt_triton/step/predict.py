"""Carrying out a plan: each call in turn is measured, compared with what is served, predicted, and judged."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from functools import partial
from typing import Any

from dbt_triton.ddl.calls import Span
from dbt_triton.engine import RunError, RunStats
from dbt_triton.errors import DbtTritonError
from dbt_triton.inference_model import Binding
from dbt_triton.instrumentation import CallEnd
from dbt_triton.step.observed_call import note_end, observed_call
from dbt_triton.step.plan import Plan
from dbt_triton.step.preflight import preflight
from dbt_triton.step.report import SHOWN_ROWS, ended_early, failed_rows, kept
from dbt_triton.step.run_log import LoggedCall, RunLog
from dbt_triton.warehouses import (
    CallRun,
    Dialect,
    InputSize,
    Predicted,
    RunContext,
    StoppedError,
    Warehouse,
    WarehouseError,
)
from dbt_triton.warehouses.planned_call import PlannedCall
from dbt_triton.warehouses.run_log import failed_rows_query

logger = logging.getLogger("dbt_triton.step")


def run_plan(  # noqa: PLR0913 - what is known of the model
    plan: Plan,
    warehouse: Warehouse,
    *,
    name: str,
    full_refresh: bool = False,
    target: Mapping[str, Any] | None = None,
    log: RunLog | None = None,
    first_call: int = 1,
    keeps: bool = True,
) -> dict[str, Any]:
    """Predict for every call, in order.

    Args:
        plan: the planned statement.
        warehouse: the session of the predicting model.
        name: of the predicting model.
        full_refresh: forget what earlier runs have left in the stores.
        target: the table, where it is made anew as a whole; as the macros pass it.
        log: the run log.
        first_call: the number of the first call in its model.
        keeps: whether the stores outlive the run.

    Returns:
        ``build_sql``, the SELECT of the table; ``clean_up``, statements for after its commit; ``figures``;
        ``warnings``; ``unchanged``, whether the table is that already; ``remember``, what is to be kept for the next
        build to tell.

    Raises:
        ConfigurationError: a model does not fit what is served; found for all models before a row is sent.
        WarehouseError: the warehouse refused to read or write on the way; with its words, and what is kept.
        DbtTritonError: the run ended early, or rows failed; what was predicted stays in the store.
    """
    started = time.perf_counter()
    log = log or RunLog()
    context = RunContext(
        name,
        full_refresh=full_refresh,
        target=target,
        statement=partial(_statement, plan, warehouse.dialect) if len(plan.calls) == 1 else None,
        asks_servers=log.is_written,
        keeps=keeps,
    )
    run = _Run(plan, warehouse, context, log, first_call)
    try:
        for planned in plan.calls:
            with observed_call(planned, warehouse, name) as calling:
                run.predict(planned, calling.end)
    except BaseException:
        run.close(failed=True)
        raise
    run.close(failed=False)
    figures = {
        "rows": run.rows,
        "rows_predicted": run.stats.rows,
        "rows_reused": run.rows_reused,
        "rows_failed": run.rows_failed,
        "requests": run.stats.requests,
        "retries": run.stats.retries,
        "bytes_sent": run.stats.bytes_sent,
        "bytes_received": run.stats.bytes_received,
        "seconds": round(time.perf_counter() - started, 3),
    }
    return {
        "build_sql": plan.statement.render(run.replacements),
        "clean_up": [statement for call in run.calls for statement in call.clean_up],
        "figures": figures,
        "warnings": run.warnings,
        "unchanged": run.unchanged,
        "remember": run.remember,
    }


class _Run:
    """One run of a plan, and what has come of its calls so far."""

    def __init__(self, plan: Plan, warehouse: Warehouse, context: RunContext, log: RunLog, first_call: int) -> None:
        self.unchanged = False
        self.remember: dict[str, str] | None = None
        self.replacements: dict[Span, str] = {}
        self.calls: list[CallRun] = []
        self.stats = RunStats()
        #: Of the inputs of all calls; None where a stub reads them.
        self.rows: int | None = 0
        self.rows_reused = 0
        self.rows_failed = 0
        self._plan = plan
        self._warehouse = warehouse
        self._context = context
        self._log = log
        self._first_call = first_call
        self._bindings: dict[int, Binding] = {}

    def predict(self, planned: PlannedCall, end: CallEnd) -> None:
        """Send what has no prediction yet, and find what replaces the call in the statement.

        Args:
            planned: the call.
            end: takes what comes of it, for those who watch.
        """
        if planned.model.is_stub:
            query = planned.sampled(self._plan.statement.operand_query(planned.call, self.replacements))
            self._replace(planned, self._warehouse.dialect.stubbed(planned, query))
            self.rows = None
            return
        logged, call = self._log.begin(planned, self._first_call + planned.number), None
        try:
            call = self._warehouse.call(planned, self._plan.operand(planned, self.replacements), self._context)
            self.calls.append(call)
            self._carry_out(planned, call, logged, end)
        except BaseException as error:
            logged.failed(error, call)
            raise
        logged.done()

    def _carry_out(self, planned: PlannedCall, call: CallRun, logged: LoggedCall, end: CallEnd) -> None:
        planned, size = self._measured(planned, call, logged)
        end.rows = size.every_row
        if not size.filled:
            # Nothing to send: no server is needed (dbt's --empty, an empty table).
            self._replace(planned, self._warehouse.dialect.check_form(planned, call.rows))
            logged.note_nothing_sent()
            return
        predicted = self._predicted(planned, call, size)
        self._replace(planned, predicted.joined)
        self.stats += predicted.stats
        note_end(end, predicted)
        self.rows_reused += predicted.reused
        self.unchanged, self.remember = predicted.unchanged, predicted.remember
        logged.note_predicted(predicted, call)
        self._judge_failures(planned, call, logged)
        logged.note_profiles(predicted, call, size, in_order=planned.in_order)

    @property
    def warnings(self) -> list[str]:
        """What a user is to know of the models that were asked."""
        asked = [text for binding in self._bindings.values() for text in binding.warnings]
        return list(dict.fromkeys([*asked, *self.stats.notes]))

    def close(self, *, failed: bool) -> None:
        """Free what the run has put into the session."""
        for call in self.calls:
            call.close(failed=failed)

    def _replace(self, planned: PlannedCall, rows: str) -> None:
        """Let the rows of a call take its place, or what is measured of them."""
        self.replacements[planned.call.span] = self._warehouse.dialect.evaluated(planned, rows)

    def _measured(self, planned: PlannedCall, call: CallRun, logged: LoggedCall) -> tuple[PlannedCall, InputSize]:
        """Count the rows that are sent and their bytes; what becomes of NULL there, the server says."""
        size = call.measure(planned)
        logged.measured(size)
        self.rows = None if self.rows is None else self.rows + size.every_row
        if size.any_filled or (size.every_row and planned.nan_values):
            self._bindings = self._bindings or preflight(self._plan, self._warehouse)
            planned = planned.bound_to(self._bindings[planned.number])
            if planned.optional or planned.nan_values:
                size = call.measure(planned)
        logged.bound(self._bindings.get(planned.number))
        return planned, size

    def _predicted(self, planned: PlannedCall, call: CallRun, size: InputSize) -> Predicted:
        """Predict, and say what is kept where that fails."""
        full_refresh = self._context.full_refresh
        try:
            predicted = call.predict(planned, self._bindings[planned.number], size)
        except RunError as error:
            rows = call.rows_with(error.keys, SHOWN_ROWS) if error.keys else []
            text = ended_early(error, planned, rows, full_refresh=full_refresh, keeps=self._context.keeps)
            text += "".join(f"\n  {note}" for note in call.stats.notes if note.partition(";")[0] not in text)
            raise DbtTritonError(text) from error
        except StoppedError as error:
            if not self._context.keeps:
                raise
            # Such as a full disk: the warehouse's words say nothing of what is done already.
            raise WarehouseError(f"{error}\n  {kept(planned, full_refresh=full_refresh)}") from error
        logger.debug("%s: %s", planned.model.name, predicted.stats)
        return predicted

    def _judge_failures(self, planned: PlannedCall, call: CallRun, logged: LoggedCall) -> None:
        """Fail the build for failed rows, or let them pass, as ``on-error`` and ``max-error-ratio`` say."""
        options = planned.model.options
        failed, sent = call.failures()
        self.rows_failed += failed
        if not failed:
            return
        passes = options.on_error == "null" and failed <= options.max_error_ratio * sent
        logged.note_failures(failed, call, partial(self._failed_query, planned, call, passes=passes))
        if passes:
            return
        text = failed_rows(failed, planned, call, of=sent, keeps=self._context.keeps)
        if options.on_error == "null":
            text = f"{failed:,} of {sent:,} rows failed, more than max-error-ratio {options.max_error_ratio}. {text}"
        raise DbtTritonError(text)

    def _failed_query(self, planned: PlannedCall, call: CallRun, *, passes: bool) -> str | None:
        """Return the query for failed rows that works once the build is over; None where there is none."""
        cache = planned.model.options.cache
        if cache == "persistent" or (cache == "run" and not passes):
            return call.every_row() or call.every_reason()
        relation, column = self._log.relation, planned.error_name
        if not passes or relation is None or column is None:
            return None
        names = [name for name, _ in self._warehouse.describe(self._plan.check_sql)]
        return failed_rows_query(relation, self._warehouse.dialect.quote(column)) if column in names else None


def _statement(plan: Plan, dialect: Dialect, rows: str) -> str:
    """Return the whole SELECT of a plan of one call, with some rows in its place."""
    (planned,) = plan.calls
    return plan.statement.render({planned.call.span: dialect.evaluated(planned, rows)})
