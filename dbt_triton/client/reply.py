"""Bodies: an HTTP answer as the client sees it, what is compressed, and what a server says in an error."""

from __future__ import annotations

import re
import zlib
from typing import Any, NamedTuple, cast

import httpx
import orjson

from dbt_triton.errors import InferenceError

HEADER_LENGTH = "Inference-Header-Content-Length"
_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS
_COMPRESSION_LEVEL = 1
_GZIP_WINDOW_BITS = 31
_ERROR_TEXT_LENGTH = 500


class Reply(NamedTuple):
    """An HTTP answer, whatever its status. ``header_length`` is that of a binary inference answer."""

    status: int
    content: bytes | memoryview
    header_length: int | None
    retry_after: str | None


def decoded(body: bytes, encoding: bytes) -> bytes:
    """Undo a Content-Encoding that nobody asked for: ``identity`` is requested, but a gateway may know better.

    Raises:
        httpx.DecodingError: the encoding is not known, or the body is not in it.
    """
    if not encoding or encoding == b"identity":
        return body
    if encoding not in {b"gzip", b"x-gzip", b"deflate"}:
        raise httpx.DecodingError(
            f"the answer has Content-Encoding {encoding.decode('latin-1')}, which was not asked for"
        )
    try:
        return zlib.decompress(body, _GZIP_OR_ZLIB)
    except zlib.error as error:
        raise httpx.DecodingError(f"the answer is not {encoding.decode('latin-1')}: {error}") from error


def compressed(body: bytes, compression: str) -> bytes:
    """Compress a body as the option says: ``gzip``, ``deflate`` or ``none``."""
    if compression == "gzip":
        compressor = zlib.compressobj(_COMPRESSION_LEVEL, wbits=_GZIP_WINDOW_BITS)
        return compressor.compress(body) + compressor.flush()
    if compression == "deflate":
        return zlib.compress(body, _COMPRESSION_LEVEL)  # with zlib's frame: Triton reads raw deflate as empty
    return body


def server_words(content: bytes) -> str:
    """Return what a server said in an error: the text of ``{"error": …}``, or the beginning of anything else."""
    try:
        answer = orjson.loads(content)
    except ValueError:
        answer = None
    if isinstance(answer, dict) and isinstance(answer.get("error"), str):
        return cast("str", answer["error"]).strip()
    text = re.sub(r"<[^>]*>", " ", content[: 8 * _ERROR_TEXT_LENGTH].decode(errors="replace"))
    text = " ".join(text.split())
    return (text[:_ERROR_TEXT_LENGTH] + "…") if len(text) > _ERROR_TEXT_LENGTH else text or "(an empty answer)"


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
        raise InferenceError(
            f"the answer to {url} is not JSON; is this a Triton server? It says: {server_words(content)}"
        )
    return answer
