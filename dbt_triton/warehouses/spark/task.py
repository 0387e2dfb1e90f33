"""What a task is told: plain data without secrets, since it is pickled into files of Spark that others may read."""

from __future__ import annotations

import json
import socket
import time
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path

from dbt_triton.credentials import MASK, mask_text, request_headers
from dbt_triton.engine import RunError, Servers
from dbt_triton.errors import ConfigurationError, InferenceError, Reason
from dbt_triton.inference_model import Binding
from dbt_triton.instrumentation import Call
from dbt_triton.options import Options
from dbt_triton.tensors import Format
from dbt_triton.tensors.sql_types import SqlType
from dbt_triton.tensors.trim import SeenAxis
from dbt_triton.warehouses.requests import open_servers, request_format

_WHERE = (
    "Executors read secrets from their own environment, so that no closure, conf or event log holds them: set it where "
    "they start (spark-env.sh of the workers; on Kubernetes spark.kubernetes.executor.secretKeyRef.NAME; or "
    "spark.executorEnv.NAME, which Spark's web page shows)"
)

_HEADERS = "headers.json"


@dataclass(frozen=True)
class Task:
    """What each task of a run is told.

    Args:
        binding: the model as it is served.
        options: of the model, without literal secrets.
        subject: what errors are about.
        inputs: the types of the values.
        outputs: the types of the predictions, as tables have them.
        run: the name of the run.
        tasks: how many there are.
        deadline: when the run must be over, in seconds since 1970.
        run_timeout: how many seconds the run may take in all.
        seen: what earlier waves have seen of padded axes.
        folder: a folder that driver and tasks share, on a local master; else None.
        call: as those who watch are told of it, with the span that tasks go on from; None where nobody does.
    """

    binding: Binding
    options: Options
    subject: str
    inputs: tuple[SqlType, ...]
    outputs: tuple[SqlType, ...]
    run: str
    tasks: int = 1
    deadline: float | None = None
    run_timeout: float = 0.0
    seen: tuple[SeenAxis, ...] = field(default=())
    folder: str | None = None
    call: Call | None = None

    @property
    def request_format(self) -> Format:
        """How requests look."""
        return request_format(self.options, self.binding)

    def servers(self, number: int) -> AbstractAsyncContextManager[Servers]:
        """Open the servers for a task, with its share of the requests in flight.

        Those of all tasks are what the options say in total.

        Args:
            number: of the task, from 0.
        """
        return open_servers(self.options, self.binding, self.headers(), tasks=self.tasks, number=number)

    def check_time(self) -> None:
        """Check that the run may go on.

        Raises:
            RunError: run-timeout is over.
        """
        if self.deadline is not None and time.time() > self.deadline:
            said = f"run-timeout ({self.run_timeout:g} s) is over"
            raise RunError(InferenceError(said, reason=Reason.STOPPED, attempts=0), [])

    def check_files(self) -> None:
        """Check that the TLS files are on this machine.

        Raises:
            ConfigurationError: with those that are not.
        """
        files = {"tls-ca": self.options.tls_ca, "tls-cert": self.options.tls_cert, "tls-key": self.options.tls_key}
        problems = [
            f"{option}: {path} is not on {socket.gethostname()}, where a task of Spark runs; it must be there, under "
            "the same path, on every machine with executors"
            for option, path in files.items()
            if path is not None and not Path(path).expanduser().is_file()
        ]
        if problems:
            raise ConfigurationError(problems, self.subject)

    def headers(self) -> dict[str, str]:
        """Return the headers of requests, with ``${NAME}`` read from the environment of this process.

        On a local master they are in a file that only this user can read, and that goes with the run.

        Raises:
            ConfigurationError: a variable is not set here.
        """
        if self.folder is not None:
            headers: dict[str, str] = json.loads(Path(self.folder, _HEADERS).read_text())
            return headers
        try:
            return request_headers(self.options, self.subject)
        except ConfigurationError as error:
            problems = [f"on Spark's executor {socket.gethostname()}, {problem}" for problem in error.problems]
            raise ConfigurationError([*problems, _WHERE], error.subject) from None


def leave_headers(task: Task, options: Options) -> None:
    """Leave the headers of requests for the tasks of a local master.

    Raises:
        ConfigurationError: a variable is not set.
    """
    assert task.folder is not None  # noqa: S101 - only a local master has one
    path = Path(task.folder, _HEADERS)
    path.touch(0o600)
    path.write_text(json.dumps(request_headers(options, task.subject)))


def without_secrets(options: Options) -> Options:
    """Return options with a mask in place of each literal secret; ``${NAME}`` stays."""
    token = None if options.auth_token is None else mask_text(options.auth_token)
    headers = {name: mask_text(value) for name, value in options.custom_headers.items()}
    return options.model_copy(update={"auth_token": token, "custom_headers": headers})


def check_literal_secrets(options: Options, subject: str) -> None:
    """Refuse literal secrets where they would have to travel to executors.

    Raises:
        ConfigurationError: there is one; says what to write instead.
    """
    hidden = without_secrets(options)
    problems = [
        f"{key} holds a literal value, which would stand in Spark's files and logs on its way to executors. Write "
        "${NAME} in the inference model, and set NAME in the environment of the executors"
        for key, value in (("auth-token", hidden.auth_token), *hidden.custom_headers.items())
        if value == MASK
    ]
    if problems:
        raise ConfigurationError(problems, subject)
