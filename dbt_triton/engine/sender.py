"""Sending one request to one server, and checking its answer."""

from __future__ import annotations

import itertools
import time

from dbt_triton.engine.server import Server
from dbt_triton.engine.servers import Servers
from dbt_triton.engine.source import Request
from dbt_triton.errors import InferenceError, Reason
from dbt_triton.tensors import Answer, Format


class Sender:
    """Sends the requests of one run.

    Args:
        servers: of the run.
        request_format: how requests look.
        version: of the model, by which every answer must be; None where the server does not say.
    """

    def __init__(self, servers: Servers, request_format: Format, version: str | None) -> None:
        self._servers = servers
        self._format = request_format
        self._reader = request_format.reader()
        self._version = version
        self._ids = itertools.count(1)
        self.in_flight = 0
        self.bytes_in_flight = 0
        #: So long one request at least was in flight, up to when none was.
        self.seconds = 0.0
        self._busy_since = 0.0

    async def send(
        self, server: Server, request: Request, *, alone: bool, retry: bool | None = None
    ) -> tuple[Answer, int]:
        """Return the checked answer of a server to a request, and its size in bytes.

        Args:
            server: that it is sent to.
            request: to send.
            alone: whether no other request can be to blame for an exception of the model.
            retry: whether the client sends it again where that may help; by default if there is no other server.
        """
        body, header_length = request.encoded.body(request.start, request.end, request.parameters)
        request_id = next(self._ids) if self._format.takes_id else None
        if not self.in_flight:
            self._busy_since = time.perf_counter()
        self.in_flight += 1
        self.bytes_in_flight += len(body)
        try:
            reply = await server.client.infer(
                body,
                header_length,
                rows=request.rows,
                alone=alone,
                request_id=request_id,
                retry=self._servers.only is not None if retry is None else retry,
                sent_before=request.attempts,
            )
        except InferenceError as error:
            request.attempts += error.attempts
            raise
        finally:
            self.in_flight -= 1
            self.bytes_in_flight -= len(body)
            if not self.in_flight:
                self.seconds += time.perf_counter() - self._busy_since
        answer = self._reader.read(reply.content, reply.header_length, request.rows, request_id)
        if self._version and answer.model_version and answer.model_version != self._version:
            raise InferenceError(
                f"the server answers with version {answer.model_version} of the model, but the run began with version "
                f"{self._version}, and a table holds the predictions of one. Run again: every row is sent to the "
                "version that is served then",
                reason=Reason.REJECTED,
            )
        return answer, len(reply.content)
