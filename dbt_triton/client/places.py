"""Where the servers of a model are: its endpoints, and each address of a host name that has several."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from dbt_triton.client.client import TritonClient
from dbt_triton.client.transport import connect_seconds, proxy_of
from dbt_triton.options import Options

#: Of a host name with more addresses, these are used: each is a server with a limit of its own.
MOST_ADDRESSES = 16


@dataclass(frozen=True)
class Place:
    """Where one server is.

    Args:
        endpoint: its base URL.
        address: of the server, where the host has several; else None: connections find one by the name.
    """

    endpoint: str
    address: str | None = None

    @property
    def name(self) -> str:
        """What errors call it."""
        return self.endpoint if self.address is None else f"{self.endpoint} ({self.address})"

    def client(self, options: Options, headers: Mapping[str, str], **arguments: Any) -> TritonClient:  # noqa: ANN401 - the client's
        """Return a client of the server."""
        return TritonClient(options.at(self.endpoint), headers, address=self.address, **arguments)


async def places_of(options: Options) -> list[Place]:
    """Return where the servers of a model are by now."""
    found = await asyncio.gather(*(_places_of(endpoint, options) for endpoint in options.endpoints))
    return list(dict.fromkeys(place for places in found for place in places))


def may_have_several_addresses(options: Options) -> bool:
    """Tell whether a host is a name that is looked up here: no address, and not behind a proxy."""
    return any(_name_in(endpoint) for endpoint in options.endpoints)


async def _places_of(endpoint: str, options: Options) -> list[Place]:
    by_name = [Place(endpoint)]
    host = _name_in(endpoint)
    if host is None:
        return by_name
    parts = urlsplit(endpoint)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    loop = asyncio.get_running_loop()
    try:
        infos = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return by_name  # a connection says what is wrong
    addresses: dict[int, list[str]] = {}
    for family, _, _, _, address in infos:
        of_family = addresses.setdefault(family, [])
        if str(address[0]) not in of_family:
            of_family.append(str(address[0]))
    if all(len(of_family) == 1 for of_family in addresses.values()):
        return by_name  # such as localhost, which is one server by either address
    # A server may have an address of either family: it is one server all the same.
    first: int = next(iter(addresses))
    reached = first if len(addresses) == 1 else await _reached(host, port, options, first)
    chosen = addresses.get(reached, [])[:MOST_ADDRESSES]
    return [Place(endpoint, address) for address in chosen] if len(chosen) > 1 else by_name


def _name_in(endpoint: str) -> str | None:
    """Return the host where it is a name that is looked up here."""
    host = urlsplit(endpoint).hostname or ""
    try:
        ip_address(host.partition("%")[0])
    except ValueError:
        return None if proxy_of(endpoint) is not None else host
    return None


async def _reached(host: str, port: int, options: Options, otherwise: int) -> int:
    """Return the family of the first address that takes a connection."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(connect_seconds(options)):
            transport, _ = await loop.create_connection(asyncio.Protocol, host, port)
    except (OSError, TimeoutError):
        return otherwise
    family: int = transport.get_extra_info("socket").family
    transport.close()
    return family
