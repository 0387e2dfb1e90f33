"""An HTTP answer as the client sees it, whatever brought it."""

from __future__ import annotations

import zlib
from typing import NamedTuple

import httpx

HEADER_LENGTH = "Inference-Header-Content-Length"
_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS


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
