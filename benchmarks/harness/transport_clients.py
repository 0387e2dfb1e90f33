"""One opener a transport: each yields a coroutine function that sends one request and reads the whole answer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import aiohttp
import httpx
import numpy as np
from httpx_aiohttp import AiohttpTransport
from pyreqwest.client import Client, ClientBuilder
from pyreqwest.compatibility.httpx import HttpxTransport
from tritonclient.http.aio import InferenceServerClient

from dbt_triton.client import Http11Transport, TritonClient
from dbt_triton.options import Options, parse_options
from harness.tritonclient_loop import infer
from harness.workload import MODEL, Request, infer_url, make_request, reviews

_TIMEOUT_SECONDS = 30

Send = Callable[[], Awaitable[Any]]


@dataclass(frozen=True)
class Setting:
    """What is sent, and how much of it at a time."""

    rows: int
    in_flight: int
    binary: bool

    @property
    def request(self) -> Request:
        """The request itself."""
        return make_request(self.rows, binary=self.binary)


Opener = Callable[[str, Setting], AbstractAsyncContextManager[Send]]


@asynccontextmanager
async def _over_httpx(transport: httpx.AsyncBaseTransport, endpoint: str, setting: Setting) -> AsyncIterator[Send]:
    request, url = setting.request, infer_url(endpoint)
    async with httpx.AsyncClient(transport=transport, headers=request.headers, timeout=_TIMEOUT_SECONDS) as client:

        async def send() -> None:
            response = await client.post(url, content=request.body)
            response.raise_for_status()

        yield send


def _httpx(endpoint: str, setting: Setting) -> AbstractAsyncContextManager[Send]:
    limits = httpx.Limits(max_connections=setting.in_flight, max_keepalive_connections=setting.in_flight)
    return _over_httpx(httpx.AsyncHTTPTransport(limits=limits), endpoint, setting)


@asynccontextmanager
async def _httpx_aiohttp(endpoint: str, setting: Setting) -> AsyncIterator[Send]:
    connector = aiohttp.TCPConnector(limit=setting.in_flight)
    transport = AiohttpTransport(client=aiohttp.ClientSession(connector=connector))
    async with _over_httpx(transport, endpoint, setting) as send:
        yield send


def _pyreqwest_client(setting: Setting) -> Client:
    timeout = timedelta(seconds=_TIMEOUT_SECONDS)
    return ClientBuilder().timeout(timeout).pool_max_idle_per_host(setting.in_flight).build()


def _httpx_pyreqwest(endpoint: str, setting: Setting) -> AbstractAsyncContextManager[Send]:
    return _over_httpx(HttpxTransport(_pyreqwest_client(setting)), endpoint, setting)


@asynccontextmanager
async def _pyreqwest(endpoint: str, setting: Setting) -> AsyncIterator[Send]:
    request, url = setting.request, infer_url(endpoint)
    async with _pyreqwest_client(setting) as client:

        async def send() -> None:
            response = await client.post(url).headers(request.headers).body_bytes(request.body).build().send()
            await response.bytes()
            assert response.status == httpx.codes.OK

        yield send


@asynccontextmanager
async def _http11(endpoint: str, setting: Setting) -> AsyncIterator[Send]:
    request, url = setting.request, infer_url(endpoint)
    async with Http11Transport(endpoint, timeout=_TIMEOUT_SECONDS) as transport:

        async def send() -> None:
            reply = await transport.post(url, request.headers, request.body)
            assert reply.status == httpx.codes.OK

        yield send


@asynccontextmanager
async def _dbt_triton(endpoint: str, setting: Setting) -> AsyncIterator[Send]:
    request = setting.request
    async with TritonClient(_options(endpoint)) as client:

        async def send() -> None:
            await client.infer(request.body, request.header_length)

        yield send


@asynccontextmanager
async def _aiohttp(endpoint: str, setting: Setting) -> AsyncIterator[Send]:
    request, url = setting.request, infer_url(endpoint)
    connector = aiohttp.TCPConnector(limit=setting.in_flight)
    async with aiohttp.ClientSession(connector=connector, headers=request.headers) as session:

        async def send() -> None:
            async with session.post(url, data=request.body) as response:
                await response.read()
                assert response.ok

        yield send


@asynccontextmanager
async def _tritonclient(endpoint: str, setting: Setting) -> AsyncIterator[Send]:
    texts = np.array(reviews(setting.rows), dtype=np.object_).reshape(-1, 1)
    async with InferenceServerClient(endpoint.removeprefix("http://"), conn_limit=setting.in_flight) as client:

        async def send() -> None:
            await infer(client, texts, binary=setting.binary)

        yield send


def _options(endpoint: str) -> Options:
    written: Mapping[str, str] = {"provider": "triton", "endpoint": endpoint, "model-name": MODEL}
    return parse_options(written, "benchmark")


#: From the slowest to the fastest, more or less.
OPENERS: dict[str, Opener] = {
    "httpx, its own transport": _httpx,
    "tritonclient.http.aio (encodes and decodes too)": _tritonclient,
    "httpx + httpx-aiohttp": _httpx_aiohttp,
    "httpx + pyreqwest": _httpx_pyreqwest,
    "aiohttp": _aiohttp,
    "pyreqwest": _pyreqwest,
    "TritonClient.infer (own HTTP/1.1, retries)": _dbt_triton,
    "Http11Transport.post": _http11,
}
