"""Building and predicting, as the macros do, against servers that say anything."""

from __future__ import annotations

import json
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
from support.session import Session, StepError
from support.web_server import listening
from unit.nonsense import SECRET

from dbt_triton import commands
from dbt_triton.project import ProjectModel

SERVER = {"name": "triton", "version": "2.51.0", "extensions": []}
TENSOR = {"datatype": "BYTES", "shape": [-1, 1]}
METADATA = {"name": "m", "versions": ["1"], "inputs": [TENSOR | {"name": "A"}], "outputs": [TENSOR | {"name": "B"}]}
CONFIG = {"max_batch_size": 8}
SCHEMA = "INPUT (a STRING) OUTPUT (b STRING)"
CALL = "select * from ML_PREDICT(TABLE words, MODEL m, DESCRIPTOR(word))"


def _answer(**changes: Any) -> dict[str, Any]:
    output = {"name": "B", "datatype": "BYTES", "shape": [1, 1], "data": ["x"]}
    return {"model_name": "m", "model_version": "1", "outputs": [output | changes]}


@contextmanager
def _hostile(
    said: dict[str, Any], status: int = 200, headers: dict[str, str] | None = None
) -> Generator[str, None, None]:
    """Serve what is said by the end of a path; ``infer`` with a status and headers of its own. Yields the endpoint."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._say(200, {})

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self._say(status, headers or {})

        def _say(self, status: int, headers: dict[str, str]) -> None:
            content = said.get(self.path.rpartition("/")[2], {})
            body = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(status)
            for name, value in ({"Content-Length": str(len(body))} | headers).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

    with listening(Handler) as url:
        yield url


def _predict(session: Session, options: dict[str, str]) -> None:
    session.sql("create table words as select 'w' as word")
    session.create_model("m", SCHEMA, options)
    # The secret is not in the row; here it is an option of the call.
    session.build("p", CALL.replace("(word)", f"(word), MAP['auth-token', '{SECRET}']"), ["m"])


def _error(said: dict[str, Any], status: int = 200, headers: dict[str, str] | None = None, **options: str) -> str:
    """Return the error of building a model and predicting one row with it."""
    valid = {"v2": SERVER, "m": METADATA, "config": CONFIG}
    with _hostile(valid | said, status, headers) as endpoint, Session() as session:
        given = {"endpoint": endpoint, "model-name": "m", "max-retries": "0", "auth-token": SECRET}
        with pytest.raises(StepError) as caught:
            _predict(session, given | {key.replace("_", "-"): value for key, value in options.items()})
    error = str(caught.value)
    assert "This is a bug" not in error
    assert SECRET not in error
    assert error.replace("\n", "").isprintable()
    assert len(error) < 5000
    return error


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"v2": SERVER | {"version": None}}, "is no model of a Triton server: what the server says about itself"),
        ({"v2": SERVER | {"extensions": {"a": 1}}}, "extensions: input should be a valid list"),
        ({"m": METADATA | {"versions": None}}, "versions: input should be a valid list"),
        (
            {"m": METADATA | {"inputs": [TENSOR | {"name": f"{SECRET}\x1b[2J", "shape": [10**25]}]}},
            "inputs[0].shape[0]: ",
        ),
        ({"m": METADATA | {"outputs": [TENSOR | {"name": f"{SECRET}\x1b[2J"}] * 50_000}}, "outputs: two of them"),
        (
            {"m": METADATA | {"outputs": [TENSOR | {"name": f"{SECRET}{number}\x1b"} for number in range(9_000)]}},
            "OUTPUT column b: the model has no tensor b; it serves ***0\\x1b BYTES[-1, 1], ***1",
        ),
        ({"m": METADATA | {"inputs": [TENSOR | {"name": "A", "datatype": SECRET}]}}, "the server's A is ***[-1, 1]"),
        ({"config": CONFIG | {"max_batch_size": 10**30}}, "max_batch_size: "),
        ({"config": CONFIG | {"sequence_batching": [1]}}, "sequence_batching: "),
        ({"config": CONFIG | {"model_transaction_policy": None}}, "model_transaction_policy: "),
        ({"config": b"[" * 100_000}, "is not JSON; is this a Triton server"),
        ({"config": b'{"a":"' + b"x" * 5_000_000 + b'"}'}, "is no Triton server's: it has more than"),
    ],
)
def test_before_a_row_is_sent(said: dict[str, Any], words: str) -> None:
    """A server that says nonsense of itself is told in a sentence, whatever the nonsense is."""
    assert words in _error(said)


@pytest.mark.parametrize(
    "answer",
    [
        _answer(parameters=[1]),
        _answer(parameters={"binary_data_size": -1}),
        _answer(shape=[1, 2**62]),
        _answer(shape=[True, True]),
        _answer(datatype=["BYTES"]),
        _answer(data=[{"a": SECRET}]),
        _answer(name=SECRET),
        {"outputs": [{"name": f"{SECRET}\0" * 100_000}]},
        b'{"id":"' + b"9" * 4000 + b'","outputs":[]}',
        b"<html>" + SECRET.encode() + b"</html>",
        b"[" * 100_000,
    ],
)
def test_while_rows_are_sent(answer: Any) -> None:
    """An answer of nonsense is a wrong answer of the rows that got it, and never a bug of ours."""
    assert "1 row(s) failed" in _error({"infer": answer}, circuit_breaker_timeout="200ms")


@pytest.mark.parametrize(
    "value",
    ["²", "9" * 400, "-1", "1e9", "Fri, 31 Dec 99999999999999 23:59:59 GMT", "Mon, 01 Jan 0001 00:00:00 +2359", SECRET],
)
def test_retry_after(value: str) -> None:
    """A Retry-After of any text leaves the failure what it is."""
    error = _error({"infer": {"error": "busy"}}, 503, {"Retry-After": value}, run_timeout="300ms")
    assert "busy" in error or "run-timeout" in error


def test_redirects_are_not_followed() -> None:
    """A redirect takes the token nowhere: it is an error."""
    with _hostile({}) as elsewhere:
        error = _error({"infer": b""}, 302, {"Location": f"{elsewhere}/{SECRET}"})
    assert "status 302" in error


def test_too_long_answer_marks_the_row() -> None:
    """An answer that is longer than the option allows fails its row, and names the option."""
    error = _error({"infer": _answer(data=["x" * 10_000])}, max_response_bytes="1000")
    assert "1 row(s) failed" in error
    assert "it has more than 1,000 bytes; 'max-response-bytes' sets how long it may be" in error


@pytest.mark.parametrize("endpoint", [f"http://u:1234/{SECRET}@host", f"http://h:{SECRET}"])
def test_endpoint_of_the_project_variable(endpoint: str) -> None:
    """An endpoint that cannot be used is refused without its text, whoever names it."""
    assert "endpoint: " in _error({}, endpoint=endpoint)


def test_commands_show_what_is_served_in_words() -> None:
    """The lines of `check` and `describe` hold no token and no control character of a server's."""
    metadata = METADATA | {"name": f"{SECRET}\x1b[2J", "versions": [f"{SECRET}\x1b[2J"]}
    said = {"v2": SERVER | {"version": f"{SECRET}\x1b[2J"}, "m": metadata, "config": CONFIG}
    with _hostile(said) as endpoint:
        options = f"'provider' = 'triton', 'endpoint' = '{endpoint}', 'model-name' = 'm', 'auth-token' = '{SECRET}'"
        arguments = {"name": "m", "alias": "m", "meta": None, "sql": f"CREATE MODEL m {SCHEMA} WITH ({options})"}
        checked = commands._checked(ProjectModel(arguments))
    assert (checked.cells[3:], checked.problems) == (("***\\x1b[2J", "ok"), ())
    assert "Served by Triton ***\\x1b[2J: version ***\\x1b[2J, inputs A BYTES[-1, 1]" in checked.description
    assert SECRET not in checked.description


def test_batches_of_any_size() -> None:
    """A limit of a batch that no table reaches is a limit all the same."""
    said = {"v2": SERVER, "m": METADATA, "config": {"max_batch_size": 2**31 - 1}, "infer": _answer()}
    with _hostile(said) as endpoint, Session() as session:
        session.sql("create table words as select 'w' as word")
        session.create_model("m", SCHEMA, {"endpoint": endpoint, "model-name": "m"})
        assert session.build("p", CALL, ["m"]) == [("w", "x")]
