r"""The events of a ``generate_stream``: JSON objects, each after ``data: ``, with a blank line behind it.

Events are told apart by their bytes. A splitter of lines that knows Unicode would end one at U+2028, which Triton sends
as it is (2.51, measured). JSON has no bare line break, so that ``\n\n`` is always the end of an event.
"""

from __future__ import annotations

import json
import re
from typing import Any

import orjson

from dbt_triton.errors import AnswerError
from dbt_triton.foreign_text import shown, shown_value

Event = dict[str, Any]

_START = b"data: "
_END = b"\n\n"
#: Far more than a model says one by one.
_MAX_EVENTS = 2**20
#: Lines of an event stream that hold no data.
_OTHER_LINES = (b":", b"event:", b"id:", b"retry:")
#: What Triton says of an answer beside the model's outputs; the last ones are an ensemble's.
ENVELOPE = frozenset(
    {"id", "model_name", "model_version", "sequence_id", "sequence_start", "sequence_end", "triton_final_response"}
)
_NO_FINITE = re.compile(rb"[:\[,]\s*-?(?:NaN|Inf)")
_SHOWN = 80


def read_events(content: bytes) -> list[Event]:
    """Read the events of an answer.

    Args:
        content: the whole body; also a JSON object by itself, which a gateway may make of a single event.

    Raises:
        AnswerError: it is no stream of events, or one of them is no JSON object.
    """
    if content.startswith(_START) and content.find(_END) == len(content) - len(_END):
        return [_event(content[len(_START) : -len(_END)])]  # as nearly every answer is
    if content.lstrip()[:1] == b"{":
        return [_event(content)]
    if b"\r" in content:
        content = content.replace(b"\r\n", b"\n")
    if content.count(_END) > _MAX_EVENTS:
        raise AnswerError(f"the answer has more than {_MAX_EVENTS:,} events")
    return [_event(data) for block in content.split(_END) if (data := _data(block))]


def is_error(event: Event) -> bool:
    """Tell whether an event is an error, rather than an answer that has an output of that name."""
    return "error" in event and "model_name" not in event


def error_words(event: Event) -> str:
    """Return what an event of an error says."""
    words = event["error"]
    if isinstance(words, str):
        return words
    try:
        return orjson.dumps(words).decode()
    except TypeError:  # it reads what is nested deeper than it writes
        return shown_value(words)


def outputs_of(event: Event) -> list[str]:
    """Return the names of what an event has beside Triton's own words."""
    return [name for name in event if name not in ENVELOPE]


def _data(block: bytes) -> bytes:
    """Return the data of one event: its lines, without what stands before each."""
    lines = []
    for line in block.split(b"\n"):
        if line.startswith(b"data:"):
            lines.append(line[5:].removeprefix(b" "))
        elif line and not line.startswith(_OTHER_LINES):
            said = shown(line.decode(errors="replace"), _SHOWN)
            raise AnswerError(f"the answer is no stream of events: it has the line {said}")
    return b"\n".join(lines)


def _event(data: bytes) -> Event:
    try:
        event = orjson.loads(data)
    except ValueError as error:
        event = _with_not_finite(data)
        if event is None:
            raise AnswerError(f"an event of the answer is not valid JSON{_likely_cause(data)}: {error}") from None
    if not isinstance(event, dict):
        raise AnswerError("an event of the answer is no JSON object")
    return event


def _with_not_finite(data: bytes) -> object | None:
    """Read JSON in which Triton wrote NaN or Infinity, as it does; None where it is nothing of the kind."""
    if _NO_FINITE.search(data) is None:
        return None
    try:
        value: object = json.loads(data, parse_float=_finite)
        orjson.dumps(value)  # it knows half characters and numbers of more digits, which Arrow would not take
    except (ValueError, TypeError, RecursionError):
        return None
    return value


def _finite(text: str) -> float:
    number = float(text)
    if number in {float("inf"), float("-inf")}:
        raise ValueError("a number is out of range")
    return number


def _likely_cause(data: bytes) -> str:
    try:
        data.decode()
    except UnicodeDecodeError:
        return " (it holds bytes that are not UTF-8)"
    return ""
