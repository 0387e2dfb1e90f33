"""Whatever a process inherits from who started it, the product and these tests work: a few places that have everything.

Each place joins what was tried one by one, so that a build finds out about all of it.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from support.dbt import DbtProject
from support.inherited import Inherited, copy_of_repository, read_only
from support.small_project import LOUD, write_small_project
from support.triton import MODELS, Triton

pytestmark = [
    pytest.mark.slow,
    pytest.mark.duckdb_only("a Spark of its own takes a minute in each place"),
    pytest.mark.skipif(sys.platform == "win32", reason="it is about what a shell of Unix hands on"),
]

#: Python's own switches that leave the locale as it is.
AS_THE_LOCALE = {"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
ODD = "a place, é"
#: Started by a script in the background: `command &`, by cron, by a service manager, or with nohup.
PLACES = {
    "in the background of a script": Inherited(
        "trap '' INT; umask 077; ulimit -S -n 256",
        "<&- >&- 2>&-",
        {"TZ": "Pacific/Kiritimati", "TERM": None, "HOME": "read-only", "TMPDIR": "odd", "USER": None, "LOGNAME": None},
    ),
    "on a machine of another country": Inherited(
        "umask 027",
        "</dev/null",
        {
            **AS_THE_LOCALE,
            "TZ": "America/St_Johns",
            "HOME": "/nonexistent",
            "PYTHONOPTIMIZE": "2",
            "PYTHONHASHSEED": "7",
            "http_proxy": "http://127.0.0.1:9",
            "HTTPS_PROXY": "http://127.0.0.1:9",
            "no_proxy": "127.0.0.1",
            "COLUMNS": "20",
            # dbt itself takes no other letters than those of the locale in the path of a project.
            "PROJECT": "a place",
        },
    ),
    "where warnings are errors and the disk of the log is full": Inherited(
        "umask 0; exec 3</dev/null",
        ">/dev/full",
        {"PYTHONWARNINGS": "error", "PYTHONUNBUFFERED": None, "HOME": None, "TZ": ":nowhere"},
    ),
}
#: Of each kind a test: clocks, files and their encodings, certificates, proxies, terminals, programs, signals, dbt.
CHOSEN = [
    "tests/unit/test_command_line.py",
    "tests/unit/test_environment_proxy.py",
    "tests/unit/test_interrupts.py",
    "tests/unit/test_progress.py",
    "tests/unit/test_project_files.py",
    "tests/integration/test_interrupt.py::test_interrupt_while_the_server_is_asked",
]


def at(place: Inherited, folder: Path) -> Inherited:
    """Make the folders of a place."""
    odd = folder / ODD / "tmp"
    odd.mkdir(parents=True)
    made = {"read-only": str(read_only(folder / "home")), "odd": str(odd)}
    variables = {name: made.get(value, value) if value else value for name, value in place.variables.items()}
    return Inherited(place.shell, place.streams, variables)


@pytest.mark.parametrize("name", PLACES)
def test_build(name: str, triton: Triton, serve: Callable[[str], str], tmp_path: Path) -> None:
    """Every kind of model is built, and `dbt-triton check` compares it with the server."""
    project = DbtProject(tmp_path / (PLACES[name].variables.get("PROJECT") or ODD) / "project")
    write_small_project(project, triton.url, serve("upper"))
    place = at(PLACES[name], tmp_path)
    command, variables = project.command("build")
    environment = place.environment(variables)
    if "no_proxy" in environment:
        del environment["NO_PROXY"]
    for arguments in (command, [str(project.programs / "dbt-triton"), "check"]):
        done = subprocess.run(
            place.command(arguments), cwd=project.root, env=environment, capture_output=True, check=False, timeout=150
        )
        said = (done.stdout + done.stderr).decode(errors="replace")
        # What cannot be said is no reason to fail a build, though Python itself then ends dbt with 120.
        # Of a command, it is all that it does.
        full = "/dev/full" in place.streams
        assert "Traceback" not in said or arguments is command, said
        status = (120 if arguments is command else 1) if full else 0
        log = (project.root / "logs" / "dbt.log").read_text("utf-8")
        assert done.returncode == status, said + log[-5000:]
        assert " ERROR=0 " in log
    for table in ("predicted", "by_macro", "merged", "in_python"):
        assert project.query(f"select id, output from {table} order by id") == LOUD, table


def test_serve(tmp_path: Path) -> None:
    """A server is started from a folder with any name, says so in any encoding, and SIGTERM ends it."""
    repository = tmp_path / ODD / "models & more"
    repository.mkdir(parents=True)
    for model in ("upper", "up per"):
        (repository / model).symlink_to(MODELS / "upper", target_is_directory=True)
    place = at(
        Inherited("trap '' INT; umask 077", "<&-", {**AS_THE_LOCALE, "TMPDIR": "odd", "HOME": "read-only"}), tmp_path
    )
    program = str(Path(sys.executable).parent / "dbt-triton")
    with subprocess.Popen(
        place.command([program, "serve", str(repository), "--port", "0"]),
        env=place.environment(dict(os.environ)),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            said = ""
            while not (found := re.search(r"ready at (\S+) ", said)):
                line = process.stdout.readline()
                assert line, said
                said += line
            assert "not loaded: up per: Triton's Python backend cannot start a model with a space" in said
            ready = httpx.get(f"{found[1]}/v2/models/upper/ready", trust_env=False, timeout=30)
            assert ready.is_success, ready.text
        finally:
            process.send_signal(signal.SIGTERM)
        assert (process.stdout.read(), process.wait(timeout=30)) == ("\nstopping Triton\n", 0)
    assert not list((tmp_path / ODD / "tmp").iterdir())


def test_tests(tmp_path: Path) -> None:
    """`make test &` in a checkout at any place: tests of each kind pass, signals, encodings and clocks among them."""
    checkout = copy_of_repository(tmp_path / ODD)
    place = at(
        Inherited(
            "trap '' INT; umask 077; ulimit -S -n 256",
            "<&-",
            {
                "TZ": "Pacific/Kiritimati",
                "LC_ALL": "C",
                "TERM": None,
                "HOME": "read-only",
                "TMPDIR": "odd",
                "PYTHONPATH": str(checkout),
                "http_proxy": "http://127.0.0.1:9",
                "no_proxy": "example.com",
                "DBT_TARGET": "nothing",
                "DBT_TRITON_PROGRESS": "off",
                "PYTHONHASHSEED": "7",
            },
        ),
        tmp_path,
    )
    environment = place.environment(
        {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "DBT_"))}
    )
    for command in ([sys.executable, "-m", "pytest", "-n", "0", "-q", "--no-header", *CHOSEN], ["make", "help"]):
        done = subprocess.run(
            place.command(command),
            cwd=checkout,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=200,
        )
        assert done.returncode == 0, done.stdout + done.stderr
