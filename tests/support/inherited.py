"""Processes that inherit what no desktop gives them, and a copy of the repository at another place."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from support.dbt import REPOSITORY

#: Where root may write only as others may.
_LIKE_OTHERS = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-dac_override,-dac_read_search"]


@dataclass(frozen=True)
class Inherited:
    """What a process inherits.

    Args:
        shell: commands of a shell before it is started, such as ``umask 077``.
        streams: redirections, such as ``<&-`` for a closed standard input.
        variables: of the environment; None takes one away.
    """

    shell: str = ":"
    streams: str = ""
    variables: dict[str, str | None] = field(default_factory=dict)

    def command(self, command: Sequence[str]) -> list[str]:
        """Return the command line of a process that inherits it, and keeps its process id."""
        like_others = _LIKE_OTHERS if os.geteuid() == 0 and shutil.which("setpriv") else []
        return [*like_others, "/bin/sh", "-c", f'{self.shell}; exec "$@" {self.streams}', "sh", *command]

    def environment(self, before: dict[str, str]) -> dict[str, str]:
        """Return an environment with these variables."""
        changed = before | {name: value for name, value in self.variables.items() if value is not None}
        return {name: value for name, value in changed.items() if self.variables.get(name, "") is not None}


def read_only(folder: Path) -> Path:
    """Make a folder in which nobody may write."""
    folder.mkdir()
    folder.chmod(0o555)
    return folder


def copy_of_repository(folder: Path) -> Path:
    """Copy what is in the repository, as somebody else has it: elsewhere, with other times and rights."""
    listed = _git("ls-files", "-z").split("\0")
    before = os.umask(0o077)
    try:
        for name in listed:
            source, target = REPOSITORY / name, folder / name
            if source.is_file():
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(source.read_bytes())
        (folder / ".git").write_text(f"gitdir: {_git('rev-parse', '--absolute-git-dir').strip()}", "utf-8")
    finally:
        os.umask(before)
    return folder


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=REPOSITORY, capture_output=True, check=True, text=True)
    return done.stdout
