"""The variables of the environment that choose among words, and what is said of a value that is none of them."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence

from dbt_triton.foreign_text import NAME_LENGTH, shown
from dbt_triton.standard_streams import tell

LEVEL, FORMAT = "DBT_TRITON_LOG", "DBT_TRITON_LOG_FORMAT"
PROGRESS, OPENTELEMETRY = "DBT_TRITON_PROGRESS", "DBT_TRITON_OPENTELEMETRY"
YES, NO = ("true", "1", "yes", "on"), ("false", "0", "no", "off")
#: What each may be; one that is not set, or blank, is as if it were not there.
KNOWN: Mapping[str, Sequence[str]] = {
    LEVEL: ("debug", "info", "warning"),
    FORMAT: ("json", "text"),
    PROGRESS: ("auto", "bar", "plain", "off"),
    OPENTELEMETRY: (*YES, *NO),
}
logger = logging.getLogger("dbt_triton")
_told: set[tuple[str, str]] = set()


def value_of(name: str) -> str:
    """Return what a variable is, in small letters; empty where it is not set, or none of what it may be."""
    value = _said(name)
    return value if value in KNOWN[name] else ""


def tell_unknown_values() -> None:
    """Warn of each variable that has another value than it may have, once in a process."""
    for name, known in KNOWN.items():
        value = _said(name)
        if value and value not in known and (name, value) not in _told:
            _told.add((name, value))
            words = f"{', '.join(known[:-1])} or {known[-1]}"
            text = f"{name} is {shown(value, NAME_LENGTH)}, which is left aside; write {words}"
            # Where nobody listens, dbt swallows warnings.
            if logger.handlers:
                logger.warning("%s", text)
            else:
                tell(f"dbt-triton: {text}")


def _said(name: str) -> str:
    return os.environ.get(name, "").strip().lower()
