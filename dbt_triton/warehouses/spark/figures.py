"""What a task has counted and seen, as one row of the store: so only what was committed is counted.

An error that must end the run is a figure, too. A task that raised would be sent again by Spark, several times, and
each time it would send its rows again.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self

import pyarrow as pa

from dbt_triton.client.latencies import Latencies
from dbt_triton.engine import RunError, RunStats
from dbt_triton.engine.outcomes import not_the_batch
from dbt_triton.errors import AnswerError, ConfigurationError, DbtTritonError, InferenceError, Reason
from dbt_triton.tensors.trim import SeenAxis, Trimmer

#: The keys of a request that met an error; more would make the row long.
_MOST_KEYS = 4096
#: As many as end a run in one process: one row with several answers may be a row that the model cannot bear.
_PROVEN_BY_ROWS = 2


@dataclass
class Figures:
    """What one task has counted and seen.

    Args:
        number: of the task.
        stats: its rows, requests and bytes.
        several: rows that were sent alone and had several answers.
        seen: what answers said of padded axes.
        stopped: whether it stopped early for the sake of another task.
        error: why the run must end; None where it need not.
    """

    number: int
    stats: RunStats = field(default_factory=RunStats)
    several: int = 0
    seen: Sequence[SeenAxis] = ()
    stopped: bool = False
    error: DbtTritonError | None = None

    def to_json(self) -> str:
        """Write it as JSON."""
        return json.dumps(
            {
                "number": self.number,
                "stats": {**asdict(self.stats), "latencies": self.stats.latencies.to_json()},
                "several": self.several,
                "seen": [[one.output, one.axis, one.may_be, one.was_cut] for one in self.seen],
                "stopped": self.stopped,
                "error": None if self.error is None else _of_error(self.error),
            }
        )

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote."""
        said = json.loads(text)
        seen = [
            SeenAxis(output, axis, tuple((column, level) for column, level in may_be), was_cut)
            for output, axis, may_be, was_cut in said["seen"]
        ]
        error = None if said["error"] is None else _error_of(said["error"])
        counted = said["stats"]
        latencies, notes = Latencies.from_json(counted["latencies"]), tuple(counted["notes"])
        stats = RunStats(**{**counted, "latencies": latencies, "notes": notes})
        return cls(said["number"], stats, said["several"], seen, said["stopped"], error)


class Findings:
    """What the tasks of a run have found together, wave by wave.

    Args:
        trimmer: knows which axes may be padding.
    """

    def __init__(self, trimmer: Trimmer) -> None:
        self.stats = RunStats()
        self._trimmer = trimmer
        self._several = 0
        self._seen: list[SeenAxis] = []

    @property
    def seen(self) -> tuple[SeenAxis, ...]:
        """What all tasks so far leave of padded axes, for the next ones."""
        return tuple(self._trimmer.seen())

    def add(self, figures: Sequence[Figures]) -> None:
        """Add what the tasks of a wave say.

        Raises:
            RunError: the run must end, as it would in one process.
            ConfigurationError: the tasks cannot send anything.
        """
        for one in figures:
            self.stats += one.stats
            self._several += one.several
            self._seen += one.seen
        # That of the last wave, whose tasks share what all of them may have in flight.
        self.stats.limit = sum(one.stats.limit for one in figures) or self.stats.limit
        errors = [one.error for one in figures if one.error is not None]
        if errors:
            raise min(errors, key=_rank)
        contradiction = self._trimmer.contradiction(self._seen)
        if contradiction is not None:
            raise RunError(contradiction, [], no_answer_counts=True)
        if self._several >= _PROVEN_BY_ROWS:
            said = AnswerError(f"{self._several} rows had several answers each although they were sent alone")
            raise RunError(not_the_batch(said, batch_dim=False), [], no_answer_counts=True)


def _rank(error: DbtTritonError) -> int:
    """Order errors: what says most comes first."""
    if isinstance(error, RunError):
        if error.no_answer_counts:
            return 0
        return {Reason.REJECTED: 2, Reason.STOPPED: 4}.get(error.reason, 3)
    return 1


def _of_error(error: DbtTritonError) -> dict[str, Any]:
    if isinstance(error, ConfigurationError):
        return {"problems": error.problems, "subject": error.subject}
    if not isinstance(error, InferenceError):
        return {"problems": [str(error)], "subject": "ML_PREDICT"}
    keys = error.keys[0][:_MOST_KEYS] if isinstance(error, RunError) and error.keys else []
    return {
        "message": error.message,
        "reason": error.reason.value,
        "status": error.status,
        "attempts": error.attempts,
        "keys": [key.as_py().hex() for key in keys],
        "no_answer_counts": isinstance(error, RunError) and error.no_answer_counts,
    }


def _error_of(said: dict[str, Any]) -> DbtTritonError:
    if "problems" in said:
        return ConfigurationError(said["problems"], said["subject"])
    error = InferenceError(
        said["message"], reason=Reason(said["reason"]), status=said["status"], attempts=said["attempts"]
    )
    keys = pa.array([bytes.fromhex(key) for key in said["keys"]], pa.binary())
    return RunError(error, [keys] if len(keys) else [], no_answer_counts=said["no_answer_counts"])
