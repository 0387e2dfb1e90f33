"""The protocol of hooks, and what they are told: names, numbers and reasons."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple, Protocol
from urllib.parse import urlsplit

#: What an attempt has that adds no header.
NO_HEADERS: Mapping[str, str] = MappingProxyType({})
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Call:
    """One ML_PREDICT call, or the part of it that one task of Spark does.

    Args:
        node: dbt's unique id of the predicting model; its name where dbt does not say.
        number: of the call in its statement, from 1.
        inference_model: its name in dbt.
        model_name: its name on the server.
        model_version: as it was asked for.
        endpoints: of the servers; they hold no user, password or query.
        system: the warehouse, ``duckdb`` or ``spark``.
        invocation_id: dbt's; empty outside of dbt.
        task: of Spark, from 0; None for the call as a whole.
        parent: what says where the span of this one belongs, by the names of W3C's headers. Empty where the process
            itself knows.
    """

    node: str
    number: int
    inference_model: str
    model_name: str
    model_version: str
    endpoints: tuple[str, ...]
    system: str
    invocation_id: str = ""
    task: int | None = None
    parent: Mapping[str, str] = field(default_factory=dict)


@dataclass
class CallEnd:
    """What came of a call; counts are 0 where it did not come so far.

    Args:
        outcome: ``succeeded``, ``failed`` or ``interrupted``.
        error: the class of what ended it, or the reason of the request that did; empty where nothing did.
        seconds: from its start to its end.
        rows: of its input.
        predicted: rows that got a prediction in this run; distinct ones.
        reused: rows whose prediction was stored.
        failed: rows that failed in this run.
        requests: attempts.
        retries: those after the first of a request.
        bytes_sent: of bodies.
        bytes_received: of bodies.
    """

    outcome: str = "succeeded"
    error: str = ""
    seconds: float = 0.0
    rows: int = 0
    predicted: int = 0
    reused: int = 0
    failed: int = 0
    requests: int = 0
    retries: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0


@dataclass(frozen=True)
class Target:
    """Where the requests of one client go, as spans and metrics name it.

    Args:
        url: of the requests.
        template: the path of the URL without the names in it.
        host: of the server; its address where the host has several.
        port: of the server.
        model_name: its name on the server.
        generates: whether it is a language model, asked by ``generate_stream``.
    """

    url: str
    template: str
    host: str
    port: int
    model_name: str
    generates: bool

    @classmethod
    def of(cls, url: str, *, address: str | None, model_name: str, generates: bool) -> Target:
        """Return that of a client, by the URL of its requests."""
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or _PORTS.get(parts.scheme, 0)
        # An endpoint that holds a user is refused; whatever stands here is left out of it all the same.
        url = parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()
        version = "/versions/{version}" if "/versions/" in parts.path else ""
        template = f"/v2/models/{{model}}{version}/{parts.path.rpartition('/')[2]}"
        return cls(url, template, address or host, port, model_name, generates)


class Request(NamedTuple):
    """One attempt of a request, as it is begun.

    Args:
        target: where it goes.
        rows: of the request.
        resends: how often it was sent before.
        size: of its body, in bytes.
    """

    target: Target
    rows: int
    resends: int
    size: int


class AttemptEnd(NamedTuple):
    """What came of an attempt.

    Args:
        seconds: it took.
        status: of the answer; None where none came.
        error: the reason of a failure, such as ``timeout``; empty for an answer.
        size: of the answer's body, in bytes.
        retry_after: seconds that the server asked us to wait.
    """

    seconds: float
    status: int | None
    error: str
    size: int
    retry_after: float | None


class Attempt(Protocol):
    """Watches one attempt of a request."""

    @property
    def headers(self) -> Mapping[str, str]:
        """What is added to the headers of the request."""
        ...

    def ended(self, end: AttemptEnd) -> None:
        """Take what came of it; called once, whatever comes of it."""
        ...


class CallObserver(Protocol):
    """Watches one call. It is called by one thread at a time but for `ended`, which follows everything else."""

    def attempt(self, request: Request) -> Attempt:
        """Begin to watch an attempt; called right before it is sent."""
        ...

    def event(self, name: str, attributes: Mapping[str, str | int | float]) -> None:
        """Take what else happened, such as ``request.split``: the server of it, a reason, a number of rows."""
        ...

    def carrier(self) -> Mapping[str, str]:
        """Return what lets another process go on from this call, by the names of W3C's headers."""
        ...

    def ended(self, end: CallEnd) -> None:
        """Take what came of the call."""
        ...


class Hook(Protocol):
    """What is installed: an instrumentation. Whatever it raises is logged, and goes no further."""

    def call(self, call: Call) -> CallObserver:
        """Begin to watch a call; called in the thread that carries it out."""
        ...

    def invocation_ended(self, invocation_id: str, *, succeeded: bool) -> None:
        """Note that dbt has ended a command."""
        ...

    def flush(self, seconds: float) -> None:
        """Hand on what is held back, within so many seconds."""
        ...

    def close(self) -> None:
        """End: nothing more is told."""
        ...
