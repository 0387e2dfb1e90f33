"""The command `dbt-triton init`: the package alone, what a server serves, or a list of it."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

from dbt_triton import commands
from dbt_triton.errors import DbtTritonError

_ONLY_WITH_MODEL = ("name", "models_path", "force")


def init(arguments: Namespace, say: Callable[[str], None], package: Path) -> int:
    """List the package in a project; with ``--model`` write its files, too; with ``--all`` list what is served.

    Raises:
        DbtTritonError: the arguments do not go together, or see `write_models` and `list_models`.
    """
    if arguments.all:
        if arguments.model:
            raise DbtTritonError("--all lists every model, and --model writes one: leave one of the two out")
        from dbt_triton.init.listed import list_models  # noqa: PLC0415 - the package alone needs none of it

        return list_models(_asked(arguments, "--all"), say)
    if arguments.model:
        from dbt_triton.init.write import write_models  # noqa: PLC0415 - as above

        return write_models(_asked(arguments, "--model"), say, package)
    if arguments.endpoint or arguments.option or arguments.model_version:
        raise DbtTritonError("--endpoint needs --model NAME, whose files are written, or --all, which lists the names")
    unused = [f"--{name.replace('_', '-')}" for name in _ONLY_WITH_MODEL if getattr(arguments, name)]
    if unused:
        raise DbtTritonError(f"{' and '.join(unused)} needs --model NAME and --endpoint URL")
    return commands.init(arguments, say, package)


def _asked(arguments: Namespace, option: str) -> Namespace:
    if not arguments.endpoint:
        raise DbtTritonError(f"{option} needs --endpoint URL, such as http://localhost:8000")
    return arguments
