"""A host name with several addresses, such as a headless Kubernetes service, is several servers."""

import asyncio
import socket
import ssl
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any

import pytest
import trustme
from unit.fleet import Model, Ran, SmallServer, predict

from dbt_triton.client.places import MOST_ADDRESSES, Place, places_of
from dbt_triton.engine import Engine
from dbt_triton.options import parse_options

TEXTS = [f"text {number}" for number in range(2_000)]
HOST = "triton.test"

Resolve = Callable[[Sequence[str]], None]


@pytest.fixture
def resolve(monkeypatch: pytest.MonkeyPatch) -> Resolve:
    """Return a function that says which addresses the host has from now on."""
    known: list[str] = []
    genuine = socket.getaddrinfo

    def getaddrinfo(host: Any, port: Any, *arguments: Any, **options: Any) -> list[Any]:
        if host != HOST:
            return genuine(host, port, *arguments, **options)
        families = {True: socket.AF_INET6, False: socket.AF_INET}
        return [(families[":" in one], socket.SOCK_STREAM, 6, "", (one, port)) for one in known]

    def become(addresses: Sequence[str]) -> None:
        known[:] = addresses

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    return become


def found(endpoint: str) -> list[Place]:
    """Return where the servers of an endpoint are."""
    options = parse_options({"provider": "triton", "endpoint": endpoint, "model-name": "m"}, "m")
    return asyncio.run(places_of(options))


async def fleet(stack: AsyncExitStack, *models: Model, port: int = 0) -> list[SmallServer]:
    """Start servers on 127.0.0.1, 127.0.0.2, … and one port."""
    servers: list[SmallServer] = []
    for number, model in enumerate(models, start=1):
        servers.append(await stack.enter_async_context(SmallServer(model, f"127.0.0.{number}", port)))
        port = servers[0].port
    return servers


def test_all_addresses_work(resolve: Resolve) -> None:
    """Each address gets its share of the rows, under the name of the host."""
    resolve(["127.0.0.1", "127.0.0.2", "127.0.0.3"])

    async def use() -> tuple[Ran, list[SmallServer]]:
        async with AsyncExitStack() as stack:
            servers = await fleet(stack, *[Model(0.005)] * 3)
            return await predict(TEXTS, f"http://{HOST}:{servers[0].port}"), servers

    ran, servers = asyncio.run(use())
    assert len(ran.kept.predictions_by_key) == len(TEXTS)
    assert all(server.requests > len(TEXTS) / 4 / 5 for server in servers)
    assert {host for server in servers for host in server.hosts} == {f"{HOST}:{servers[0].port}"}


def test_address_that_refuses(resolve: Resolve) -> None:
    """One that takes no connection is told, and the others do its work."""
    resolve(["127.0.0.3", "127.0.0.1", "127.0.0.2"])

    async def use() -> tuple[Ran, list[SmallServer]]:
        async with AsyncExitStack() as stack:
            servers = await fleet(stack, Model(0.002), Model(0.002))
            return await predict(TEXTS, f"http://{HOST}:{servers[0].port}", max_retries="0"), servers

    ran, servers = asyncio.run(use())
    assert len(ran.kept.predictions_by_key) == len(TEXTS)
    assert len(ran.notes) == 1
    assert f"http://{HOST}:{servers[0].port} (127.0.0.3)" in ran.notes[0]


def test_pod_that_is_replaced(resolve: Resolve) -> None:
    """A server that goes away and comes back under another address is found there, and gets rows."""
    resolve(["127.0.0.1", "127.0.0.2"])
    texts = [f"text {number}" for number in range(16_000)]

    async def use() -> tuple[Ran, SmallServer]:
        async with AsyncExitStack() as stack:
            servers = await fleet(stack, Model(0.01), Model(0.01))
            other = SmallServer(Model(0.01), "127.0.0.3", servers[0].port)

            async def replace(_: Engine) -> None:
                await asyncio.sleep(0.3)
                # All is there before the first look-up, since the next one is five seconds later.
                await stack.enter_async_context(other)
                resolve(["127.0.0.1", "127.0.0.3"])
                await servers[1].kill()

            # So few are in flight that the run goes on for seconds after the other one is found.
            options = {"max_concurrent_operations": "8"}
            return await predict(texts, f"http://{HOST}:{servers[0].port}", meanwhile=replace, **options), other

    ran, other = asyncio.run(use())
    assert len(ran.kept.predictions_by_key) == len(texts)
    assert other.requests > 20


@pytest.mark.parametrize(
    ("addresses", "expected"),
    [
        (["127.0.0.1"], [None]),
        (["::1", "127.0.0.1"], [None]),
        (["127.0.0.1", "127.0.0.1"], [None]),
        (["127.0.0.1", "127.0.0.2"], ["127.0.0.1", "127.0.0.2"]),
        ([f"127.0.1.{number}" for number in range(1, 40)], [f"127.0.1.{number}" for number in range(1, 17)]),
        ([], [None]),
    ],
)
def test_addresses(resolve: Resolve, addresses: list[str], expected: list[str | None]) -> None:
    """Several of one family are several servers, of which so many are used; one of each family is one server."""
    resolve(addresses)
    assert [place.address for place in found(f"http://{HOST}:1")] == expected
    assert len(expected) <= MOST_ADDRESSES


def test_family_that_can_be_reached(resolve: Resolve) -> None:
    """Of a host with addresses of both families, those of the family of the first that takes a connection are used."""
    resolve(["::ffff:0:1", "::ffff:0:2", "127.0.0.1", "127.0.0.2"])

    async def use() -> list[str | None]:
        async with SmallServer() as server:
            raw = {"provider": "triton", "endpoint": f"http://{HOST}:{server.port}", "model-name": "m"}
            return [place.address for place in await places_of(parse_options(raw, "m"))]

    assert asyncio.run(use()) == ["127.0.0.1", "127.0.0.2"]


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:8000", "http://[::1]:8000"])
def test_an_address_is_not_looked_up(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An address is one server, and costs no look-up."""
    monkeypatch.setattr(socket, "getaddrinfo", None)
    assert found(endpoint) == [Place(endpoint)]


def test_behind_a_proxy(resolve: Resolve, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a proxy, the proxy finds the server: the host may have no address here at all."""
    resolve(["127.0.0.1", "127.0.0.2"])
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "")
    assert found(f"http://{HOST}:8000") == [Place(f"http://{HOST}:8000")]


def test_certificate_is_that_of_the_name(resolve: Resolve, tmp_path: Any) -> None:
    """With https, each address must prove to be the host by its name; one that cannot gets nothing."""
    resolve(["127.0.0.1", "127.0.0.2"])
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))

    async def use(names: tuple[str, str]) -> tuple[Ran, list[SmallServer]]:
        async with AsyncExitStack() as stack:
            servers: list[SmallServer] = []
            for number, name in enumerate(names, start=1):
                context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
                authority.issue_cert(name).configure_cert(context)
                port = servers[0].port if servers else 0
                server = SmallServer(Model(0.002), f"127.0.0.{number}", port, context)
                servers.append(await stack.enter_async_context(server))
            endpoint = f"https://{HOST}:{servers[0].port}"
            return await predict(TEXTS, endpoint, tls_ca=str(tmp_path / "ca.pem"), max_retries="0"), servers

    ran, servers = asyncio.run(use((HOST, HOST)))
    assert len(ran.kept.predictions_by_key) == len(TEXTS)
    assert all(server.requests for server in servers)
    ran, servers = asyncio.run(use((HOST, "127.0.0.2")))
    assert len(ran.kept.predictions_by_key) == len(TEXTS)
    assert servers[1].requests == 0
    assert "certificate is not trusted" in ran.notes[0]
