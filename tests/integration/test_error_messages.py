"""What a user reads after a typical mistake: `error_messages.txt`, which UPDATE_SNAPSHOTS=1 writes anew."""

from __future__ import annotations

import json
import os
import re
import socket
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from support.dbt import REPOSITORY, DbtProject, DbtResult
from support.mistakes import MISTAKES
from support.triton import Triton
from support.web_server import listening

from dbt_triton.server import free_port

pytestmark = pytest.mark.duckdb_only("the snapshot has the words of DuckDB; test_failures has messages on Spark")

SNAPSHOT = Path(__file__).parent / "error_messages.txt"
HEADING = "=== "
FEWEST = 30
SCHEMAS = {
    "good": ("upper", "INPUT (review STRING) OUTPUT (shouted STRING)"),
    "never_built": ("upper", "INPUT (review STRING) OUTPUT (shouted STRING)"),
    "multiplying": ("arithmetic", "INPUT (price DOUBLE, quantity BIGINT) OUTPUT (total DOUBLE)"),
    "forgetful": ("wrong_rows", "INPUT (review STRING) OUTPUT (shouted STRING)"),
    "mistyped": ("wrong_datatype", "INPUT (review STRING) OUTPUT (shouted STRING)"),
    "as_served": ("arithmetic", ""),
}


@dataclass(frozen=True)
class Messages:
    """What dbt said of each mistake, with everything that differs between two machines replaced."""

    now: dict[str, str]
    kept: dict[str, str]


def _file_name(title: str) -> str:
    return "m_" + re.sub(r"\W+", "_", title).strip("_").lower()


@contextmanager
def _web_server(status: int, body: bytes) -> Generator[str, None, None]:
    """Run a server that is no Triton, and yield its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with listening(Handler) as url:
        yield url


@pytest.fixture(scope="module")
def messages(triton: Triton, serve: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Messages:
    """Make every mistake in one `dbt build`."""
    kinds = ("upper", "arithmetic", "running_total", "wrong_rows", "wrong_datatype")
    names = {kind: serve(kind) for kind in kinds}
    project = DbtProject(tmp_path_factory.mktemp("mistakes") / "project")
    with ExitStack() as stack:
        silent = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        places = names | {
            "triton": triton.url,
            "triton_https": triton.url.replace("http:", "https:"),
            "nowhere": f"http://127.0.0.1:{free_port()}",
            "silent": f"http://127.0.0.1:{silent.getsockname()[1]}",
            "web_page": stack.enter_context(_web_server(200, b"<html><title>Welcome</title></html>")),
            "nonsense": stack.enter_context(_web_server(200, b'{"version": null, "versions": [1], "inputs": {}}')),
            "login": stack.enter_context(_web_server(401, b"<html><title>Please log in</title></html>")),
        }
        _write(project, places)
        result = project.fails("--exclude", "never_built")
    built = {title: result.status(_file_name(title)) for title in MISTAKES}
    assert {title for title, status in built.items() if status != "error"} == set(), result.printed
    kept = _read(SNAPSHOT.read_text(encoding="utf-8")) if SNAPSHOT.exists() else {}
    now = {title: _stable(result, title, project, places) for title in MISTAKES}
    if os.environ.get("UPDATE_SNAPSHOTS"):
        SNAPSHOT.write_text("".join(f"{HEADING}{title}\n{text}\n\n" for title, text in now.items()), encoding="utf-8")
        kept = now
    return Messages(now, kept)


def _write(project: DbtProject, places: dict[str, str]) -> None:
    project.model("reviews", "select 1 as id, 'good' as review union all select 2, 'bad'")
    project.model("one_row", "select 1 as id")
    project.model("refused", "select 1 as id, 'good' as review union all select 2, 'REFUSE this'")
    for name, (kind, schema) in SCHEMAS.items():
        options = f"'provider' = 'triton', 'endpoint' = '{places['triton']}', 'model-name' = '{places[kind]}'"
        sql = f"CREATE MODEL {name}\n{schema}\nWITH ({options}, 'max-retries' = '0')"
        project.model(name, "{{ config(materialized='inference_model') }}\n" + sql)
    properties = []
    for title, mistake in MISTAKES.items():
        name = _file_name(title)
        project.model(name, mistake.sql.format(name=name, **places))
        if mistake.properties:
            properties.append({"name": name} | mistake.properties)
    project.write("models/properties.yml", json.dumps({"models": properties}))


def _stable(result: DbtResult, title: str, project: DbtProject, places: dict[str, str]) -> str:
    """Return a message with what differs from run to run replaced by a name."""
    name = _file_name(title)
    text = str(result.results[name]["message"])
    for what, value in sorted(places.items(), key=lambda item: -len(item[1])):
        text = text.replace(value, f"<{what}>")
    text = text.replace(str(project.root), "<project>")
    text = re.split(r"\n\s*\n\s*> in macro ", text)[0]  # the same macros each time
    text = re.sub(
        r"ml_fingerprint = '[0-9a-f]+'", "ml_fingerprint = '<fingerprint>'", text
    )  # of the server's address, too
    text = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:<port>", text)
    text = re.sub(r"\[Errno -\d\] [^\n]*", "<what the system says>", text)
    # Closed or reset, as the server and the system please.
    text = re.sub(r"(cannot connect to Triton at <triton_https>: )[^\n]*", r"\1<what the system says>", text)
    lines = [line.rstrip() for line in text.strip().splitlines()]
    # The first failed rows, in an order of their own.
    shown = iter(sorted(line for line in lines if line.startswith(_ROW)))
    return "\n".join(next(shown) if line.startswith(_ROW) else line for line in lines)


def _read(text: str) -> dict[str, str]:
    parts = re.split(rf"^{HEADING}(.*)\n", text, flags=re.MULTILINE)[1:]
    return {title: message.strip() for title, message in zip(parts[::2], parts[1::2], strict=True)}


def test_as_many_mistakes_as_kept() -> None:
    """The file of messages has every mistake once, and there are many of them."""
    assert len(MISTAKES) >= FEWEST
    assert list(_read(SNAPSHOT.read_text(encoding="utf-8"))) == list(MISTAKES)


@pytest.mark.slow
@pytest.mark.parametrize("title", MISTAKES)
def test_message(messages: Messages, title: str) -> None:
    """The message after this mistake is the one that was reviewed: what happened, where, and what to do."""
    assert messages.now[title] == messages.kept.get(title)


@pytest.mark.slow
@pytest.mark.parametrize("title", MISTAKES)
def test_message_is_for_people(messages: Messages, title: str) -> None:
    """No message has a traceback, an object's address or a secret; ours name the model, and no bug."""
    said = messages.now[title]
    for word in ("Traceback", "object at 0x", ":secret@", "This is a bug", "pydantic"):
        assert word not in said, said
    if not MISTAKES[title].said_by_dbt:
        assert _file_name(title) in said, said


PREDICTING = "{{ config(materialized='ml_predict') }} select 1 as id"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sql", "has_package", "words"),
    [
        ("select * from {{ ref('nowhere') }}", True, "depends on a node named 'nowhere' which was not found"),
        (PREDICTING, False, "No materialization 'ml_predict' was found"),
        ("select * from {{ dbt_triton.ml_predict('a', 'b', 'c') }}", False, "'dbt_triton' is undefined"),
    ],
)
def test_words_of_dbt(project: DbtProject, sql: str, has_package: bool, words: str) -> None:
    """What dbt itself says of a missing node, or of the missing package, is what docs/errors.md explains."""
    project.model("broken", sql)
    if not has_package:
        project.write("packages.yml", "packages: []")
        (project.root / "dbt_packages" / "dbt_triton").unlink()
    assert words in " ".join(project.fails().printed.split())


#: What the page explains, and another test provokes.
#: How a failed row is shown.
_ROW = "      id = "
PROVOKED_ELSEWHERE = {
    "the server said",
    "when",
    "was built",
    "Status 403",
    "no connection to Triton at",
    "within",
    "ms",
    "accepted, and not needed here:",
    "has no available versions",
    "the next run goes on from there",
    "needs its Python package in the environment of dbt",
    "the dbt package dbt_triton is",
    "but the Python package",
    "Conflicting lock is held",
    "depends on a node named",
    "which was not found",
    "No materialization 'ml_predict' was found",
    "'dbt_triton' is undefined",
    "dbt show makes no predictions here",
    "dbt show predicts for at most 1,000 rows",
    "the file has no column",
    "is not built, and dbt show shows its table",
    "the fixture of the inference model",
    "needs",
    "Invalid column name:",
    "in unit test fixture for",
    "Not able to get columns for unit test",
    "is_incremental() is always false with",
    'Referenced column "ml_error" not found',
    "config of ml_predict in",
    ": auth-token: write ${NAME}",
}


def test_page_of_errors_quotes_what_is_said() -> None:
    """Every text that docs/errors.md explains is one that users see."""
    page = (REPOSITORY / "docs" / "errors.md").read_text(encoding="utf-8")
    said = SNAPSHOT.read_text(encoding="utf-8")
    cells = re.findall(r"^\| (`.+?`) \| ", page, re.MULTILINE)
    spans = [span for cell in cells for span in re.findall(r"`([^`]+)`", cell)]
    quoted = [part.strip(" ?,") for span in spans for part in span.split("…")]
    assert len(quoted) > FEWEST
    unknown = {part for part in quoted if len(part) > len("is")} - PROVOKED_ELSEWHERE
    assert {part for part in unknown if part not in said} == set()
