"""Bodies: an HTTP answer as the client sees it, what is compressed, and what a server says in an error."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, cast

import httpx
import orjson

from dbt_triton.errors import InferenceError
from dbt_triton.foreign_text import NAME_LENGTH, masked, shown

HEADER_LENGTH = "Inference-Header-Content-Length"
#: The Content-Type of events.
EVENT_STREAM = b"text/event-stream"
#: What is read of an answer with an error status: nobody reads more of it.
ERROR_BYTES = 65_536
#: What a server may say about itself or a model.
METADATA_BYTES = 4 * 2**20
_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS
_COMPRESSION_LEVEL = 1
_GZIP_WINDOW_BITS = 31
#: So much is unpacked between two looks at the clock.
_STEP_BYTES = 2**20
_PACKED_STEP_BYTES = 65_536
#: More digits are no length of anything.
_LENGTH_DIGITS = 15
#: What a cut answer loses at its end, where the beginning of a secret may stand.
_CUT_BYTES = 4096
#: What is looked at of an error that is no JSON: the words of a page are at its beginning.
_TEXT_BYTES = 16_384
_ERROR_TEXT = re.compile(rb'^\s*\{\s*"error"\s*:\s*("(?:[^"\\]|\\.)*)', re.DOTALL)


class ResponseTooLargeError(httpx.RequestError):
    """An answer, or what it becomes when it is unpacked, has more bytes than it may have."""


class Reply(NamedTuple):
    """An HTTP answer, whatever its status. ``header_length`` is that of a binary inference answer.

    ``cut`` says that only the beginning of the body was read, as of a long error.
    """

    status: int
    content: bytes | memoryview
    header_length: int | None
    retry_after: str | None
    cut: bool = False
    content_type: bytes = b""


def header_length_of(value: bytes) -> int | None:
    """Read ``Inference-Header-Content-Length``; None where it is no length."""
    value = value.strip()
    return int(value) if value.isdigit() and len(value) <= _LENGTH_DIGITS else None


def decoded(
    body: bytes, encoding: bytes, *, limit: int, cut: bool = False, check_time: Callable[[], None] = lambda: None
) -> bytes:
    """Undo a Content-Encoding that nobody asked for: ``identity`` is requested, but a gateway may know better.

    Args:
        body: as it came.
        encoding: what the header says.
        limit: how many bytes the result may have.
        cut: whether the beginning is enough, of the body and of the result.
        check_time: is called after each megabyte; what it raises ends the work.

    Raises:
        httpx.DecodingError: the encoding is not known, or the body is not in it.
        ResponseTooLargeError: the result is longer than it may be.
    """
    if not encoding or encoding == b"identity":
        return body
    name = shown(encoding.decode("latin-1"), NAME_LENGTH)
    if encoding not in {b"gzip", b"x-gzip", b"deflate"}:
        raise httpx.DecodingError(f"the answer has Content-Encoding {name}, which was not asked for")
    pieces, size = [], 0
    try:
        for piece in _unpacked(body):
            pieces.append(piece)
            size += len(piece)
            check_time()
            if size > limit and not cut:
                raise ResponseTooLargeError(f"it has more than {limit:,} bytes when it is unpacked")
            if size >= limit and cut:
                break
    except _IncompleteError:
        if not cut:
            raise httpx.DecodingError(f"the answer is not {name}: it is incomplete") from None
    except zlib.error as error:
        raise httpx.DecodingError(f"the answer is not {name}: {error}") from error
    return b"".join(pieces)


class _IncompleteError(Exception):
    """Compressed data that lacks its end."""


def _unpacked(body: bytes) -> Iterator[bytes]:
    """Unpack gzip or zlib, piece by piece, each of a bounded size whatever it was packed into."""
    decoder = zlib.decompressobj(_GZIP_OR_ZLIB)
    view = memoryview(body)
    for start in range(0, len(view), _PACKED_STEP_BYTES):
        rest: bytes | memoryview = view[start : start + _PACKED_STEP_BYTES]
        while not decoder.eof:
            piece = decoder.decompress(rest, _STEP_BYTES)
            rest = decoder.unconsumed_tail
            yield piece
            if not rest and len(piece) < _STEP_BYTES:
                break
    if not decoder.eof:
        raise _IncompleteError


def compressed(body: bytes, compression: str) -> bytes:
    """Compress a body as the option says: ``gzip``, ``deflate`` or ``none``."""
    if compression == "gzip":
        compressor = zlib.compressobj(_COMPRESSION_LEVEL, wbits=_GZIP_WINDOW_BITS)
        return compressor.compress(body) + compressor.flush()
    if compression == "deflate":
        return zlib.compress(body, _COMPRESSION_LEVEL)  # with zlib's frame: Triton reads raw deflate as empty
    return body


def server_words(content: bytes, *, cut: bool = False) -> str:
    """Return what a server said in an error, to decide by: the text of ``{"error": …}``, or anything else as it is.

    It may hold a secret, and any character: `shown_words` makes it fit for people.
    """
    content = content[:ERROR_BYTES]
    if cut:
        content = content[:-_CUT_BYTES]
    try:
        answer = orjson.loads(content)
    except ValueError:
        answer = _beginning(content)
    if isinstance(answer, dict) and isinstance(answer.get("error"), str):
        return cast("str", answer["error"]).strip()
    # Masked first: a token with "<" in it would not be found when the tags are gone.
    return re.sub(r"<[^>]*>", " ", masked(content[:_TEXT_BYTES].decode(errors="replace")))


def shown_words(words: str) -> str:
    """Return what a server said as it is told to people."""
    return shown(words) or "(an empty answer)"


def _beginning(content: bytes) -> dict[str, Any] | None:
    """Read ``{"error": …}`` of which only the beginning is there."""
    match = _ERROR_TEXT.match(content)
    if match is None:
        return None
    try:
        return {"error": orjson.loads(match[1] + b'"')}
    except ValueError:  # it ends within an escape or a character
        return {"error": match[1][1:].decode(errors="replace")}


def json_object(content: bytes, url: str) -> dict[str, Any]:
    """Read an answer that must be a JSON object.

    Raises:
        InferenceError: it is none.
    """
    try:
        answer = orjson.loads(content)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        words = shown_words(server_words(content))
        raise InferenceError(f"the answer to {url} is not JSON; is this a Triton server? It says: {words}")
    return answer
