"""Reading endpoints: strictly, and without repeating any part of it, since any may be a password."""

from __future__ import annotations

import re
from ipaddress import IPv6Address
from urllib.parse import urlsplit

from dbt_triton.option_values import plain_text

_ENDPOINT = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[^\[\]/]*\]|[^\[\]/:]+)(?::(?P<port>[^/]*))?(?P<path>/.*)?",
    re.IGNORECASE | re.DOTALL,
)
_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_ADDRESS = re.compile(r"\[(?P<address>[0-9A-Fa-f:.]+)(?P<zone>%25[A-Za-z0-9._~-]+)?\]")
#: Between the endpoints of several servers, as they are kept; no endpoint holds a space.
SEPARATOR = ", "
#: A path may hold commas.
_BETWEEN = re.compile(r"[ \t\r\n]*,[ \t\r\n]*(?=https?:)", re.IGNORECASE)
_SCHEME = re.compile("https?:", re.IGNORECASE)
_MOST_SERVERS = 100
_PORTS = {"http": 80, "https": 443}
_MAX_PORT, _PORT_DIGITS = 65_535, 5
#: What no part of an endpoint may hold, and what to do about it. RFC 3986 leaves no other characters.
_NOT_IN_ENDPOINTS = (
    (re.compile("@"), "a user name or password does not belong here; use auth-token or custom-headers"),
    (re.compile(r"[^\x00-\x7f]"), "it holds a character that is not ASCII; write a host in its xn-- form"),
    (re.compile(r"[\x00-\x20\x7f]"), "it holds white space or a control character"),
    (re.compile("[?#]"), "a query or fragment does not belong here"),
    (re.compile(r"[\\\"<>^`{|}]"), "it holds a character that no URL may hold, such as a backslash or a quote"),
    (re.compile("%(?![0-9A-Fa-f]{2})"), "it holds a % that is no escape, such as %20"),
)


def endpoint_text(value: object) -> object:
    """Read one endpoint, or several: a text with commas between them, or YAML's list. Each is reduced by `base_url`.

    Returns them as one text, which is that of the only one where there is one.
    """
    if isinstance(value, list | tuple):
        written = [plain_text(item) for item in value]
    else:
        text = plain_text(value)
        written = _BETWEEN.split(text) if _BETWEEN.search(text) else [text]
    if not written:
        raise ValueError("write one server at least")
    if any(re.search(r"^\s*,|,\s*$", one) for one in written):
        raise ValueError("a comma has no server before or after it; leave it out")
    if len(written) > _MOST_SERVERS:
        raise ValueError(f"it names more than {_MOST_SERVERS} servers")
    several = len(written) > 1
    found = []
    for place, one in enumerate(written, start=1):
        try:
            found.append(str(base_url(one)))
        except ValueError as error:
            is_list = "," in one or len(_SCHEME.findall(one)) > 1
            hint = "; of several servers write each whole, such as http://a:8000, http://b:8000" if is_list else ""
            raise ValueError((f"server {place}: " if several else "") + f"{error}{hint}") from None
    if len({_with_port(one) for one in found}) < len(found):
        raise ValueError("it names one server twice")
    return SEPARATOR.join(found)


def _with_port(endpoint: str) -> str:
    """Return an endpoint with the port that is meant where none is written."""
    parts = urlsplit(endpoint)
    return endpoint if parts.port else parts._replace(netloc=f"{parts.netloc}:{_PORTS[parts.scheme]}").geturl()


def base_url(value: object) -> object:
    """Reduce an endpoint to what stands before ``/v2``.

    Nothing of it is repeated in an error: where the form is wrong, any part of it may be a password.
    """
    text = plain_text(value).strip(" \t\r\n")
    wrong = next((advice for pattern, advice in _NOT_IN_ENDPOINTS if pattern.search(text)), None)
    if wrong is not None:
        raise ValueError(wrong)
    found = _ENDPOINT.fullmatch(text)
    if found is None:
        raise ValueError("write http(s)://host[:port], with or without /v2 or /v2/models")
    host = _host(found["host"])
    port = found["port"]
    if port and not (port.isdigit() and len(port) <= _PORT_DIGITS and int(port) <= _MAX_PORT):
        raise ValueError("the port is not usable: it must be a number between 1 and 65535")
    if port and not int(port):
        raise ValueError("the port must be between 1 and 65535")
    whole = (found["path"] or "").rstrip("/")
    path = re.sub(r"/v2(/models)?$", "", whole)
    if "/v2/models/" in whole + "/" and path.count("/v2/models"):
        raise ValueError("name the server only; the model goes into model-name")
    if {".", ".."} & set(path.split("/")):
        raise ValueError("its path holds . or .. as a segment; write where that leads")
    return f"{found['scheme'].lower()}://{host}{f':{int(port)}' if port else ''}{path}"


def _host(host: str) -> str:
    """Check a host name or address; an IPv6 address is in brackets."""
    if host.startswith("["):
        found = _ADDRESS.fullmatch(host)
        try:
            return f"[{IPv6Address(found['address'] if found else '')}{(found and found['zone']) or ''}]"
        except ValueError:
            raise ValueError("what stands in brackets is no IPv6 address, such as http://[::1]:8000") from None
    labels = host.removesuffix(".").split(".")
    if not all(_LABEL.fullmatch(label) for label in labels):
        raise ValueError(
            "the host may hold only letters, digits, - and _, with single dots between its parts; "
            "write http(s)://host[:port]"
        )
    return host.lower()
