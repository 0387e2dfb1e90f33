"""Just enough of HTTP/1.1 to stand between a client and Triton, and of KServe v2 to change an answer on the way."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import orjson

HEADER_LENGTH = "inference-header-content-length"


@dataclass
class Message:
    """A request or an answer: its first line, its headers (names in lower case), its whole body."""

    first_line: str
    headers: dict[str, str]
    body: bytes = b""

    def head(self) -> bytes:
        """Return what stands before the body."""
        lines = [self.first_line, *(f"{name}: {value}" for name, value in self.headers.items()), "", ""]
        return "\r\n".join(lines).encode("latin-1")

    def with_body(self, body: bytes) -> Message:
        """Return the message with another body, whose length its headers tell."""
        return Message(self.first_line, self.headers | {"content-length": str(len(body))}, body)

    def to_bytes(self) -> bytes:
        """Return the whole message."""
        return self.head() + self.body


async def read_head(reader: asyncio.StreamReader) -> Message | None:
    """Read up to the body; None when the other side has closed the connection in order."""
    try:
        text = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise
        return None
    first_line, *lines = text.rstrip("\r\n").split("\r\n")
    pairs = (line.partition(":") for line in lines)
    return Message(first_line, {name.strip().lower(): value.strip() for name, _, value in pairs})


async def read_body(reader: asyncio.StreamReader, message: Message) -> None:
    """Read the body that the head announces, and remove any chunks of it."""
    if message.headers.get("transfer-encoding", "").lower() != "chunked":
        message.body = await reader.readexactly(int(message.headers.get("content-length", "0")))
        return
    pieces = []
    while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
        pieces.append(await reader.readexactly(size))
        await reader.readexactly(2)
    await reader.readuntil(b"\r\n")
    del message.headers["transfer-encoding"]
    message.body = b"".join(pieces)
    message.headers["content-length"] = str(len(message.body))


def answer(status: int, body: bytes = b"", content_type: str = "application/json", **headers: str) -> Message:
    """Make an answer of our own; underscores in the names of headers become hyphens."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    message = Message(f"HTTP/1.1 {status} Injected", {"content-type": content_type, **named})
    return message.with_body(body)


@dataclass
class InferenceAnswer:
    """An inference answer taken apart: its JSON header, and the binary data of each output by name."""

    header: dict[str, Any]
    payloads: dict[str, bytes] = field(default_factory=dict)
    binary: bool = True

    @classmethod
    def parse(cls, message: Message) -> Self:
        """Take an answer apart."""
        length = message.headers.get(HEADER_LENGTH)
        if length is None:
            return cls(orjson.loads(message.body), binary=False)
        header = orjson.loads(message.body[: int(length)])
        payloads, position = {}, int(length)
        for output in header["outputs"]:
            size = output["parameters"]["binary_data_size"]
            payloads[output["name"]] = message.body[position : position + size]
            position += size
        return cls(header, payloads)

    def output(self, name: str) -> dict[str, Any]:
        """Return the description of one output."""
        found: dict[str, Any] = next(output for output in self.header["outputs"] if output["name"] == name)
        return found

    def write(self, message: Message) -> Message:
        """Put it together again, in the order of the header's outputs."""
        if not self.binary:
            return message.with_body(orjson.dumps(self.header))
        for output in self.header["outputs"]:
            output["parameters"] = {"binary_data_size": len(self.payloads[output["name"]])}
        header = orjson.dumps(self.header)
        data = b"".join(self.payloads[output["name"]] for output in self.header["outputs"])
        changed = message.with_body(header + data)
        changed.headers[HEADER_LENGTH] = str(len(header))
        return changed


def rows_of(request: Message) -> int:
    """Return how many rows an inference request has; one by ``generate_stream``, which has no list of inputs."""
    length = request.headers.get(HEADER_LENGTH)
    header = orjson.loads(request.body if length is None else request.body[: int(length)])
    shape: Sequence[int] = header["inputs"][0]["shape"] if isinstance(header.get("inputs"), list) else [1]
    return shape[0]
