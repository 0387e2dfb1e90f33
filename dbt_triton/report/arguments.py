"""What the command `dbt-triton report` takes; light, since every other command reads it, too."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from datetime import UTC, datetime, timedelta
from pathlib import Path

_MOST_DAYS = 36_500
#: How far back it looks where nothing is said.
DAYS = 30


def add_arguments(parser: ArgumentParser) -> None:
    """Add what the command takes beside dbt's own."""
    how_far = parser.add_mutually_exclusive_group()
    how_far.add_argument(
        "--days", type=_days, default=DAYS, help="how far back, in days from now (default: %(default)s)"
    )
    how_far.add_argument(
        "--since", type=_moment, metavar="DATE", help="the first day, such as 2026-11-01; or a moment, with a time, UTC"
    )
    parser.add_argument("--node", metavar="NAME", help="only this predicting model, by its name or unique_id")
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="where the page goes (default: in dbt's target folder)"
    )
    parser.add_argument("--open", action="store_true", help="open the page in the browser")


def first_moment(days: int, since: datetime | None, now: datetime) -> datetime:
    """Return the first moment that is looked at, UTC."""
    return since or now - timedelta(days=days)


def _days(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 0 < int(text) <= _MOST_DAYS):
        raise ArgumentTypeError(f"write a number of days, from 1 to {_MOST_DAYS}")
    return int(text)


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ArgumentTypeError("write a date such as 2026-11-01, or a moment such as 2026-11-01T06:30") from None
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
