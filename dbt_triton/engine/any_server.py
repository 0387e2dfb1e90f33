"""A request that any of several servers may answer: where it fails for the server's sake, it goes to another at once.

It is sent so often as with one server: what may have been computed counts, wherever that was.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Protocol

from dbt_triton.client.retries import is_worth_retrying
from dbt_triton.engine.breaker import Breaker
from dbt_triton.engine.outcomes import TOO_LARGE
from dbt_triton.engine.server import Server, named
from dbt_triton.engine.servers import Servers
from dbt_triton.engine.source import Request
from dbt_triton.errors import AnswerError, InferenceError, PaddedAxisError, Reason
from dbt_triton.options import Options
from dbt_triton.tensors import Answer

_OK = 200
#: A request that broke its connection at so many servers goes to no other one: it may be what kills them.
_MOST_BROKEN = 2
#: Whoever waits for servers that may never come back looks after so many seconds whether the run is to end.
_LOOK_SECONDS = 0.5


class Send(Protocol):
    """Sends a request to one server, once."""

    def __call__(self, server: Server, request: Request, *, alone: bool) -> Awaitable[tuple[Answer, int]]:
        """Return the checked answer, and its size in bytes."""
        ...


class AnyServer:
    """Sends each request to the server that suits best, and to others where that one fails.

    Args:
        servers: of the run.
        send: sends a request once.
        breaker: of the run, for when no server is left.
        end: ends the run.
        options: of the model.
        generates: whether it is a language model, whose requests are paid for.
    """

    def __init__(  # noqa: PLR0913 - the parts of one run
        self,
        servers: Servers,
        send: Send,
        breaker: Breaker,
        end: Callable[[InferenceError, Request | None], None],
        options: Options,
        *,
        generates: bool,
    ) -> None:
        self._servers = servers
        self._send = send
        self._breaker = breaker
        self._end = end
        self._options = options
        self._generates = generates
        servers.on_nobody = self.nobody_is_left

    def nobody_is_left(self, error: InferenceError, request: Request | None = None) -> None:
        """End the run if no server has succeeded for the breaker's time, or none is worth waiting for."""
        if self._servers.nobody_would_do:
            self._end(InferenceError(f"no server is left: {error.message}", reason=Reason.REJECTED), request)
            return
        fatal = self._breaker.gone(error, not_before=self._servers.resume_at)
        if fatal is not None:
            self._end(fatal, request)

    def may_kill(self, request: Request) -> bool:
        """Tell whether a request may be what its servers died of: it goes to no other one."""
        return len(request.broken_at) >= _MOST_BROKEN

    async def answer(self, request: Request, *, alone: bool) -> tuple[Answer, int] | None:
        """Return the checked answer to a request, and its size; None when the run ends.

        Raises:
            InferenceError: it failed for good as it is, or it is one that `may_kill`, which has to wait for all others.
        """
        attempts = timeouts = sent = 0
        was_moved = False
        while True:
            server = await self._free_server(request)
            if server is None:
                return None
            started = time.monotonic()
            server.client.stats.retries += sent > 0
            sent += 1
            try:
                answer = await self._sent(server, request, alone=alone)
            except InferenceError as error:
                error.attempts = sent
                self.note_failure(server, error, started, request)
                if self._is_of_the_server(error):
                    if error.status is None and not error.not_sent and server not in request.broken_at:
                        request.broken_at += (server,)
                    if self.may_kill(request):
                        raise
                    continue
                if not was_moved and self._may_suit_another(error, request, server):
                    was_moved = True
                    continue
                attempts += 1
                timeouts += error.reason == Reason.TIMEOUT
                if not self._may_mend(error, request, timeouts, alone=alone) or attempts > self._options.max_retries:
                    raise
                await self._back_off(attempts)
            else:
                self._servers.answered(server, request.rows, time.monotonic() - started)
                request.not_at = server  # if what it has answered cannot be decoded, another one is asked
                return answer

    def for_another(self, well: set[object], badly: Sequence[tuple[Request, AnswerError]]) -> set[Request]:
        """Judge servers by what came of decoding; return the requests that another one is to answer as they are.

        Each goes to one other at most: where its server is to blame, or it is a single row, which would fail else.

        Args:
            well: the servers whose answers were decoded.
            badly: requests whose answers cannot be.
        """
        blamed = self._servers.decoded(well, [(request.not_at, error) for request, error in badly])
        again = set()
        for request, error in badly:
            server = request.not_at
            # What is wrong with padded axes concerns all answers.
            if isinstance(error, PaddedAxisError) or request.was_undecodable:
                continue
            if (request.rows == 1 or server in blamed) and self._servers.has_another(server):
                request.was_undecodable = True
                again.add(request)
        return again

    async def _free_server(self, request: Request) -> Server | None:
        """Wait for a server for a request; None when the run ends."""
        if not self.may_kill(request):
            return await self._servers.take(request.not_at)
        only = [server for server in self._servers.all if server in request.broken_at]
        while (server := await self._servers.take(request.not_at, only, seconds=_LOOK_SECONDS)) is None:
            if self._servers.stopped.is_set():
                return None
            why = next((one.why for one in only if one.why is not None), None)
            if why is not None and self._servers.others_are_idle:
                self.nobody_is_left(why, request)
        return server

    async def _sent(self, server: Server, request: Request, *, alone: bool) -> tuple[Answer, int]:
        try:
            return await self._send(server, request, alone=alone)
        finally:
            self._servers.give_back(server)

    def note_failure(self, server: Server, error: InferenceError, started: float, request: Request) -> None:
        """Leave a server out if need be, and end the run where none is left for too long."""
        if error.reason == Reason.STOPPED:
            return
        named(error, server)
        request.not_at = server
        self._servers.failed(server, error, started)
        if error.reason == Reason.UNAVAILABLE and self._servers.nobody_is_there:
            self.nobody_is_left(error, request)

    def _is_of_the_server(self, error: InferenceError) -> bool:
        """Tell whether a request that failed at one server goes to another whatever its retries are."""
        is_rejected = error.reason == Reason.REJECTED and not self._servers.nobody_is_there
        return error.reason == Reason.UNAVAILABLE or is_rejected

    def _may_suit_another(self, error: InferenceError, request: Request, server: Server) -> bool:
        """Tell whether what one server refuses, or answers wrongly, goes to another before it is given up.

        The server may be to blame, and not the row. More rows are split in any case, and their parts go to others.
        """
        is_final = request.rows == 1 or error.status == TOO_LARGE  # often the word of a gateway before it
        # What a padded axis shows is about all answers of the run.
        is_wrong = error.status == _OK and not error.may_pass and not isinstance(error, PaddedAxisError)
        return (error.reason == Reason.REFUSED or is_wrong) and is_final and self._servers.has_another(server)

    def _may_mend(self, error: InferenceError, request: Request, timeouts: int, *, alone: bool) -> bool:
        """Tell whether another attempt may mend an error."""
        if not error.may_pass or error.reason not in {Reason.MODEL_ERROR, Reason.TIMEOUT}:
            return False
        return is_worth_retrying(error.reason, timeouts, rows=request.rows, alone=alone, generates=self._generates)

    async def _back_off(self, attempts: int) -> None:
        """Wait as one server's client does, but for the first time, when another server is asked at once."""
        if attempts > 1 or len(self._servers.all) == 1:
            options = self._options
            longest = options.retry_max_backoff / 1000
            wait = options.retry_initial_backoff / 1000 * (2 ** (attempts - 1) + random.random())  # noqa: S311 - jitter
            with suppress(TimeoutError):
                await asyncio.wait_for(self._servers.stopped.wait(), min(wait, longest))
