"""What becomes of a request that failed: pieces to send in its place, a suspect, failed rows, or the end of the run."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import replace

from dbt_triton.engine.breaker import BREAKER_FAILURES, Breaker
from dbt_triton.engine.handover import HandOver
from dbt_triton.engine.outcomes import TOO_LARGE, FailedRows, RunError, is_about_rows, not_the_batch
from dbt_triton.engine.source import Request
from dbt_triton.errors import AnswerError, AnswerTooLongError, InferenceError, PaddedAxisError, Reason, RowCountError
from dbt_triton.instrumentation import event, reason_word
from dbt_triton.options import Options

logger = logging.getLogger("dbt_triton.engine")

#: A row that was sent alone since a count differed is sent so often again: the way to the server may be at fault.
_RECOUNTS = 3
#: One row with several answers may be a row that the model cannot bear.
_PROVEN_BY_ROWS = 2
_TOO_LARGE_IN_A_ROW = 3


class FailedRequests:
    """Decides what becomes of the failed requests of one run.

    Args:
        options: of the model.
        batch_size: rows a request.
        shared_batches: whether the server may run several requests at once as one batch.
        in_order: whether the requests are the steps of one sequence.
        breaker: of the run.
        results: where failed rows go.
        end: ends the run early.
    """

    def __init__(  # noqa: PLR0913 - the parts of one run
        self,
        options: Options,
        *,
        batch_size: int,
        shared_batches: bool,
        in_order: bool,
        breaker: Breaker,
        results: HandOver,
        end: Callable[[InferenceError], None],
    ) -> None:
        self._batch_dim = options.batch_dim
        self._batch_size = batch_size
        self._shared_batches = shared_batches
        self._in_order = in_order
        self._breaker = breaker
        self._results = results
        self._end = end
        #: Requests that failed perhaps for the sake of others.
        self.suspects: deque[Request] = deque()
        #: Rows a request. Fewer than the batch size once the server, or the bound of an answer, does not bear it.
        self.most_rows = batch_size
        self._too_large = self._unfit_rows = 0
        #: How many rows that were sent alone had several answers each.
        self.rows_of_several_answers = 0

    def note_answered(self, rows: int) -> None:
        """Note a request of so many rows that was answered well."""
        self._too_large *= rows < self.most_rows

    def judge(self, request: Request, error: InferenceError, *, alone: bool = False) -> list[Request]:
        """Decide what becomes of a failed request. Returns the requests to send in its place."""
        suspect = error.reason == Reason.MODEL_ERROR and self._shared_batches and not alone
        fatal: InferenceError | None = error
        if isinstance(error, RowCountError):
            told = self._miscounted(request, error)
            if told is not None:
                return told
        if isinstance(error, PaddedAxisError):
            self._end(RunError(error, request.request_keys, no_answer_counts=True))
            return []
        if is_about_rows(error) and not self._in_order:
            fatal = None if suspect else self._breaker.failure(error)
        if fatal is not None:
            if error.reason != Reason.STOPPED:
                self._end(RunError(fatal, request.request_keys))
            return []
        if suspect:
            self._breaker.alive()
            self.suspects.append(request)
            return []
        if request.rows > 1:
            if isinstance(error, AnswerTooLongError) or error.status == TOO_LARGE:
                self._note_too_large(request.rows, error)
            event("request.split", rows=request.rows, reason=reason_word(error.reason))
            # Half of the rows may have the right number of answers by chance; one row has its own.
            return request.pieces(1) if isinstance(error, RowCountError) else request.halves()
        has_several = isinstance(error, RowCountError) and error.more and self._batch_size > 1
        failure = not_the_batch(error, batch_dim=False) if has_several else error
        self._results.fail(FailedRows(request.request_keys, failure))
        return []

    def _miscounted(self, request: Request, error: RowCountError) -> list[Request] | None:
        """Decide what becomes of an answer with another number of rows; None where it is one like any other.

        With ``batch-dim``, and where two rows have several answers each although they are sent alone, the first axis
        counts something else. Then answers of as many rows as were sent may have been so by chance, and none of the
        call's is believed.
        """
        batch_dim = self._batch_dim
        if not batch_dim:
            if request.rows > 1 or self._batch_size == 1:
                return None
            if request.recounts < _RECOUNTS:
                return [replace(request, recounts=request.recounts + 1)]
            self.rows_of_several_answers += error.more
            if not error.more or self.rows_of_several_answers < _PROVEN_BY_ROWS:
                return None
        fatal = not_the_batch(error, batch_dim=batch_dim)
        self._end(RunError(fatal, request.request_keys, no_answer_counts=True))
        return []

    def _note_too_large(self, rows: int, error: InferenceError) -> None:
        """Send smaller requests once whole ones are too large in a row: the others would be computed twice as well.

        One alone may be so for the sake of one long row.
        """
        self._too_large += rows == self.most_rows
        if self._too_large == _TOO_LARGE_IN_A_ROW:
            self.most_rows, self._too_large = rows // 2, 0
            # Our own words; the server's may quote a row.
            said = error.message if isinstance(error, AnswerTooLongError) else "the request is too large (413)"
            logger.warning("%s. From now on a request has %d row(s); 'batch-size' sets it", said, rows // 2)

    def undecodable(self, request: Request, error: AnswerError) -> None:
        """Send a request again whose answer cannot be decoded, alone or in parts."""
        self.suspects.extend(self.judge(request, error, alone=True))

    def note_unfit(self, unfit: list[FailedRows], fit_rows: int) -> None:
        """End the run where no row's text is what OUTPUT declares: each of the others would be paid for in vain."""
        self._unfit_rows = 0 if fit_rows else self._unfit_rows + sum(len(one.keys[0]) for one in unfit)
        if self._unfit_rows >= BREAKER_FAILURES and unfit:
            error = unfit[-1].error
            said = f"{self._unfit_rows} rows in a row failed by their text, and none was well, so the run ends here"
            fatal = InferenceError(f"{said}; the last error: {error.message}", reason=error.reason)
            self._end(RunError(fatal, unfit[-1].keys))
