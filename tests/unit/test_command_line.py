import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dbt_triton import __version__, server
from dbt_triton.cli import main

COMMAND = Path(sys.executable).parent / "dbt-triton"


@pytest.fixture(autouse=True)
def _signal_handlers() -> Iterator[None]:
    """`serve` handles SIGTERM for the rest of its process, which here is that of the tests."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([COMMAND, *arguments], capture_output=True, text=True, check=False, timeout=120)


def test_version() -> None:
    """`dbt-triton --version` prints the version and nothing else."""
    done = _run("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"dbt-triton {__version__}\n", "")


def test_package_path() -> None:
    """`dbt-triton package-path` prints one line: the folder of the dbt package, for packages.yml."""
    done = _run("package-path")
    assert (done.returncode, done.stderr) == (0, "")
    folder = Path(done.stdout.removesuffix("\n"))
    assert (folder / "dbt_project.yml").is_file()
    assert (folder / "macros" / "ml_predict.sql").is_file()


def test_wrong_usage() -> None:
    """A command that does not exist, or none, is answered with the usage and dbt's own exit code for it."""
    for arguments in (
        [],
        ["predict"],
        ["serve"],
        ["serve", ".", "--port", "http"],
        ["serve", ".", "--port", "99999"],
        ["serve", ".", "--port", "-1"],
    ):
        done = _run(*arguments)
        assert done.returncode == 2
        assert done.stderr.startswith("usage: dbt-triton")
        if "--port" in arguments:
            assert "a port is a number from 0 to 65535" in done.stderr or arguments[-1] == "-1"


def _serve_fails(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["serve", *arguments]) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith("dbt-triton: ")
    return captured.err


@pytest.mark.parametrize("kind", ["missing", "file"])
def test_serve_without_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str) -> None:
    """Serving what is no folder is one clear sentence with the path, not a traceback."""
    path = tmp_path / "models"
    if kind == "file":
        path.write_text("")
    assert f"{path} is not a folder; give the path of a model repository" in _serve_fails(capsys, str(path))


def test_serve_on_a_taken_port(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A port that somebody listens on is refused by its number before anything is started."""
    monkeypatch.setattr(server, "_find_wheel", lambda _: tmp_path)
    monkeypatch.setattr(server, "subprocess", SimpleNamespace(Popen=lambda *_, **__: pytest.fail("it was started")))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"port {port} on 127.0.0.1 is in use" in _serve_fails(capsys, str(tmp_path), "--port", str(port))


@pytest.mark.parametrize(
    ("platform", "system", "machine", "python"),
    [
        ("darwin", "Darwin", "arm64", (3, 12)),
        ("win32", "Windows", "AMD64", (3, 11)),
        ("linux", "Linux", "ppc64le", (3, 12)),
        ("linux", "Linux", "x86_64", (3, 13)),
        ("linux", "Linux", "x86_64", (3, 14)),
    ],
)
def test_serve_without_wheel(  # noqa: PLR0913, PLR0917 - a machine has many properties
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    platform: str,
    system: str,
    machine: str,
    python: tuple[int, int],
) -> None:
    """Where no wheel exists, the error says so and names a docker command that serves the same folder."""
    monkeypatch.setattr(server, "sys", SimpleNamespace(platform=platform, version_info=python))
    monkeypatch.setattr(server, "platform", SimpleNamespace(system=lambda: system, machine=lambda: machine))
    said = _serve_fails(capsys, str(tmp_path))
    assert "docker run --rm -p 8000:8000" in said
    assert f"-v {tmp_path}:/models" in said
    assert (f"no Triton wheel for {system} on {machine}" in said) == (python < (3, 13))


def test_serve_without_the_extra(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the extra `server`, the error has the command that installs it."""

    def find_spec(name: str) -> Any:
        assert name == "pytriton"

    monkeypatch.setattr(server, "importlib", SimpleNamespace(util=SimpleNamespace(find_spec=find_spec)))
    monkeypatch.setattr(server, "sys", SimpleNamespace(platform="linux", version_info=(3, 12)))
    monkeypatch.setattr(server, "platform", SimpleNamespace(system=lambda: "Linux", machine=lambda: "x86_64"))
    said = _serve_fails(capsys, str(tmp_path))
    assert "pip install 'dbt-triton[server]'" in said
    assert "docker run" in said


def test_module_import_is_light() -> None:
    """`import dbt_triton`, which every dbt command does in its environment, loads nothing heavy and prints nothing."""
    heavy = ["pyarrow", "numpy", "httpx", "sqlglot", "duckdb", "pydantic", "orjson", "stamina", "asyncio", "ssl"]
    code = f"import sys, dbt_triton; print(sorted(set({heavy}) & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_module_import_leaves_the_environment_alone() -> None:
    """A user's own setting of what the import prepares for numpy is kept."""
    code = "import os, dbt_triton; print(os.environ['OPENBLAS_MAIN_FREE'])"
    environment = os.environ | {"OPENBLAS_MAIN_FREE": "0"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120, env=environment
    )
    assert done.stdout == "0\n"


@pytest.mark.parametrize(
    "arguments", [["package-path"], ["--version"], ["--help"], ["init"], ["init", "--dispatch"], ["init", "--help"]]
)
def test_closed_pipe_is_no_error(tmp_path: Path, arguments: list[str]) -> None:
    """Whoever reads the output may stop reading, as `head` does: the work is done, and nothing is said of the pipe."""
    (tmp_path / "dbt_project.yml").write_text("name: shop\n")
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [COMMAND, *arguments],
            stdout=writer,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=120,
            cwd=tmp_path,
        )
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "packages.yml").exists() == (arguments[-1] != "--help" and arguments[0] == "init")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full disk to write to")
def test_full_disk_is_one_sentence(tmp_path: Path) -> None:
    """Output that cannot be written is told on standard error, without a traceback, by the exit code 1."""
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [COMMAND, "package-path"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=120,
            cwd=tmp_path,
        )
    assert done.returncode == 1
    assert done.stderr.startswith("dbt-triton: ")
    assert "Traceback" not in done.stderr


def test_file_that_cannot_be_written_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A project whose files cannot be read or written is told by the file, without a traceback."""
    (tmp_path / "dbt_project.yml").write_text("name: shop\n")
    (tmp_path / "packages.yml").mkdir()
    assert main(["init", "--project-dir", str(tmp_path)]) == 1
    assert capsys.readouterr().err.startswith(f"dbt-triton: {tmp_path / 'packages.yml'}: ")
    (tmp_path / "packages.yml").rmdir()
    (tmp_path / "packages.yml").write_bytes(b"packages: # \xff\n")
    assert main(["init", "--project-dir", str(tmp_path)]) == 1
    assert "not UTF-8" in capsys.readouterr().err
