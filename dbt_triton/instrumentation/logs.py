"""Our log on standard error: lines of words, or with ``DBT_TRITON_LOG_FORMAT=json`` an object of JSON a line.

Nothing goes to standard output: orchestrators read dbt's own events there.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from dbt_triton.foreign_text import harmless
from dbt_triton.instrumentation.place import place
from dbt_triton.instrumentation.variables import FORMAT, LEVEL, tell_unknown_values, value_of

#: The field of a record that holds numbers of its own, which become keys of the object.
FIELDS = "dbt_triton_fields"
#: Of a text in a line of JSON, in characters. In ASCII each may take twelve, and collectors take lines of 256 KB.
_LENGTH = 20_000
logger = logging.getLogger("dbt_triton")


def wants_json() -> bool:
    """Tell whether every line is to be an object of JSON."""
    return value_of(FORMAT) == "json"


def configure_logging(*, debug: bool = False) -> None:
    """Show our log on standard error.

    ``DBT_TRITON_LOG`` says from which level on, or dbt's ``--debug``. As lines of words it is shown only where one of
    them asks for it; as JSON, warnings are always, so that no other line is among them. A variable that has a value
    which it cannot have is told in a warning.

    Args:
        debug: whether dbt was called with ``--debug``.
    """
    _configure(debug=debug)
    tell_unknown_values()


def _configure(*, debug: bool) -> None:
    is_json = wants_json()
    level = value_of(LEVEL) or ("debug" if debug else "")
    if not level:
        if not is_json:
            return
        level = "warning"
    logger.setLevel(level.upper())
    handler = next((one for one in logger.handlers if isinstance(one, OurHandler)), None)
    if handler is None and logger.handlers:
        return  # whoever has set one wants to see it there
    if handler is None:
        handler = OurHandler()
        logger.addHandler(handler)
        logger.propagate = False
    handler.setFormatter(JsonFormatter() if is_json else _words())


class OurHandler(logging.StreamHandler[Any]):
    """Writes to standard error, whatever that is by now: in one process, dbt runs again and again."""

    def __init__(self) -> None:
        super().__init__(sys.stderr)

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record; where nobody reads any more, that is no reason to end a run."""
        if self.stream is not sys.stderr and sys.stderr is not None:
            self.setStream(sys.stderr)
        super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's own name
        """Say nothing where standard error is closed; else what logging says."""
        if not isinstance(sys.exc_info()[1], OSError | ValueError):
            super().handleError(record)


class JsonFormatter(logging.Formatter):
    """Makes one object of JSON of a record, in ASCII: no text breaks a line, whatever the encoding of the stream is."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the object."""
        found: dict[str, Any] = {
            "time": _time(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        here = place()
        known = {"node": here.node, "invocation_id": here.invocation_id, "model": here.model, **_span()}
        found |= {name: value for name, value in known.items() if value}
        fields: Mapping[str, Any] | None = getattr(record, FIELDS, None)
        found |= {name: value for name, value in (fields or {}).items() if name not in found}
        if record.exc_info and record.exc_info[0] is not None:
            found["exception"] = harmless(self.formatException(record.exc_info))
        return json.dumps({name: _fit(value) for name, value in found.items()}, default=str)


def _fit(value: object) -> object:
    """Return a text as every reader takes it: without halves of characters, and no longer than `_LENGTH`."""
    if not isinstance(value, str):
        return value
    cut = value if len(value) <= _LENGTH else f"{value[:_LENGTH]}…"
    return cut.encode(errors="backslashreplace").decode()


def _words() -> logging.Formatter:
    return logging.Formatter("%(asctime)s %(name)s %(levelname)s %(message)s")


def _time(seconds: float) -> str:
    """Write a time as RFC 3339 does, in UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _span() -> dict[str, str]:
    """Return the ids of the span that is the current one; OpenTelemetry is asked only where it is loaded."""
    trace = sys.modules.get("opentelemetry.trace")
    if trace is None:
        return {}
    try:
        context = trace.get_current_span().get_span_context()
    except Exception:  # noqa: BLE001 - it is being imported by another thread
        return {}
    if not context.is_valid:
        return {}
    return {"trace_id": format(context.trace_id, "032x"), "span_id": format(context.span_id, "016x")}
