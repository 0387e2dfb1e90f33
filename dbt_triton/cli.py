"""The command ``dbt-triton``."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from dbt_triton import __version__, commands
from dbt_triton.errors import DbtTritonError
from dbt_triton.server import TritonServer


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command, and return its exit code."""
    arguments = _parser().parse_args(argv)
    try:
        if arguments.command == "serve":
            return _serve(arguments.path, arguments.host, arguments.port)
        if arguments.command == "check":
            return commands.check(arguments, print)
        if arguments.command == "describe":
            return commands.describe(arguments, print)
        if arguments.command == "init":
            return commands.init(arguments, print, package_path())
        print(package_path())
    except DbtTritonError as error:
        print(f"dbt-triton: {error}", file=sys.stderr)
        return 1
    return 0


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
        "--port", type=int, default=8000, help="the HTTP port; 0 takes a free one (default: %(default)s)"
    )
    subparsers.add_parser("package-path", help="print the folder of the dbt package, for packages.yml: - local: …")
    check = subparsers.add_parser("check", help="compare every inference model of a dbt project with its server")
    describe = subparsers.add_parser("describe", help="say what an inference model declares, and what is served")
    describe.add_argument("model", help="the inference model's name")
    for command in (check, describe):
        command.add_argument("--project-dir", help="the folder of dbt_project.yml (default: this one)")
        command.add_argument("--profiles-dir", help="the folder of profiles.yml, as of dbt")
        command.add_argument("--profile", help="as of dbt")
        command.add_argument("--target", "-t", help="as of dbt")
        command.add_argument("--vars", help="as of dbt")
    init = subparsers.add_parser("init", help="list the dbt package of this version in a dbt project")
    init.add_argument("--project-dir", help="the folder of dbt_project.yml (default: this one)")
    init.add_argument("--git", metavar="URL", help="list the package from a git repository, not from this environment")
    init.add_argument("--dispatch", action="store_true", help="also let dbt's unit tests read ML_PREDICT in SQL")
    return parser


def _serve(path: Path, host: str, port: int) -> int:
    # One model that cannot be loaded, such as one that is not trained yet, leaves the others alone.
    lenient = ("--exit-on-error=false", "--strict-readiness=false")
    server = TritonServer(path, http_port=port, host=host, extra_args=lenient)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        print(f"starting Triton with {server.model_repository} …", flush=True)
        server.start()
        for name, reason in server.not_loaded().items():
            print(f"not loaded: {name}: {reason}", flush=True)
        print(f"Triton is ready at {server.url} (metrics: {server.metrics_url}); Ctrl-C stops it", flush=True)
        code = server.wait()
        tail = server.log_tail()
    except KeyboardInterrupt:
        print("\nstopping Triton", flush=True)
        return 0
    finally:
        server.stop()
    print(
        f"dbt-triton: tritonserver ended by itself with code {code}; its log ends with:\n{tail}",
        file=sys.stderr,
    )
    return 1


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    """Let SIGTERM end the server in the same way as Ctrl-C."""
    raise KeyboardInterrupt
