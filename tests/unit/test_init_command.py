"""The command `dbt-triton init --model` and `--all`: what goes over the wire, and into which files."""

from __future__ import annotations

import json
import os
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, ClassVar

import pytest
from support.web_server import listening

from dbt_triton.cli import main

_TEXT = {"name": "INPUT_TEXT", "datatype": "BYTES", "shape": [-1, 1]}
_LABEL = {"name": "LABEL", "datatype": "BYTES", "shape": [-1, 1]}


class Served(BaseHTTPRequestHandler):
    """A server that says what a test wants, and keeps what it was asked."""

    #: By the name of a model, what its metadata and its config say, beside the usual.
    models: ClassVar[dict[str, tuple[dict[str, Any], dict[str, Any]]]] = {}
    index: ClassVar[list[dict[str, str]] | None] = None
    asked: ClassVar[list[tuple[str, str | None]]] = []

    def do_GET(self) -> None:
        """Answer what is asked about the server or a model."""
        self.asked.append((self.path, self.headers["Authorization"]))
        parts = self.path.removeprefix("/v2/models/").split("/")
        if self.path == "/v2":
            self._say({"name": "triton", "version": "2.51.0", "extensions": ["binary_tensor_data"]})
        elif parts[0] not in self.models:
            self._say({"error": f"Request for unknown model: '{parts[0]}' is not found"}, 404)
        elif parts[-1] == "config":
            self._say({"max_batch_size": 8, **self.models[parts[0]][1]})
        elif parts[-1] == "ready":
            self._say({})
        else:
            said = {"name": parts[0], "versions": ["1"], "platform": "python", "inputs": [_TEXT], "outputs": [_LABEL]}
            self._say(said | self.models[parts[0]][0])

    def do_POST(self) -> None:
        """List the models."""
        self.asked.append((self.path, self.headers["Authorization"]))
        self.rfile.read(int(self.headers["Content-Length"]))
        listed = [{"name": name, "version": "1", "state": "READY"} for name in self.models]
        self._say(listed if self.index is None else self.index)

    def _say(self, answer: object, status: int = 200) -> None:
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> type[Served]:
    """What the server serves, and what it was asked."""
    monkeypatch.setattr(Served, "models", {"text-classifier": ({}, {})})
    monkeypatch.setattr(Served, "index", None)
    monkeypatch.setattr(Served, "asked", [])
    return Served


@pytest.fixture
def endpoint(served: type[Served]) -> Generator[str]:
    """The server."""
    with listening(served) as url:
        yield url


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project, which is the current folder."""
    (tmp_path / "dbt_project.yml").write_text("name: shop\nprofile: shop\nmodel-paths: [models, more/models]\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def written(project: Path) -> set[str]:
    """Return the files of the project, but for its settings."""
    files = (file.relative_to(project) for file in project.rglob("*") if file.is_file())
    return {str(file) for file in files} - {"dbt_project.yml", "packages.yml"}


NAMES = {"text_classifier.sql", "text_classifier_predicted.sql", "text_classifier_predicted.yml"}


def test_three_files_and_the_package(
    project: Path, endpoint: str, capsys: pytest.CaptureFixture[str], served: type[Served]
) -> None:
    """One command writes three files, lists the package, and says what was written and which command is next."""
    assert main(["init", "--model", "text-classifier", "--endpoint", f"{endpoint}/v2/models/"]) == 0
    assert written(project) == {f"models/{name}" for name in NAMES}
    said = capsys.readouterr().out
    assert said.startswith("added to packages.yml:\n- local: ")
    assert [line.split()[:2] for line in said.splitlines() if line.startswith("wrote")] == [
        ["wrote", f"models/{name}"] for name in sorted(NAMES)
    ]
    assert said.endswith("next: `dbt deps`, then `dbt build --select +text_classifier_predicted`\n")
    assert f"'endpoint' = '{endpoint}',\n" in (project / "models/text_classifier.sql").read_text()
    assert [path for path, _ in served.asked] == [
        "/v2",
        "/v2/models/text-classifier",
        "/v2/models/text-classifier/config",
        "/v2/models/text-classifier/ready",
    ]


def test_files_stay_as_they_are(project: Path, endpoint: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that is there is never replaced, nor is any other written then, unless --force says so."""
    arguments = ["init", "--model", "text-classifier", "--endpoint", endpoint]
    (project / "models").mkdir()
    file = project / "models" / "text_classifier_predicted.sql"
    file.write_text("select 1\n")
    assert main(arguments) == 1
    assert "models/text_classifier_predicted.sql is there already, and nothing was written" in capsys.readouterr().err
    assert written(project) == {"models/text_classifier_predicted.sql"}
    assert not (project / "packages.yml").exists()
    assert file.read_text() == "select 1\n"
    assert main([*arguments, "--force"]) == 0
    assert "ml_predict" in file.read_text()
    assert main([*arguments, "--name", "another"]) == 0
    assert "CREATE MODEL `another`" in (project / "models" / "another.sql").read_text()


@pytest.mark.parametrize("model", [[], ["--model", "text-classifier"]], ids=["package", "model"])
def test_dispatch_that_is_left_to_the_user_leaves_every_file(
    project: Path, endpoint: str, capsys: pytest.CaptureFixture[str], model: list[str]
) -> None:
    """Nothing is changed unless all of it can be: with a dispatch of dbt to another package, no file is."""
    settings = project / "dbt_project.yml"
    settings.write_text(settings.read_text() + "dispatch:\n  - macro_namespace: dbt\n    search_order: [other, dbt]\n")
    before = {file: file.read_bytes() for file in project.rglob("*") if file.is_file()}
    assert main(["init", *model, *(["--endpoint", endpoint] if model else []), "--dispatch"]) == 1
    out, error = capsys.readouterr()
    assert not out
    assert "write dbt_triton before dbt in its search_order" in error
    assert {file: file.read_bytes() for file in project.rglob("*") if file.is_file()} == before


def test_links_are_not_followed(project: Path, endpoint: str) -> None:
    """A link that has the name of a file is there, and --force replaces the link, not what it leads to."""
    (project / "models").mkdir()
    (project / "elsewhere.txt").write_text("kept")
    (project / "models" / "text_classifier.sql").symlink_to(project / "elsewhere.txt")
    arguments = ["init", "--model", "text-classifier", "--endpoint", endpoint]
    assert main(arguments) == 1
    assert main([*arguments, "--force"]) == 0
    assert (project / "elsewhere.txt").read_text() == "kept"


@pytest.mark.parametrize(
    "file", ["models/deep/Text_Classifier.sql", "more/models/text_classifier_predicted.py", "seeds/text_classifier.csv"]
)
def test_names_that_dbt_has_already(
    project: Path, endpoint: str, capsys: pytest.CaptureFixture[str], file: str
) -> None:
    """A model, seed or snapshot of the same name, wherever it is, is an error, even with --force."""
    (project / file).parent.mkdir(parents=True)
    (project / file).write_text("")
    assert main(["init", "--model", "text-classifier", "--endpoint", endpoint, "--force"]) == 1
    assert f"{file} has the name text_classifier" in capsys.readouterr().err
    assert written(project) == {file}


def test_folder_is_one_that_dbt_reads(project: Path, endpoint: str, capsys: pytest.CaptureFixture[str]) -> None:
    """--models-path is a folder within model-paths, made if need be; another one is refused."""
    arguments = ["init", "--model", "text-classifier", "--endpoint", endpoint, "--models-path"]
    for folder in ("../outside", "seeds", "/tmp"):  # noqa: S108 - nothing is written there
        assert main([*arguments, folder]) == 1
        assert "model-paths of" in capsys.readouterr().err
    assert main([*arguments, "more/models/triton"]) == 0
    assert written(project) == {f"more/models/triton/{name}" for name in NAMES}


def test_folder_that_jinja_names(project: Path, endpoint: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Where model-paths are Jinja, which only dbt can read, the folder is to be said."""
    (project / "dbt_project.yml").write_text("name: shop\nmodel-paths: [\"{{ env_var('MODELS') }}\"]\n")
    arguments = ["init", "--model", "text-classifier", "--endpoint", endpoint]
    assert main(arguments) == 1
    assert "say the folder with --models-path" in capsys.readouterr().err
    assert main([*arguments, "--models-path", "ours"]) == 0
    assert written(project) == {f"ours/{name}" for name in NAMES}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--model", "a"], "--model needs --endpoint URL"),
        (["--all"], "--all needs --endpoint URL"),
        (["--endpoint", "http://localhost"], "--endpoint needs --model NAME"),
        (["--force"], "--force needs --model NAME"),
        (["--model", "a", "--all", "--endpoint", "http://localhost"], "leave one of the two out"),
        (["--model", "a", "--model", "b", "--name", "c", "--endpoint", "http://localhost"], "--name is for one"),
        (["--model", "a.b", "--model", "a-b", "--endpoint", "http://localhost"], "would have one name in dbt"),
        (["--model", "a", "--model", "a_predicted", "--endpoint", "http://localhost"], "would have one name in dbt"),
        (["--model", "a", "--name", "../a", "--endpoint", "http://localhost"], "made of letters, digits and _"),
        (["--model", "../a", "--endpoint", "http://localhost"], "Triton reads the name from the URL"),
        (["--model", "a", "--endpoint", "localhost:8000"], "write http(s)://host[:port]"),
        (["--model", "a", "--endpoint", "http://localhost", "--option", "timeout"], "an equals sign is missing"),
        (["--model", "a", "--endpoint", "http://localhost", "--option", "timeot=5s"], "did you mean timeout"),
        (["--model", "a", "--endpoint", "http://localhost", "--option", "endpoint=http://b"], "said twice"),
    ],
)
def test_arguments_that_do_not_go_together(
    project: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    """What the command line lacks or has too much is one sentence, before any server is asked."""
    assert main(["init", *arguments]) == 1
    assert words in capsys.readouterr().err
    assert not written(project)


def test_without_a_project(tmp_path: Path, endpoint: str, capsys: pytest.CaptureFixture[str]) -> None:
    """--model wants a project, and --all none."""
    assert main(["init", "--project-dir", str(tmp_path), "--model", "x", "--endpoint", endpoint]) == 1
    assert "is not the folder of a dbt project" in capsys.readouterr().err
    assert main(["init", "--project-dir", str(tmp_path), "--all", "--endpoint", endpoint]) == 0


def test_model_that_is_not_served(project: Path, endpoint: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A name that the server does not know changes nothing, and the message says how to list what there is."""
    assert main(["init", "--model", "nope", "--endpoint", endpoint]) == 1
    said = capsys.readouterr().err
    assert "'nope' is not found" in said
    assert f"nothing was written; `dbt-triton init --all --endpoint {endpoint}` lists what is served" in said
    assert not written(project)
    assert not (project / "packages.yml").exists()


@pytest.mark.parametrize(
    ("wanted", "version", "said"),
    [
        ("text-clasifier", None, "Did you mean text-classifier? Check model-name"),
        ("classifier", None, "Did you mean text-classifier?"),
        ("sentiment", None, "\n  Check model-name"),
        ("text-classifier", "9", "It serves versions 1, 3 of that model. Check"),
        (
            "broken",
            None,
            "The server has that model, and has not loaded it: Internal: ModuleNotFoundError: no x. Check",
        ),
        ("never", None, "has not loaded it: the server gives no reason: it was not asked to load it"),
        ("gone", None, "has not loaded it: somebody has unloaded it. Check"),
        ("coming", None, "The server has that model, and has not loaded it. Check"),
    ],
)
@pytest.mark.parametrize("command", ["init", "predict"])
@pytest.mark.usefixtures("project")
def test_what_the_server_has_instead(  # noqa: PLR0913, PLR0917 - a case
    endpoint: str,
    served: type[Served],
    capsys: pytest.CaptureFixture[str],
    wanted: str,
    version: str | None,
    said: str,
    command: str,
) -> None:
    """Of a model that is not served, an error says the nearest name, the versions, or why it is not loaded."""
    served.models.clear()
    why = "Internal: ModuleNotFoundError: no x"
    served.index = [
        {"name": "text-classifier", "version": "1", "state": "READY"},
        {"name": "text-classifier", "version": "3", "state": "READY"},
        {"name": "broken", "version": "1", "state": "UNAVAILABLE", "reason": f"{why}\n\nAt:\n  /a"},
        {"name": "never"},
        {"name": "gone", "version": "1", "state": "UNAVAILABLE", "reason": "unloaded"},
        {"name": "coming", "version": "1", "state": "LOADING"},
    ]  # fmt: skip
    if command == "init":
        more = [] if version is None else ["--model-version", version]
        assert main(["init", "--model", wanted, "--endpoint", endpoint, *more]) == 1
    else:
        more = [] if version is None else ["--option", f"model-version={version}"]
        assert main(["predict", "--model-name", wanted, "--endpoint", endpoint, *more, "x"]) == 1
    assert said in capsys.readouterr().err
    assert [path for path, _ in served.asked].count("/v2/repository/index") == 1


def test_thousands_of_tensors(endpoint: str, served: type[Served], capsys: pytest.CaptureFixture[str]) -> None:
    """A schema of thousands of columns that is not the served one is told at once, by its first columns."""
    inputs = [{"name": f"t{number}", "datatype": "FP32", "shape": [-1, 1]} for number in range(1_500)]
    served.models |= {"wide": ({"inputs": inputs}, {})}
    columns = ", ".join(f"c{number} DOUBLE" for number in range(1_500))
    arguments = ["predict", "--endpoint", endpoint, "--model-name", "wide"]
    assert main([*arguments, "--input", columns, "c0=1"]) == 1
    said = capsys.readouterr().err
    assert main([*arguments, "--file", "/dev/null", "--file-type", "text"]) == 1
    said += capsys.readouterr().err
    assert len(said) < 8_000
    assert "more" in said


@pytest.mark.parametrize("index", [[], {"no": "list"}, [{"version": "1"}], "x" * 100])
@pytest.mark.usefixtures("project")
def test_a_server_that_does_not_say_what_it_has(
    endpoint: str, served: type[Served], capsys: pytest.CaptureFixture[str], index: Any
) -> None:
    """Where the list of models cannot be had, the error is what it is without it."""
    served.index = index
    assert main(["init", "--model", "nope", "--endpoint", endpoint]) == 1
    assert "'nope' is not found\n  Check model-name and model-version" in capsys.readouterr().err


def test_token_is_sent_and_not_written(
    project: Path, endpoint: str, served: type[Served], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token of the environment goes with every request, and the file has the variable's name."""
    monkeypatch.setenv("TRITON_TOKEN", "s3cret-token")
    option = ["--option", "auth-token=${TRITON_TOKEN}"]
    assert main(["init", "--model", "text-classifier", "--endpoint", endpoint, *option]) == 0
    assert main(["init", "--all", "--endpoint", endpoint, *option]) == 0
    assert {token for _, token in served.asked} == {"Bearer s3cret-token"}
    assert "/v2/repository/index" in {path for path, _ in served.asked}
    text = (project / "models/text_classifier.sql").read_text()
    assert "'auth-token' = '${TRITON_TOKEN}'" in text
    assert "s3cret" not in text


@pytest.mark.parametrize(
    "option",
    [
        "auth-token=s3cret-token",
        "auth-token=Bearer s3cret-token",
        'custom-headers={"X-Api-Key": "s3cret-token"}',
        "custom-headers=X-Team:reviews,X-Api-Key:s3cret-token",
        "custom-headers.X-Api-Key=s3cret-token",
        "custom-headers.X-Session=s3cret-${TRITON_TOKEN}",
        "custom-headers.X-Forwarded=Bearer s3cret-token",
        "custom-headers.X-Forwarded=eyJ.s3cret.token",
    ],
)
def test_secret_itself_is_refused(
    project: Path, endpoint: str, served: type[Served], capsys: pytest.CaptureFixture[str], option: str
) -> None:
    """A literal secret, which would stand in the file, is refused before it is sent, and is not repeated."""
    assert main(["init", "--model", "text-classifier", "--endpoint", endpoint, "--option", option]) == 1
    said = capsys.readouterr().err
    assert "set a variable of the environment" in said
    assert "s3cret" not in said
    assert not written(project)
    assert not served.asked


@pytest.mark.parametrize("value", ["reviews", "Bearer ${TRITON_TOKEN}", "${TRITON_TOKEN}"])
def test_header_without_a_secret_is_written(
    project: Path, endpoint: str, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    """A header that holds no secret, or the name of one, stands in the file as it was said."""
    monkeypatch.setenv("TRITON_TOKEN", "s3cret-token")
    option = f"custom-headers.X-Forwarded={value}"
    assert main(["init", "--model", "text-classifier", "--endpoint", endpoint, "--option", option]) == 0
    assert f"'custom-headers.X-Forwarded' = '{value}'" in (project / "models/text_classifier.sql").read_text()


def test_options_stand_in_the_file(project: Path, endpoint: str, served: type[Served]) -> None:
    """What a user says besides, the version among it, is asked for and written; a header without a secret, too."""
    more = [
        "--model-version",
        "3",
        "--option",
        "timeout=5 s",
        "--option",
        'custom-headers={"X-Tenant": "it\'s {{ us }}"}',
    ]
    assert main(["init", "--model", "text-classifier", "--endpoint", endpoint, *more]) == 0
    text = (project / "models/text_classifier.sql").read_text()
    assert "    'model-version' = '3',\n    'timeout' = '5 s',\n" in text
    assert """'custom-headers' = '{"X-Tenant": "it''s {{ '{' }}{ us }}"}'\n""" in text
    assert "/v2/models/text-classifier/versions/3" in {path for path, _ in served.asked}


def test_several_servers(project: Path, endpoint: str, served: type[Served]) -> None:
    """Several endpoints share a model, which all of them must serve; they are one option in the file."""
    with listening(served) as other:
        assert main(["init", "--model", "text-classifier", "--endpoint", endpoint, "--endpoint", f"{other}/v2"]) == 0
        assert main(["init", "--all", "--endpoint", endpoint, "--endpoint", other]) == 0
    assert f"'endpoint' = '{endpoint}, {other}'" in (project / "models/text_classifier.sql").read_text()


def test_several_models(project: Path, endpoint: str, served: type[Served]) -> None:
    """Several models are written by one command, or none of them where one cannot be."""
    served.models["other"] = ({}, {})
    assert main(["init", "--endpoint", endpoint, "--model", "text-classifier", "--model", "nope"]) == 1
    assert not written(project)
    assert main(["init", "--endpoint", endpoint, "--model", "text-classifier", "--model", "other"]) == 0
    assert len(written(project)) == 6


def test_spark_is_seen_in_the_profile(project: Path, endpoint: str, served: type[Served]) -> None:
    """A project whose target is Spark gets Spark's SQL; any other gets DuckDB's."""
    pair = {"name": "TEXT", "datatype": "BYTES", "shape": [-1, 2]}
    served.models["text-classifier"] = ({"inputs": [pair]}, {})
    profile = {"target": "{{ env_var('T', 'a') }}", "outputs": {"a": {"type": "spark"}, "b": {"type": "duckdb"}}}
    (project / "profiles.yml").write_text(json.dumps({"shop": profile}))
    arguments = ["init", "--model", "text-classifier", "--endpoint", endpoint, "--force"]
    file = project / "models/text_classifier_predicted.sql"
    assert main(arguments) == 0
    assert "as varchar[2])" in file.read_text()
    assert main([*arguments, "--target", "a"]) == 0
    assert "as array<string>)" in file.read_text()


def test_all_lists_what_is_served(endpoint: str, served: type[Served], capsys: pytest.CaptureFixture[str]) -> None:
    """--all is a table of every model and version, with what is not ready and why, and names that no URL carries."""
    many = [{"name": f"T{number}", "datatype": "FP32", "shape": [-1, 3]} for number in range(9)]
    chat = [{"name": name, "datatype": "BYTES", "shape": [1]} for name in ("text_input", "sampling_parameters")]
    answer = [{"name": "text_output", "datatype": "BYTES", "shape": [-1]}]
    served.models |= {
        "many": ({"inputs": many, "platform": "ensemble"}, {"input": [{"name": "T0", "optional": True}]}),
        "chat": ({"inputs": chat, "outputs": answer}, {"model_transaction_policy": {"decoupled": True}}),
    }
    served.index = [
        {"name": "text-classifier", "version": "1", "state": "READY"},
        {"name": "text-classifier", "version": "10", "state": "READY"},
        {"name": "many", "version": "1", "state": "READY"},
        {"name": "chat", "version": "1", "state": "READY"},
        {"name": "broken", "version": "1", "state": "UNAVAILABLE", "reason": "no {{ file }}\nthere \x1b[31m"},
        {"name": "never"},
        {"name": "../../etc", "version": "1", "state": "READY"},
    ]
    assert main(["init", "--all", "--endpoint", endpoint]) == 0
    lines = capsys.readouterr().out.splitlines()
    cells = [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in lines[:8]]
    assert cells[0] == ["model", "version", "ready", "inputs", "outputs", "kind"]
    several = ", ".join(f"T{number} FP32[-1, 3]" for number in range(1, 5))
    label, text = "LABEL BYTES[-1, 1]", "INPUT_TEXT BYTES[-1, 1]"
    assert cells[1:] == [
        ["../../etc", "1", "no"],
        ["broken", "1", "no", "unavailable"],
        ["chat", "1", "yes", "text_input BYTES[1], sampling_parameters BYTES[1]", "text_output BYTES[-1]",
         "language model (vLLM)"],
        ["many", "1", "yes", f"{several}, 5 more", label, "ensemble"],
        ["never", "no", "not loaded"],
        ["text-classifier", "1", "yes", text, label, "python"],
        ["text-classifier", "10", "yes", text, label, "python"],
    ]  # fmt: skip
    assert "broken: no {{ file }} there \\x1b[31m" in lines
    assert any(line.startswith("never: the server gives no reason: it was not asked to load it") for line in lines)
    assert any(line.startswith("../../etc: model-name: Triton reads the name from the URL") for line in lines)
    assert lines[-1].startswith(f"next: `dbt-triton init --endpoint {endpoint} --model NAME`")
    assert not [path for path, _ in served.asked if "etc" in path]


@pytest.mark.parametrize("index", [[], {"no": "list"}, [{"version": "1"}]])
def test_all_where_nothing_is_served(
    endpoint: str, served: type[Served], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, index: Any
) -> None:
    """A server without models, and one that is no Triton, are said in a sentence, with the exit code 1."""
    monkeypatch.setattr(served, "index", index)
    assert main(["init", "--all", "--endpoint", endpoint]) == 1
    said = capsys.readouterr()
    assert "no model is ready there" in said.out if index == [] else "is no list of models" in said.err


def test_all_where_nobody_listens(capsys: pytest.CaptureFixture[str]) -> None:
    """A server that is away is named, with what to look at."""
    assert main(["init", "--all", "--endpoint", "http://127.0.0.1:9", "--option", "max-retries=0"]) == 1
    said = capsys.readouterr().err
    assert "cannot connect to Triton at http://127.0.0.1:9" in said
    assert "Check endpoint" in said


def test_files_have_the_users_umask(project: Path, endpoint: str) -> None:
    """The files can be read by whom the user's umask lets read them."""
    before = os.umask(0o077)
    try:
        assert main(["init", "--model", "text-classifier", "--endpoint", endpoint]) == 0
    finally:
        os.umask(before)
    assert {file.stat().st_mode & 0o777 for file in (project / "models").iterdir()} == {0o600}
