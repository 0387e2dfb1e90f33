"""What a reply to ``generate_stream`` means: its Content-Type and its body say it, its status alone does not.

Triton (2.51, measured) answers 400 to every error that comes from the model or the scheduler, whatever its code, as an
event; and to what it refused before anything ran with JSON, whose status is right. An error may also come with 200.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from dbt_triton.client.reply import EVENT_STREAM, Reply, server_words
from dbt_triton.errors import AnswerError, Reason
from dbt_triton.tensors.events import error_words, is_error, read_events

_OK = 200
_START = b"data: "
#: A queue in front of the model was too long: the server has more to do than it can.
_QUEUE_TIMEOUT = "Request timeout expired"
#: The model has died, or will be unloaded: no row is to blame.
_UNAVAILABLE = (
    *(_QUEUE_TIMEOUT, "is not healthy", "unhealthy vLLM engine"),
    # What is said to every prompt that was under way, and for ever where its check of health is not switched on.
    *("EngineCore encountered an issue", "Background loop has errored already"),
)
#: What vLLM's backend says from 25.01 on when it did not understand the parameters; why, is in the server's log alone.
_PARAMETERS_NOT_TAKEN = "'NoneType' object has no attribute 'lora_name'"
_ERROR = re.compile(rb'"error"')
#: Triton writes the id among the other keys, in alphabetical order. Within a text, its quotes would be escaped.
_ID = re.compile(rb'"id":"(\d+)"')


class StreamFailure(NamedTuple):
    """An error that came of running the model, or of waiting to run it.

    Args:
        words: what the server said.
        reason: what kind of failure it is when no attempt is left.
        is_final: whether another attempt would come to the same.
        is_overload: whether fewer requests should be in flight.
    """

    words: str
    reason: Reason
    is_final: bool = False
    is_overload: bool = False


def is_event_stream(content_type: bytes) -> bool:
    """Tell whether a Content-Type is that of events."""
    return content_type.lower().startswith(EVENT_STREAM)


def id_in(content: bytes | memoryview) -> bytes | None:
    """Return the id of the request that an answer names; None where it names none."""
    found = _ID.search(content)
    return None if found is None else found[1]


def stream_failure(reply: Reply) -> StreamFailure | None:
    """Return the error that came as events, or with status 200; None for an answer, or a status that says it itself."""
    if reply.status == _OK and _ERROR.search(reply.content) is None:
        return None
    is_stream = is_event_stream(reply.content_type)
    if not is_stream and reply.status != _OK:
        return None  # refused before it ran
    words = _words(bytes(reply.content), cut=reply.cut, is_error_status=reply.status != _OK)
    return None if words is None else _failure(words)


def _words(content: bytes, *, cut: bool, is_error_status: bool) -> str | None:
    """Return what the first error among the events says; None where there is none, though the status may be one."""
    try:
        errors = [event for event in read_events(content) if is_error(event)]
    except AnswerError:  # it is cut, or no JSON
        errors = []
    if errors:
        return error_words(errors[0]).strip()
    return server_words(content.removeprefix(_START), cut=cut) if is_error_status else None


def _failure(words: str) -> StreamFailure:
    if _PARAMETERS_NOT_TAKEN in words:
        said = (
            "the server did not take the parameters: one of them is unknown to it, or out of its range, and only its "
            f"log says which. Look at 'parameters', and at columns of INPUT that are parameters. It says: {words}"
        )
        return StreamFailure(said, Reason.MODEL_ERROR, is_final=True)
    if any(text in words for text in _UNAVAILABLE):
        return StreamFailure(words, Reason.UNAVAILABLE, is_overload=_QUEUE_TIMEOUT in words)
    return StreamFailure(words, Reason.MODEL_ERROR)
