"""Standard input, output and error as a process inherits them: closed, of another encoding, or nobody reads them."""

from __future__ import annotations

import os
import sys
from contextlib import suppress


def stderr_is_terminal() -> bool:
    """Tell whether somebody watches standard error; it may be closed, or a program's own object."""
    try:
        return sys.stderr.isatty()
    except (AttributeError, ValueError, OSError):
        return False


def tell(line: str) -> None:
    """Write a line to standard error. Where nobody can read it, nothing is written: no reason to end a run."""
    if sys.stderr is not None:  # else print() takes standard output
        with suppress(OSError, ValueError):
            print(line, file=sys.stderr, flush=True)  # noqa: T201


def make_usable() -> None:
    """Prepare the streams for a command, at its start.

    What is closed leads nowhere: the next file or socket would else take its number, and get what libraries and
    children print. What an encoding does not have is escaped, rather than an error.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            nowhere = os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
            os.set_inheritable(nowhere, True)  # noqa: FBT003 - it has no name
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, ValueError, OSError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
