"""What the command `dbt-triton tune` takes; light, since every other command reads it, too."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from pathlib import Path

_MOST_SECONDS = 600


def add_arguments(parser: ArgumentParser) -> None:
    """Add what the command takes beside dbt's own."""
    parser.add_argument("model", help="the predicting model's name (materialized='ml_predict')")
    parser.add_argument("--call", help="one of its calls: its number from 1, or the inference model (default: all)")
    parser.add_argument(
        "--rows", type=_count, default=5_000, help="rows of its input to try with (default: %(default)s)"
    )
    parser.add_argument(
        "--seconds", type=_seconds, default=2.0, help="how long a trial takes, about (default: %(default)s)"
    )
    parser.add_argument(
        "--max-requests",
        type=_count,
        default=50_000,
        help="inference requests to send at most, retries too (default: %(default)s)",
    )
    parser.add_argument("--picture", type=Path, metavar="FILE.png", help="draw the trials (extra dbt-triton[tune])")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text) > 0):
        raise ArgumentTypeError("write a number from 1")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= _MOST_SECONDS:
        raise ArgumentTypeError(f"write a number of seconds, up to {_MOST_SECONDS}")
    return seconds
