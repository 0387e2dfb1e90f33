"""What dbt calls of this package by itself: a plugin that lets dbt run Python where it would not.

On dbt-spark, that is the session that it has; on dbt-duckdb, `dbt show`. dbt makes a plugin at each start, on every
warehouse, after it has imported the adapter of the profile. Whatever fails here is left for who needs it to say.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from contextlib import suppress
from datetime import UTC
from types import FrameType
from typing import Any

from dbt.plugins.manager import dbtPlugin

from dbt_triton.instrumentation import setup
from dbt_triton.instrumentation.invocation import Invocation

#: The ``submission_method`` of Python models that run on dbt-spark's own session.
SUBMISSION_METHOD = "dbt_triton"
#: The method of dbt-duckdb's adapter for `dbt show`.
SHOW = "dbt_triton_show"


class DbtTritonPlugin(dbtPlugin):
    """Registers what dbt's adapters call of ours, and tells who watches of the command."""

    def initialize(self) -> None:
        """Register it; called by dbt, once for each command."""
        with suppress(Exception):  # a dbt that is another one inside: nobody is told of its command
            note_invocation()
        on_duckdb = sys.modules.get("dbt.adapters.duckdb.impl")
        if on_duckdb is not None:
            with suppress(Exception):  # another dbt-duckdb; the macro says that nothing can be shown
                let_show(on_duckdb.DuckDBAdapter)
        adapter = sys.modules.get("dbt.adapters.spark.impl")
        if adapter is not None:
            with suppress(Exception):  # another dbt-spark, which says that it knows no such submission method
                register(adapter.SparkAdapter)
                cancel_by_sigterm()


plugins = [DbtTritonPlugin]


def register(adapter: type) -> None:
    """Add the submission method to an adapter's, once.

    Args:
        adapter: dbt-spark's class, whose property ``python_submission_helpers`` has them by name.
    """
    theirs = vars(adapter)["python_submission_helpers"].fget
    if hasattr(theirs, "of_dbt_triton"):
        return

    def helpers(self: object) -> dict[str, Any]:
        return {**theirs(self), SUBMISSION_METHOD: job_helper}

    vars(helpers)["of_dbt_triton"] = True
    adapter.python_submission_helpers = property(helpers)  # type: ignore[attr-defined]


def job_helper(parsed_model: dict[str, Any], credentials: object) -> object:
    """Return the job helper of a model; dbt-spark calls this as it calls the classes of its own ones."""
    from dbt_triton.warehouses.spark.submission import SessionJobHelper  # noqa: PLC0415 - for a model that runs

    return SessionJobHelper(parsed_model, credentials)


def let_show(adapter: Any) -> None:  # noqa: ANN401 - dbt-duckdb's class
    """Let macros call the step of `dbt show`, which no materialization runs; once."""
    if SHOW not in adapter._available_:  # which macros may call, by a rule of dbt
        setattr(adapter, SHOW, _show)
        adapter._available_ = adapter._available_ | {SHOW}


def _show(adapter: Any, arguments: dict[str, Any]) -> dict[str, str]:  # noqa: ANN401 - as above
    from dbt_triton.adhoc.show import show  # noqa: PLC0415 - for the command that needs it

    return show(arguments, adapter.connections.get_thread_connection().handle.cursor())


def note_invocation() -> None:
    """Note which command of dbt runs, and where somebody watches, when it ends.

    What is of dbt's common library is found without an import: dbt has loaded it.
    """
    common, managers = (sys.modules[f"dbt_common.{name}"] for name in ("invocation", "events.event_manager_client"))
    context = sys.modules.get("opentelemetry.context")
    started = common.get_invocation_started_at().replace(tzinfo=UTC)
    invocation = Invocation(
        common.get_invocation_id(),
        _command(),
        int(started.timestamp() * 1e9),
        _node,
        None if context is None else context.get_current(),
    )
    invocation.begin()
    if not setup.may_be_wanted():
        return

    def noted(message: Any) -> None:  # noqa: ANN401 - an event of dbt's
        if message.info.name == "CommandCompleted":
            with suppress(Exception):
                setup.invocation_ended(invocation.id, succeeded=bool(message.data.success))
            invocation.end()

    managers.add_callback_to_manager(noted)


def _command() -> str:
    """Return the command of dbt that runs, such as ``build``."""
    flags = sys.modules.get("dbt.flags")
    found = None if flags is None else getattr(flags.get_flags(), "WHICH", None)
    return str(found or "")


def _node() -> str:
    """Return the unique id of the node that the thread which asks works at."""
    variables = sys.modules.get("dbt_common.events.contextvars")
    found = {} if variables is None else variables.get_node_info()
    return str(found.get("unique_id") or "")


def cancel_by_sigterm() -> None:
    """Let SIGTERM end dbt as Ctrl-C does while a step runs on Spark, so that its jobs are cancelled.

    Otherwise, and where somebody handles the signal already, it does what it did.
    """
    is_main = threading.current_thread() is threading.main_thread()
    if is_main and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _terminated)


def _terminated(number: int, _frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # a second one ends the process at once
    jobs = sys.modules.get("dbt_triton.warehouses.spark.jobs")
    if jobs is None or not jobs.steps_running():
        os.kill(os.getpid(), number)
    raise SystemExit(128 + number)  # dbt cancels its connections, and waits for its threads
