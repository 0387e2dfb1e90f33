"""The Spark jobs of one step: they have a tag of their own, by which they are cancelled and nothing else is.

All threads of dbt share one Spark session, and a tag belongs to the thread that has set it.
"""

from __future__ import annotations

import atexit
import hashlib
import threading
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from dbt_triton.warehouses.spark.spark_words import quietly

_NODE_LENGTH = 12
_CANCEL_SECONDS = 0.5


def node_of(unique_id: str) -> str:
    """Return a short name of a dbt node that is safe within names of views and tags."""
    return hashlib.md5(unique_id.encode(), usedforsecurity=False).hexdigest()[:_NODE_LENGTH]


def node_of_arguments(arguments: Mapping[str, Any]) -> str:
    """Return the name of the node that a step's arguments are of."""
    return node_of(str(arguments.get("unique_id") or arguments.get("name") or ""))


def tag_of(node: str) -> str:
    """Return the tag of the jobs of a node."""
    return f"dbt_triton_{node}"


def is_connect(spark: Any) -> bool:
    """Tell whether a session is one of Spark Connect, which has no SparkContext."""
    return type(spark).__module__.startswith("pyspark.sql.connect")


class Jobs:
    """The jobs of one step.

    Args:
        spark: the session.
        tag: of the jobs.
    """

    def __init__(self, spark: Any, tag: str) -> None:
        self._spark = spark
        self.tag = tag
        self._interrupted = threading.Event()
        self._over = threading.Event()
        self._when_over: list[Callable[[], None]] = []

    @property
    def interrupted(self) -> bool:
        """Whether the step is to end: no job is begun any more."""
        return self._interrupted.is_set()

    @contextmanager
    def tagged(self) -> Generator[None]:
        """Give the jobs that this thread starts in the block the tag."""
        add, remove = self._of_thread()
        add(self.tag)
        try:
            yield
        finally:
            with suppress(Exception):  # Spark may be gone, and what the block raised says more
                remove(self.tag)

    def cancel(self) -> None:
        """Cancel the jobs that run, and begin no other; called from any thread."""
        if self._interrupted.is_set():
            return
        self._interrupted.set()
        # By a thread of its own: a call of this one may have been broken off in the middle, and Spark may be gone.
        threading.Thread(target=self._cancel_until_over, daemon=True).start()

    def end(self) -> None:
        """Say that the step is over, and do what was to wait for that."""
        self._over.set()
        while self._when_over:
            self._when_over.pop()()

    def when_over(self, act: Callable[[], None]) -> None:
        """Let something be done once the step is over; where none is under way, when the process ends."""
        if _CURRENT.jobs is self:
            self._when_over.append(act)
        else:
            atexit.register(act)

    def _of_thread(self) -> tuple[Any, Any]:
        """Return what sets the tag for this thread, and what takes it away again.

        A classic session has tags, too, but what one thread has tagged there another one cannot interrupt (Spark 4.3).
        """
        if is_connect(self._spark):
            return self._spark.addTag, self._spark.removeTag
        context = self._spark.sparkContext
        if hasattr(context, "addJobTag"):
            return context.addJobTag, context.removeJobTag
        return (
            lambda tag: context.setJobGroup(tag, "dbt-triton", interruptOnCancel=False),
            lambda _: context.setLocalProperty("spark.jobGroup.id", None),
        )

    def _cancel_until_over(self) -> None:
        """Cancel again and again: a job that was about to begin is none yet, and Spark cancels only those that run."""
        while True:
            with suppress(Exception):  # Spark may be gone, and its jobs with it
                self._cancel_running()
            if self._over.wait(_CANCEL_SECONDS):
                return

    def _cancel_running(self) -> None:
        if is_connect(self._spark):
            self._spark.interruptTag(self.tag)
        elif hasattr(self._spark.sparkContext, "cancelJobsWithTag"):
            self._spark.sparkContext.cancelJobsWithTag(self.tag)
        else:
            self._spark.sparkContext.cancelJobGroup(self.tag)


class _Current(threading.local):
    """The step of a thread."""

    jobs: Jobs | None = None


_CURRENT = _Current()
_RUNNING: dict[str, Jobs] = {}
_LOCK = threading.Lock()


@contextmanager
def running(spark: Any, node: str) -> Generator[Jobs]:
    """Run the step of a node in this thread: its jobs are tagged, and are cancelled where the block is left by Ctrl-C.

    Args:
        spark: the session.
        node: as `node_of` names it.
    """
    jobs = Jobs(spark, tag_of(node))
    with _LOCK:
        _RUNNING[node] = jobs
    before, _CURRENT.jobs = _CURRENT.jobs, jobs
    try:
        with jobs.tagged(), quietly():
            yield jobs
    except (KeyboardInterrupt, SystemExit):
        jobs.cancel()
        raise
    finally:
        jobs.end()
        _CURRENT.jobs = before
        with _LOCK:
            if _RUNNING.get(node) is jobs:
                del _RUNNING[node]


def jobs_of(spark: Any, node: str) -> Jobs:
    """Return the jobs of the step of this thread, or of the node's; new ones where none runs, as in a plain script."""
    if _CURRENT.jobs is not None:
        return _CURRENT.jobs
    with _LOCK:
        return _RUNNING.get(node) or Jobs(spark, tag_of(node))


def steps_running() -> int:
    """Return how many steps run in this process."""
    return len(_RUNNING)
