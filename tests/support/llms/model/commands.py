"""What a prompt can ask the model for.

A prompt whose first word is a command does what it says; every other one is answered with its words in upper case. A
token is a word with the white space behind it. Where the answer is one of a few texts, it is the first that the prompt
has, whatever the case, or else the first of them.

``/say T``: T as it is; ``/bytes H``: bytes by their hexadecimal digits. ``/params``: what reached the model, as JSON.
``/json``: a JSON object of the schema that came with the request; without one, prose. ``/zero``: no answer.
``/three a b c``: three answers. ``/list``: two texts though one was asked for. ``/bare``: an answer without outputs.
``/partly``: without what was asked for beside the text. ``/nan``, ``/inf``: as the logarithm of the probability.
``/error-first``: an error, then an answer. ``/error-late``: an answer, then an error. ``/error CODE``: an error of
Triton's. ``/raise``: an exception. ``/sleep S``: an answer after S seconds. ``/never``: none before any timeout of a
test.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

_OF_FORMAT = {"date": "2026-02-28", "time": "01:02:03Z", "date-time": "2026-02-28T01:02:03Z"}
_TIMES = ["01:02:03", "2026-02-28T01:02:03"]
#: Longer than a test waits, and shorter than the server's end may take.
NEVER_SECONDS = 12.0


class ModelError(Exception):
    """An error that the model answers with."""

    def __init__(self, message: str, code: str = "INTERNAL") -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Asked:
    """What a request asks for, whatever its interface calls it.

    Args:
        came: all of it.
        max_tokens: of an answer.
        stop: texts before which an answer ends.
        n: answers in a response.
        with_prompt: whether the answer begins with the prompt.
        in_pieces: whether each token is a response of its own.
        flags: the outputs that are asked for.
        schema: of the JSON object that the answer must be.
        choice: the texts of which the answer must be one.
    """

    came: Mapping[str, Any]
    max_tokens: int | None = None
    stop: Sequence[str] = ()
    n: int = 1
    with_prompt: bool = False
    in_pieces: bool = False
    flags: frozenset[str] = frozenset()
    schema: Mapping[str, Any] | None = None
    choice: Sequence[str] = ()


@dataclass(frozen=True)
class Said:
    """One response: a text for each of ``n``, or an error."""

    texts: tuple[bytes, ...] = ()
    finish_reason: str = "stop"
    logprob: float = -0.5
    input_tokens: int = 0
    output_tokens: int = 0
    flags: frozenset[str] = frozenset()
    bare: bool = False
    error: ModelError | None = field(default=None)


def seconds(prompt: str) -> float:
    """Return how long a prompt asks its answer to take."""
    command, _, rest = prompt.partition(" ")
    if command == "/never":
        return NEVER_SECONDS
    return float(rest.split()[0]) if command == "/sleep" else 0.0


def answers(prompt: str, asked: Asked) -> list[Said]:
    """Return the responses to a prompt.

    Raises:
        ModelError: there is nothing but an error.
    """
    command, _, rest = prompt.partition(" ")
    if command == "/error":
        raise ModelError(f"code {rest}", rest.split()[0])
    if command == "/zero":
        return []
    if command == "/bare":
        return [Said(bare=True)]
    whole = _whole(prompt, asked)
    if command in _MISBEHAVIOUR:
        return _MISBEHAVIOUR[command](whole, rest)
    return _pieces(whole) if asked.in_pieces else [whole]


def _whole(prompt: str, asked: Asked) -> Said:
    text, finish_reason = _cut(_text(prompt, asked), asked)
    before = prompt if asked.with_prompt else ""
    texts = tuple(f"{before}{text}{f' ({at + 1})' if at else ''}".encode() for at in range(asked.n))
    return Said(
        texts,
        finish_reason,
        input_tokens=len(prompt.split()),
        output_tokens=len(text.split()),
        flags=asked.flags,
    )


def _text(prompt: str, asked: Asked) -> str:
    if asked.choice:
        said = [one for one in asked.choice if one.lower() in prompt.lower()]
        return (said or asked.choice)[0]
    command, _, rest = prompt.partition(" ")
    if command == "/say":
        return rest
    if command == "/params":
        return json.dumps({name: asked.came[name] for name in ("inputs", "parameters")}, sort_keys=True)
    if command == "/json":
        if asked.schema is None:
            return "Sure! Here you are: it is fine."
        return json.dumps({key: _of_schema(kind, rest) for key, kind in asked.schema["properties"].items()})
    return (rest if command.startswith("/") else prompt).upper()


def _of_schema(schema: Mapping[str, Any], text: str) -> Any:
    """Return a value of a JSON schema: the words of the prompt, how many they are, and whether there are any.

    A text that is held to a format is what RFC 3339 has it be: times have a zone, as xgrammar demands.
    """
    words = text.split()
    if "format" in schema:
        return _OF_FORMAT[schema["format"]]
    if "pattern" in schema:
        return next(time for time in _TIMES if re.search(schema["pattern"], time))
    values = {
        "array": lambda: [_of_schema(schema["items"], word) for word in words],
        "integer": lambda: len(words),
        "number": lambda: len(words) + 0.5,
        "boolean": lambda: bool(words),
        "string": lambda: text,
    }
    return values[schema.get("type", "string")]()


def _cut(text: str, asked: Asked) -> tuple[str, str]:
    """End a text where it is to end."""
    found = [text.index(word) for word in asked.stop if word and word in text]
    text = text[: min(found)] if found else text
    tokens = re.findall(r"\s*\S+\s*", text)
    if asked.max_tokens is None or len(tokens) <= asked.max_tokens or asked.came["prompt"].startswith("/params"):
        return text, "stop"
    return "".join(tokens[: asked.max_tokens]).rstrip(), "length"


def _pieces(whole: Said) -> list[Said]:
    """Return a response for each token of the first text."""
    return _parts(whole, re.findall(r"\s*\S+", whole.texts[0].decode()) or [""])


def _parts(whole: Said, tokens: Sequence[str]) -> list[Said]:
    last = len(tokens) - 1
    return [
        replace(
            whole,
            texts=(token.encode(),),
            output_tokens=1,
            finish_reason=whole.finish_reason if at == last else "None",
        )
        for at, token in enumerate(tokens)
    ]


#: What the answer to a command is, by the whole one and the rest of the prompt.
_MISBEHAVIOUR: dict[str, Callable[[Said, str], list[Said]]] = {
    "/three": lambda whole, rest: _parts(whole, re.findall(r"\S+\s*", rest.upper())),
    "/list": lambda whole, _: [replace(whole, texts=(b"one", b"two"))],
    "/bytes": lambda whole, rest: [replace(whole, texts=(bytes.fromhex(rest),))],
    "/partly": lambda whole, _: [replace(whole, flags=frozenset())],
    "/nan": lambda whole, _: [replace(whole, logprob=math.nan)],
    "/inf": lambda whole, _: [replace(whole, logprob=math.inf)],
    "/error-first": lambda whole, _: [Said(error=ModelError("an early error")), whole],
    "/error-late": lambda whole, _: [whole, Said(error=ModelError("a late error"))],
}
