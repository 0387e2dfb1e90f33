"""Figures, times and foreign texts in the words of the page."""

from __future__ import annotations

from datetime import datetime

from dbt_triton.foreign_text import shown

#: What stands where nothing is known.
NOTHING = "–"  # noqa: RUF001 - a dash
_THOUSAND, _MILLION, _BILLION, _TRILLION = 1e3, 1e6, 1e9, 1e12
_HUGE = 1e16
_MOST_DAYS = 10_000
_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400
_EXACT = 1_000_000
_LABEL_LENGTH, _NAME_LENGTH, _TEXT_LENGTH, _QUERY_LENGTH = 60, 200, 600, 4_000
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
_KIBI = 1024


def count(number: float | None) -> str:
    """Say how many: exact below a million, then with a unit."""
    if number is None:
        return NOTHING
    if abs(number) < _EXACT:
        return f"{number:,.0f}"
    if abs(number) >= _HUGE:
        return f"{number:.2e}"
    for size, unit in ((_TRILLION, "T"), (_BILLION, "B"), (_MILLION, "M")):
        if abs(number) >= size:
            return f"{number / size:,.2f} {unit}"
    return f"{number:,.0f}"


def rate(number: float | None) -> str:
    """Say how many a second."""
    if number is None:
        return NOTHING
    return f"{number:,.1f}" if 0 < number < 10 else count(number)  # noqa: PLR2004


def share(part: float | None, whole: float | None) -> str:
    """Say a share in percent; one that is tiny is not called nothing, and one that is not all is not called all."""
    if part is None or not whole:
        return NOTHING
    percent = 100 * part / whole
    if 0 < percent < 0.01:  # noqa: PLR2004
        return "< 0.01 %"
    if 99.9 < percent < 100:  # noqa: PLR2004
        return "> 99.9 %"
    digits = 2 if 0 < percent < 1 else 1 if percent not in {0, 100} else 0
    return f"{percent:.{digits}f} %"


def milliseconds(number: float | None) -> str:
    """Say a latency."""
    if number is None:
        return NOTHING
    if number >= _THOUSAND:
        return seconds(number / 1e3)
    return f"{number:.3g} ms" if number < 100 else f"{number:.0f} ms"  # noqa: PLR2004


def seconds(number: float | None) -> str:
    """Say how long something took."""
    if number is None:
        return NOTHING
    if number < _MINUTE:
        return _short(number)
    whole = round(number)
    if whole < _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE} s"
    if whole < _DAY:
        return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE} min"
    if whole >= _MOST_DAYS * _DAY:
        return f"{number / _DAY:.2g} d"
    return f"{whole // _DAY:,} d {whole % _DAY // _HOUR} h"


def _short(number: float) -> str:
    if number >= 1:
        return f"{number:.3g} s"
    return f"{number * 1e3:.0f} ms" if number >= 0.001 else "0 s" if number == 0 else "< 1 ms"  # noqa: PLR2004


def size(number: float | None) -> str:
    """Say how many bytes."""
    if number is None:
        return NOTHING
    value = float(number)
    for unit in _UNITS:
        if value < _KIBI or unit == _UNITS[-1]:
            return f"{value:,.0f} {unit}" if unit == "B" else f"{value:,.1f} {unit}"
        value /= _KIBI
    return NOTHING


def value(number: float | None) -> str:
    """Say a predicted number."""
    return NOTHING if number is None else f"{number:,.4g}" if abs(number) < _EXACT else f"{number:.3e}"


def moment(time: datetime | None) -> str:
    """Say when, to the second."""
    return NOTHING if time is None else f"{time:%Y-%m-%d %H:%M:%S} UTC"


def minute(time: datetime | None) -> str:
    """Say when, to the minute."""
    return NOTHING if time is None else f"{time:%Y-%m-%d %H:%M} UTC"


def name(text: str) -> str:
    """Return a foreign name in one line, with what cannot be seen made visible."""
    return shown(text, _NAME_LENGTH) or "(empty)"


def label(text: str) -> str:
    """Return a foreign name where many of them stand side by side."""
    return shown(text, _LABEL_LENGTH) or "(empty)"


def sentence(text: str) -> str:
    """Return a foreign text in one line."""
    return shown(text, _TEXT_LENGTH)


def query(text: str) -> str:
    """Return the text of a query, with its line ends."""
    lines = text[:_QUERY_LENGTH].replace("\r\n", "\n").split("\n")
    kept = "\n".join("".join(char if char.isprintable() else ascii(char)[1:-1] for char in line) for line in lines)
    return kept + ("…" if len(text) > _QUERY_LENGTH else "")


def several(number: int, one: str, more: str = "") -> str:
    """Say a number of things."""
    return f"{count(number)} {one if number == 1 else more or one + 's'}"


def listed(texts: list[str], most: int = 3) -> str:
    """Say some of a list."""
    rest = len(texts) - most
    if rest > 0:
        return f"{', '.join(texts[:most])} and {rest} more"
    return " and ".join(([", ".join(texts[:-1])] if len(texts) > 1 else []) + texts[-1:])
