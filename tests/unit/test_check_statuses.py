"""What `dbt-triton check` calls the answer of a server, and what it says of one model and of several."""

from __future__ import annotations

import json
import socket
from argparse import Namespace
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler

import pytest
from support.web_server import listening

from dbt_triton import commands
from dbt_triton.project import ProjectModel, models_called
from dbt_triton.server import free_port


@contextmanager
def _answering(status: int, body: str) -> Generator[str, None, None]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

    with listening(Handler) as url:
        yield url


def _model(endpoint: str, name: str = "m", more: str = "", **node: object) -> ProjectModel:
    options = (
        f"'provider' = 'triton', 'endpoint' = '{endpoint}', 'model-name' = 'm', 'max-retries' = '0', 'timeout' = '500'"
    )
    sql = f"CREATE MODEL {name} INPUT (a STRING) OUTPUT (b STRING) WITH ({options}{more})"
    return ProjectModel({"name": name, "alias": name, "sql": sql, "meta": None, "is_latest": True} | node)


def _check(monkeypatch: pytest.MonkeyPatch, *models: ProjectModel) -> tuple[int, list[str]]:
    monkeypatch.setattr(commands, "inference_models", lambda _: list(models))
    said: list[str] = []
    dbt = dict.fromkeys(("project_dir", "profiles_dir", "profile", "target", "vars"))
    return commands.check(Namespace(**dbt), said.append), said


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (404, '{"error": "Request for unknown model: \'m\' is not found"}', "not served"),
        (400, '{"error": "Request for unknown model: \'m\' is not found"}', "not served"),
        (400, '{"error": "Request for unknown model: \'m\' has no available versions"}', "not ready"),
        (401, "<html>Please log in</html>", "refused"),
        (403, "no", "refused"),
        (200, "<html>Welcome</html>", "no Triton"),
        (500, "oops", "status 500"),
        (503, "busy", "status 503"),
    ],
)
def test_answers_are_told_apart(monkeypatch: pytest.MonkeyPatch, status: int, body: str, said: str) -> None:
    """A server that has answered is not said to have given no answer."""
    with _answering(status, body) as endpoint:
        code, lines = _check(monkeypatch, _model(endpoint))
    assert code == 1
    assert lines[1].endswith(f"  {said}"), lines
    assert lines[-1] == "\n1 inference model, 1 with problems"


@pytest.mark.parametrize("status", [204, 206, 429, 500, 503, 600])
def test_an_empty_answer_names_the_server_and_its_status(monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    """Where a server says nothing, its address and status are said, whether it was asked again or not."""
    with _answering(status, "") as endpoint:
        _, lines = _check(monkeypatch, _model(endpoint))
    said = "\n".join(lines)
    assert f"Triton at {endpoint} says: (an empty answer)" in said
    assert f"Status {status}: the server's log says more" in said


def test_no_answer_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody who listens, one who is silent, and a secret that is not set are three things."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        models = [
            _model(f"http://127.0.0.1:{free_port()}", "nowhere"),
            _model(f"http://127.0.0.1:{silent.getsockname()[1]}", "silent"),
            _model("http://127.0.0.1:9", "secret", ", 'auth-token' = '${NO_SUCH_TOKEN}'"),
        ]
        code, lines = _check(monkeypatch, *models)
    assert code == 1
    assert [line.rsplit("  ", 1)[-1].strip() for line in lines[1:4]] == ["no answer", "timeout", "invalid"]
    assert lines[-1] == "\n3 inference models, 3 with problems"


def test_one_of_several_servers_that_is_away_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model is well as long as one of its servers answers, and who is away is said even so."""
    inputs, outputs = ([{"name": name, "datatype": "BYTES", "shape": [1]}] for name in "AB")
    body = json.dumps({"name": "m", "versions": ["1"], "inputs": inputs, "outputs": outputs, "max_batch_size": 0})
    away = f"http://127.0.0.1:{free_port()}"
    with _answering(200, body) as endpoint:
        code, lines = _check(monkeypatch, _model(f"{endpoint}, {away}"))
    assert code == 0, lines
    assert lines[1].endswith("  ok"), lines
    assert [line for line in lines if line.startswith("\nm: ") and away in line and "until it answers" in line], lines


def test_words_for_models() -> None:
    """A name means the latest version, else a version in either form, else an alias; whatever its case."""
    models = [
        _model("x", "vm", version=1, is_latest=False, alias="vm_v1"),
        _model("x", "vm", version=2, alias="current"),
        _model("x", "vm", version=3, is_latest=False, alias="next"),
        _model("x", "other", alias="vm_v9"),
    ]
    words = {"vm": [1], "VM ": [1], "vm.v1": [0], "VM_V3": [2], "vm.V2": [1], "next": [2], "vm_v9": [3], "vm.v4": []}
    for word, places in words.items():
        assert models_called(models, word) == [models[place] for place in places], word
    assert [model.name for model in models] == ["vm.v1", "vm.v2", "vm.v3", "other"]
