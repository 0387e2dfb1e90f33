"""What comes of rows: predictions, failed rows, or the end of the run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa

from dbt_triton.errors import PERMANENT_REASONS, ROW_REASONS, InferenceError

#: HTTP's Content Too Large.
TOO_LARGE = 413


@dataclass(frozen=True)
class FailedRows:
    """Rows that were refused alone, and why. ``keys`` are the key columns, ``error`` is the same for all of them."""

    keys: list[pa.Array]
    error: InferenceError

    @property
    def permanent(self) -> bool:
        """Whether the rows would fail again."""
        return self.error.reason in PERMANENT_REASONS


class RunError(InferenceError):
    """The run ended early, for no row's fault.

    Args:
        error: what ended it.
        keys: the key columns of the rows that met it.
        no_answer_counts: whether what was answered before cannot be believed either.
    """

    def __init__(self, error: InferenceError, keys: list[pa.Array], *, no_answer_counts: bool = False) -> None:
        super().__init__(error.message, reason=error.reason, status=error.status, attempts=error.attempts)
        self.keys = keys
        self.no_answer_counts = no_answer_counts


class Sink(Protocol):
    """Takes what comes of rows, in a thread of its own."""

    def predictions(self, keys: list[pa.Array], outputs: list[pa.Array]) -> None:
        """Take a chunk of predictions: the key columns, and the outputs in the order of OUTPUT."""
        ...

    def failures(self, failed: Sequence[FailedRows]) -> None:
        """Take failed rows."""
        ...


def is_about_rows(error: InferenceError) -> bool:
    """Tell whether a smaller request may succeed where this one failed."""
    return error.reason in ROW_REASONS


def not_the_batch(error: InferenceError, *, batch_dim: bool) -> InferenceError:
    """Return the error of a model whose first axis counts something else than rows, with what to do.

    Args:
        error: what its answer was.
        batch_dim: whether it has no max_batch_size.
    """
    one_row = "Leave 'batch-dim' out" if batch_dim else "Serve the model with max_batch_size 0"
    return InferenceError(
        f"{error.message}: its first axis is not the batch, but seems to count something else, such as detections, so "
        f"that no row can be told its own. {one_row}, which sends one row a request, and declare the axis as an array, "
        "such as FLOAT[7][]",
        reason=error.reason,
        status=error.status,
    )
