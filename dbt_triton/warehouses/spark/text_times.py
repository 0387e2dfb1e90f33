r"""From a text to a date or a time, as SQL: exactly what the text says, or NULL; in the spellings that DuckDB reads.

The parts of a text are written anew as Spark reads them: with four digits of the year at least, and a dash and a
colon between. Spark's own casts would cut nanoseconds and skip an offset.
"""

from __future__ import annotations

from dbt_triton.warehouses.spark.expressions import BEGIN, SPACE_AT_END, bound, group_of, matches, replaced, whole_match

_DAY = r"(-?+)([0-9]{1,7})([-/\\ ])([0-9]{1,2})\3([0-9]{1,2})(\s*+\(BC\))?+"
_CLOCK = r"([0-9]{1,2}):([0-9]{1,2})(?::([0-9]{1,2})(?:[.]([0-9]{0,6})0*+)?+)?+"
_MIDNIGHT = r"(?:[T ]\s*+0{1,2}:00(?::00(?:[.]0*+)?+)?+)?+"
_OFFSET = r"\s*+Z|\s*+[+-][0-9]{2}(?::?+[0-9]{2}(?::?+[0-9]{2})?+)?+"
_NAME = r"\s++[A-Za-z][A-Za-z0-9_+/-]*+"
_BEFORE_CLOCK = r"(?:T|\s++)"
#: The groups of a day in front of those of a clock.
_OF_DAY = 6
_EPOCH = "epoch"


def _part(text: str, pattern: str, group: int) -> str:
    return group_of(text, f"{BEGIN}(?:{pattern})", group)


def _day(text: str) -> str:
    """Return the SQL of the day with which a text begins, as Spark reads it; before our era, years count from 0."""
    sign, year, month, day, before = (_part(text, _DAY, group) for group in (1, 2, 4, 5, 6))
    counted = f"cast({sign} || {year} as int)"
    number = f"case when {before} = '' then {counted} else 1 - {counted} end"

    def written(x: str) -> str:
        digits = f"cast(abs({x}) as string)"
        four = f"lpad({digits}, greatest(length({digits}), 4), '0')"
        return f"concat(case when {x} < 0 then '-' else '' end, {four}, '-', {month}, '-', {day})"

    return bound(number, "dbt_triton_year", written)


def _clock(text: str, before: str, first: int) -> str:
    """Return the SQL of the time in a text, as Spark reads it.

    Args:
        text: that has one.
        before: the pattern of what stands before it.
        first: the groups of that pattern.
    """
    hour, minute, second, fraction = (_part(text, before + _CLOCK, first + group) for group in (1, 2, 3, 4))
    two = (f"lpad({part}, 2, '0')" for part in (hour, minute, second))
    return f"concat_ws(':', {', '.join(two)}) || case when {fraction} = '' then '' else '.' || {fraction} end"


def date_of_text(text: str) -> str:
    """Return the SQL of a DATE; a time after it must be midnight, and an offset is refused."""
    fits = whole_match(text, rf"{_DAY}{_MIDNIGHT}")
    return (
        f"case when {fits} then try_cast({_day(text)} as date) "
        f"when {whole_match(text, f'(?i:{_EPOCH})')} then date '1970-01-01' end"
    )


def time_of_text(text: str) -> str:
    """Return the SQL of a TIME; a date, an offset and nanoseconds are refused."""
    return f"case when {whole_match(text, _CLOCK)} then try_cast({_clock(text, '', 0)} as TIME(6)) end"


def timestamp_of_text(text: str) -> str:
    """Return the SQL of a TIMESTAMP_NTZ; an offset, a time zone and nanoseconds are refused."""
    return (
        f"case when {whole_match(text, _DAY + _BEFORE_CLOCK + _CLOCK)} then {_day_and_clock(text)} "
        f"when {whole_match(text, _DAY)} then try_cast({_day(text)} as timestamp_ntz) "
        f"when {whole_match(text, f'(?i:{_EPOCH})')} then timestamp_ntz '1970-01-01 00:00:00' end"
    )


def _day_and_clock(text: str, zone: str = "", kind: str = "timestamp_ntz") -> str:
    """Return the SQL of a moment, from a text that begins with a day and a time.

    Args:
        text: as it is.
        zone: the SQL of an offset or the name of a zone, that is to stand behind.
        kind: of the moment.
    """
    clock = _clock(text, _DAY + _BEFORE_CLOCK, _OF_DAY)
    behind = f", {zone}" if zone else ""

    def moment(x: str) -> str:
        same_day = f"try_cast(concat({_day(text)}, ' ', {x}{behind}) as {kind})"
        # 24:00 is the midnight after the day.
        next_day = f"cast(date_add(try_cast({_day(text)} as date), 1) as string)"
        midnight = f"try_cast(concat({next_day}, ' 00:00:00'{behind}) as {kind})"
        return f"case when {matches(x, '^24:00:00(?:[.]0*)?$')} then {midnight} else {same_day} end"

    return bound(clock, "dbt_triton_clock", moment)


def timestamptz_of_text(text: str) -> str:
    """Return the SQL of a TIMESTAMP_LTZ: of the session's time zone where the text has no offset and no zone."""

    def in_session(local: str) -> str:
        # A time that the clocks skip is none.
        there = f"try_cast({local} as timestamp_ltz)"
        return f"case when try_cast({there} as timestamp_ntz) = {local} then {there} end"

    local = bound(timestamp_of_text(text), "dbt_triton_local", in_session)
    front = _DAY + _BEFORE_CLOCK + _CLOCK
    return (
        f"case when {whole_match(text, f'{front}(?:{_OFFSET})')} then {_with_offset(text, front)} "
        f"when {whole_match(text, front + _NAME)} then {_in_zone(text, front)} else {local} end"
    )


def _behind(text: str, front: str) -> str:
    return replaced(text, f"{BEGIN}(?:{front})" + r"\s*+|" + SPACE_AT_END)


def _with_offset(text: str, front: str) -> str:
    """Return the SQL of a moment with an offset, whose parts Spark wants with colons between."""
    zone = replaced(f"replace({_behind(text, front)}, ':', '')", "([0-9]{2})(?=[0-9])", "$1:")
    return _day_and_clock(text, zone, "timestamp_ltz")


def _in_zone(text: str, front: str) -> str:
    """Return the SQL of a moment in a zone with a name, whose clocks may skip the time; NULL for an unknown name."""
    name = _behind(text, front)
    moment = _day_and_clock(text, f"' ', {name}", "timestamp_ltz")
    clock = _day_and_clock(text, "' UTC'", "timestamp_ltz")

    def unless_skipped(x: str) -> str:
        # An unknown name would be an error of the query; with one, there is no moment.
        zone = f"case when {x} is null then 'UTC' else {name} end"
        return f"case when from_utc_timestamp({x}, {zone}) = {clock} then {x} end"

    return bound(moment, "dbt_triton_moment", unless_skipped)
