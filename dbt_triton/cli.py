"""The command ``dbt-triton``."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType

from dbt_triton import __version__, commands
from dbt_triton.adhoc import arguments as of_predict
from dbt_triton.errors import DbtTritonError
from dbt_triton.init import arguments as init_arguments
from dbt_triton.init.command import init
from dbt_triton.instrumentation.logs import configure_logging
from dbt_triton.model_repository import model_folders
from dbt_triton.report import arguments as report_arguments
from dbt_triton.server import MAX_PORT, TritonServer
from dbt_triton.standard_streams import make_usable, tell
from dbt_triton.tune.arguments import add_arguments


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command, and return its exit code."""
    make_usable()
    try:
        return _run(argv)
    except KeyboardInterrupt:
        print("dbt-triton: interrupted", file=sys.stderr)
        return 128 + signal.SIGINT
    finally:
        # Here, rather than at the end of Python, which would complain of a closed pipe. A full disk has been told.
        with suppress(OSError):
            _say("", end="")


def _run(argv: Sequence[str] | None) -> int:
    parser = _parser()
    arguments, unknown = parser.parse_known_args(argv)
    if unknown:
        known = [f"--{name.replace('_', '-')}" for name in vars(arguments)]
        parser.error(of_predict.unrecognized(unknown, known))
    configure_logging()
    code = 0
    try:
        if arguments.command == "serve":
            code = _serve(arguments.path, arguments.host, arguments.port)
        elif arguments.command == "check":
            code = commands.check(arguments, _say)
        elif arguments.command == "describe":
            code = commands.describe(arguments, _say)
        elif arguments.command == "tune":
            from dbt_triton.tune.command import tune  # noqa: PLC0415 - other commands do without

            code = tune(arguments, commands.dbt_arguments(arguments), _say)
        elif arguments.command == "predict":
            from dbt_triton.adhoc.command import predict  # noqa: PLC0415 - as above

            code = predict(arguments, commands.dbt_arguments(arguments), _say)
        elif arguments.command == "report":
            from dbt_triton.report.command import report  # noqa: PLC0415 - other commands do without

            code = report(arguments, commands.dbt_arguments(arguments), _say)
        elif arguments.command == "init":
            code = init(arguments, _say, package_path())
        else:
            _say(str(package_path()))
    except (DbtTritonError, OSError, UnicodeDecodeError) as error:
        tell(f"dbt-triton: {_words(error)}")
        return 1
    return code


def _say(text: str, end: str = "\n") -> None:
    """Print, and go on where nobody reads any more, as in `dbt-triton check | head`: the exit code is still right."""
    try:
        print(text, end=end, flush=True)
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            raise


def _words(error: DbtTritonError | OSError | UnicodeDecodeError) -> str:
    """Say what is wrong; of a file, which one, without a traceback."""
    if isinstance(error, UnicodeDecodeError):
        return f"a file of the project is not UTF-8 text: {error}"
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    return str(error)


def package_path() -> Path:
    """Return the folder of the dbt package that belongs to this Python package."""
    here = Path(__file__).resolve().parent
    inside_wheel = here / "dbt_package"
    return inside_wheel if inside_wheel.is_dir() else here.parent


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="dbt-triton", description="CREATE MODEL and ML_PREDICT for dbt, on Triton.")
    parser.add_argument("--version", action="version", version=f"dbt-triton {__version__}")
    subparsers = parser.add_subparsers(dest="command", required=True)
    serve = subparsers.add_parser("serve", help="run a real Triton server for development (extra dbt-triton[server])")
    serve.add_argument("path", type=Path, help="the model repository")
    serve.add_argument("--host", default="127.0.0.1", help="the address to listen on (default: %(default)s)")
    serve.add_argument(
        "--port", type=_port, default=8000, help="the HTTP port; 0 takes a free one (default: %(default)s)"
    )
    subparsers.add_parser("package-path", help="print the folder of the dbt package, for packages.yml: - local: …")
    check = subparsers.add_parser("check", help="compare every inference model of a dbt project with its server")
    describe = subparsers.add_parser("describe", help="say what an inference model declares, and what is served")
    describe.add_argument("model", help="the inference model's name")
    tune = subparsers.add_parser("tune", help="try out options of a predicting model, and say which to write")
    add_arguments(tune)
    predict = subparsers.add_parser("predict", help="predict for a text, some values or a file; nothing is kept")
    of_predict.add_arguments(predict)
    report = subparsers.add_parser("report", help="write what the run log says as one HTML page")
    report_arguments.add_arguments(report)
    for command in (check, describe, tune, predict, report):
        command.add_argument("--project-dir", help="the folder of dbt_project.yml (default: this one)")
        command.add_argument("--profiles-dir", help="the folder of profiles.yml, as of dbt")
        command.add_argument("--profile", help="as of dbt")
        command.add_argument("--target", "-t", help="as of dbt")
        command.add_argument("--vars", help="as of dbt")
    init_arguments.add_arguments(
        subparsers.add_parser("init", help="list the dbt package in a dbt project, and write models of what is served")
    )
    return parser


def _port(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= len(str(MAX_PORT)) and int(text) <= MAX_PORT):
        raise argparse.ArgumentTypeError(f"a port is a number from 0 to {MAX_PORT}")
    return int(text)


def _serve(path: Path, host: str, port: int) -> int:
    # One model that cannot be loaded, such as one that is not trained yet, leaves the others alone.
    lenient = ("--exit-on-error=false", "--strict-readiness=false")
    server = TritonServer(path, http_port=port, host=host, extra_args=lenient)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        _say(f"starting Triton with {server.model_repository} …")
        server.start()
        if not model_folders(server.model_repository):
            _say(f"{server.model_repository} has no model; each has a folder of its own there")
        for name, reason in server.not_loaded().items():
            _say(f"not loaded: {name}: {reason}")
        _say(f"Triton is ready at {server.url} (metrics: {server.metrics_url}); Ctrl-C stops it")
        code = server.wait()
        tail = server.log_tail()
    except KeyboardInterrupt:
        _say("\nstopping Triton")
        return 0
    finally:
        server.stop()
    tell(f"dbt-triton: tritonserver ended by itself with code {code}; its log ends with:\n{tail}")
    return 1


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    """Let SIGTERM end the server in the same way as Ctrl-C."""
    raise KeyboardInterrupt
