"""How a row of the run log ended, by what was raised or by what dbt says of its node."""

from __future__ import annotations

import re

from dbt_triton.foreign_text import harmless
from dbt_triton.run_log.columns import FAILED, INTERRUPTED, SUCCEEDED
from dbt_triton.warehouses import WarehouseError

_INTERRUPTED = re.compile(r"INTERRUPT Error|the run was interrupted|^Interrupted!?$")
#: The first line of dbt's own messages names the model, which the row does already.
_HEADING = re.compile(r"^(Exception on worker thread\. )?\w+ Error( in \S+ .*\))?\s*$")
#: A Python model ends with a traceback, of which the last error says why.
_TRACEBACK = "Python model failed:"
_RAISED = re.compile(r"^(?:\w+\.)*\w*(?:Error|Exception|Interrupt)\b.*")
_ERROR_LENGTH = 500


def of_dbt(status: str, message: str) -> tuple[str, str | None]:
    """Return the outcome of a node, and the first line that says why."""
    if status.lower() in {"success", "pass", "partial success"}:
        return SUCCEEDED, None
    lines = [line.strip() for line in message.splitlines()]
    if _TRACEBACK in lines:
        lines = [line for line in lines if _RAISED.match(line) and not _HEADING.match(line)][-1:] or lines
    text = next((line for line in lines if line and not _HEADING.match(line)), status)
    interrupted = bool(_INTERRUPTED.search(message)) or "KeyboardInterrupt" in message
    return (INTERRUPTED if interrupted else FAILED), _shortened(text)


def outcome_of(error: BaseException) -> str:
    """Return the outcome of a call that raised something."""
    if isinstance(error, KeyboardInterrupt | SystemExit):
        return INTERRUPTED
    return INTERRUPTED if isinstance(error, WarehouseError) and _INTERRUPTED.search(str(error)) else FAILED


def first_line(error: BaseException) -> str:
    """Return what an error says in one line, harmless and not too long."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else type(error).__name__
    if text.endswith(":") and len(lines) > 1:  # problems follow, one a line
        text = f"{text} {lines[1].removeprefix('- ')}"
    return _shortened(text)


def _shortened(text: str) -> str:
    text = harmless(text)
    return text if len(text) <= _ERROR_LENGTH else text[:_ERROR_LENGTH] + "…"
