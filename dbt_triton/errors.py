"""The exceptions of dbt-triton: one tree, whose root a caller can catch."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from dbt_triton.foreign_text import shown

#: A sentence of ours and a text of the server within it.
_MESSAGE_LENGTH = 1000
#: A text tells so many problems.
MOST_TOLD = 25


class DbtTritonError(Exception):
    """The root of every error that dbt-triton raises on purpose.

    The text says what happened, where, and what to do next. It never holds a secret.
    """


class ServeError(DbtTritonError):
    """A local Triton server could not be started."""


class SqlSyntaxError(DbtTritonError):
    """A CREATE MODEL or ML_PREDICT that does not follow the grammar.

    Args:
        message: what was found and what was expected.
        line: the line of the statement, counted from 1.
    """

    def __init__(self, message: str, line: int) -> None:
        super().__init__(f"line {line}: {message}")
        self.line = line


class ConfigurationError(DbtTritonError):
    """Options or a schema that cannot be used; holds every problem found, not only the first.

    Args:
        problems: one sentence each. The text has the first of them; a model may have thousands of columns.
        subject: what they are about, such as ``inference model "m"``.
    """

    def __init__(self, problems: Sequence[str], subject: str) -> None:
        self.problems = list(problems)
        self.subject = subject
        super().__init__("\n".join([f"{subject}:", *(f"  - {problem}" for problem in told_problems(self.problems))]))


def told_problems(problems: Sequence[str]) -> list[str]:
    """Return the problems that a text has room for, and how many more there are."""
    more = len(problems) - MOST_TOLD
    return [*problems[:MOST_TOLD], *([f"and {more:,} more problems like these"] if more > 0 else [])]


class Reason(StrEnum):
    """Why a request failed for good, which decides what happens to its rows."""

    #: The request itself was refused (400, 413, 422): some row of it is bad.
    REFUSED = "refused"
    #: The model raised an exception (500): perhaps for some row of the same dynamic batch.
    MODEL_ERROR = "model error"
    #: Status 200, and not what was asked for: the model is to blame, and may be mended under the same version.
    WRONG_ANSWER = "wrong answer"
    #: The text of the answer is not the JSON that OUTPUT declares. The prompt was paid for, and would be again.
    UNFIT_TEXT = "unfit text"
    #: No answer in time, after every retry.
    TIMEOUT = "timeout"
    #: The server cannot be reached, sheds load, or has not loaded the model; no row is to blame, and it may pass.
    UNAVAILABLE = "unavailable"
    #: The server does not take the token, the path or the protocol (401, 403, 501): it would say so of any request.
    REJECTED = "rejected"
    #: Not sent, since the run is ending.
    STOPPED = "stopped"


#: A row that failed alone for one of these would fail again: it is not sent again by the next run.
PERMANENT_REASONS = frozenset({Reason.REFUSED, Reason.MODEL_ERROR, Reason.UNFIT_TEXT})
#: A request that failed for one of these is split until only the bad rows are left.
ROW_REASONS = frozenset({Reason.REFUSED, Reason.MODEL_ERROR, Reason.WRONG_ANSWER, Reason.TIMEOUT})


class InferenceError(DbtTritonError):
    """A request that was answered with an error, or not at all, and will not be sent again as it is.

    What a server says, in its words or in the names and values of its answer, comes to people by this error alone, so
    its text is masked and made harmless here, whoever wrote it.

    Args:
        message: the server's own words where it said something.
        reason: what kind of failure it is.
        status: the HTTP status, or None when no answer came.
        attempts: how often the request was sent.
    """

    def __init__(
        self,
        message: str,
        *,
        reason: Reason = Reason.UNAVAILABLE,
        status: int | None = None,
        attempts: int = 1,
    ) -> None:
        self.message = shown(message, _MESSAGE_LENGTH)
        super().__init__(self.message)
        self.reason = reason
        self.status = status
        self.attempts = attempts
        #: Whether it surely did not reach the server.
        self.not_sent = False
        #: Whether another attempt may mend it.
        self.may_pass = False

    def say_of(self, whom: str) -> None:
        """Put before the text whom it is about."""
        self.message = shown(f"{whom}: {self.message}", _MESSAGE_LENGTH)
        self.args = (self.message,)


class AnswerError(InferenceError):
    """An answer with status 200 that is not what was asked for: names, datatypes, shapes or row counts."""

    def __init__(self, message: str, *, status: int | None = 200, attempts: int = 1) -> None:
        super().__init__(message, reason=Reason.WRONG_ANSWER, status=status, attempts=attempts)


class AnswerTooLongError(AnswerError):
    """An answer that is longer than ``max-response-bytes``, which a request of fewer rows may not be."""


class RowCountError(AnswerError):
    """An answer with more or fewer rows than were sent: which is whose cannot be told by their number.

    Args:
        more: whether there are more, which no model answers whose first axis is the batch.
    """

    def __init__(self, message: str, *, more: bool = False) -> None:
        super().__init__(message)
        self.more = more


class PaddedAxisError(AnswerError):
    """An answer by which outputs that were cut to the lengths of rows, or would be, are not what they seemed to be."""
