r"""From a text to a number or a time, as SQL: exactly what the text says, or NULL.

DuckDB decides what is a number or a time. Its casts round (`2.5` to 3), cut (nanoseconds, a time after a date) and
skip (an offset after a TIMESTAMP), so what it reads is checked against the text.
Source: DuckDB 1.4, 1.5 and 2.0, tried with the texts of tests/unit/test_values.py.
"""

from __future__ import annotations

_DATE = r"\s*-?[0-9]+[-/\\ ][0-9]{1,2}[-/\\ ][0-9]{1,2}(?:\s*\(BC\))?"
_CLOCK = r"[0-9]{1,2}:[0-9]{1,2}(?::[0-9]{1,2}(?:\.[0-9]{0,6}0*)?)?"
_MIDNIGHT = r"(?:[T ]\s*0{1,2}:00(?::00(?:\.0*)?)?)?"
_ZONE = r"(?:\s*Z|\s*[+-][0-9:]+|\s+[A-Z][A-Z0-9_+/-]*)"
_NAME_OF_ZONE = r"\s+([A-Za-z][A-Za-z0-9_+/-]*)\s*$"
_NAMED = r"\s*(?:epoch|[+-]?inf(?:inity)?)\s*"
_TAIL = r"\\x[89AB][0-9A-F]"
#: UTF-8 as DuckDB writes a BLOB: each byte that is not plain ASCII is an escape.
_UTF8 = "|".join(
    [
        r"[^\\]",
        r"\\x[0-7][0-9A-F]",
        rf"\\x(?:C[2-9A-F]|D[0-9A-F]){_TAIL}",
        rf"\\x(?:E0\\x[AB][0-9A-F]|ED\\x[89][0-9A-F]|E[1-9A-CEF]{_TAIL}){_TAIL}",
        rf"\\x(?:F0\\x[9AB][0-9A-F]|F4\\x8[0-9A-F]|F[1-3]{_TAIL}){_TAIL}{_TAIL}",
    ]
)
_NUMBER = r"^\s*([+-]?)([0-9]*)\.?([0-9]*)(?:[eE]([+-]?[0-9]+))?\s*$"
# Beyond it, no number other than 0 fits the widest DECIMAL.
_MAX_POINT = 400


def _matches(text: str, pattern: str) -> str:
    return f"regexp_full_match({text}, '{pattern}', 'i')"


def text_in_bytes(blob: str) -> str:
    """Return the SQL of the text that a BLOB is in UTF-8.

    `try(decode(…))` would be shorter, but DuckDB 1.4 mixes up the columns beside it, and 1.5 has none within a lambda.
    """
    return f"case when regexp_full_match(cast({blob} as varchar), '(?:{_UTF8})*') then decode({blob}) end"


def boolean_of_text(text: str) -> str:
    """Return the SQL of a BOOLEAN: DuckDB reads a few words, and nothing else."""
    return f"try_cast({text} as BOOLEAN)"


def integer_of_text(text: str, kind: str) -> str:
    """Return the SQL of an integer; `1e2` and `2.0` are integers, `2.5` is none."""
    # Without a point or an exponent, DuckDB reads a whole number exactly, a hexadecimal or a binary one too.
    whole = _matches(text, r"[^.e]*|\s*[+-]?0[xb].*")
    return f"case when {whole} then try_cast({text} as {kind}) else {_written_out(text, kind, 0)} end"


def decimal_of_text(text: str, precision: int, scale: int) -> str:
    """Return the SQL of a DECIMAL; zeros at the end do not count."""
    kind = f"DECIMAL({precision},{scale})"
    within = _matches(text, rf"\s*[+-]?[0-9]*(?:\.[0-9]{{0,{scale}}})?\s*")
    return f"case when {within} then try_cast({text} as {kind}) else {_written_out(text, kind, scale)} end"


def _written_out(text: str, kind: str, scale: int) -> str:
    """Return the SQL of a number whose text has an exponent, underscores or many digits behind the point.

    Its digits are written out around the point, and read if those behind the scale are zeros.
    """
    parts = f"regexp_extract(replace({text}, '_', ''), '{_NUMBER}', ['sign', 'whole', 'fraction', 'exponent'])"
    exponent = "coalesce(try_cast(nullif(dbt_triton_part.exponent, '') as BIGINT), 0)"
    number = (
        "{'sign': dbt_triton_part.sign, 'digits': dbt_triton_part.whole || dbt_triton_part.fraction, "
        f"'point': cast(strlen(dbt_triton_part.whole) as BIGINT) + {exponent}}}"
    )
    sign, digits, point = (f"dbt_triton_number.{name}" for name in ("sign", "digits", "point"))
    whole = f"case when {point} <= 0 then '' else left(rpad({digits}, cast({point} as INTEGER), '0'), {point}) end"
    fraction = f"case when {point} <= 0 then repeat('0', -{point}) || {digits} else substr({digits}, {point} + 1) end"
    fraction = f"rtrim({fraction}, '0')"
    written = f"{sign} || '0' || {whole}" + (f" || '.' || {fraction}" if scale else "")
    fits = f"{digits} <> '' and {point} between -{_MAX_POINT} and {_MAX_POINT} and strlen({fraction}) <= {scale}"
    read = f"case when {fits} then try_cast({written} as {kind}) end"
    numbers = f"list_transform([{parts}], lambda dbt_triton_part: {number})"
    # DuckDB decides what is a number, such as where an underscore may stand.
    return (
        f"case when try_cast({text} as DOUBLE) is not null "
        f"then list_transform({numbers}, lambda dbt_triton_number: {read})[1] end"
    )


def float_of_text(text: str, kind: str) -> str:
    """Return the SQL of the nearest FLOAT or DOUBLE; DuckDB reads what is too large as infinity."""
    number = f"try_cast({text} as {kind})"
    return f"case when isfinite({number}) or not regexp_matches({text}, '[0-9]') then {number} end"


def date_of_text(text: str) -> str:
    """Return the SQL of a DATE; a time after it must be midnight, and an offset is refused."""
    fits = _matches(text, rf"{_DATE}{_MIDNIGHT}\s*|{_NAMED}")
    return f"case when {fits} then try_cast({text} as DATE) end"


def time_of_text(text: str) -> str:
    """Return the SQL of a TIME; a date, an offset and nanoseconds are refused."""
    fits = _matches(text, rf"\s*{_CLOCK}\s*")
    return f"case when {fits} then try_cast({text} as TIME) end"


def timestamp_of_text(text: str) -> str:
    """Return the SQL of a TIMESTAMP; an offset, a time zone and nanoseconds are refused."""
    fits = _matches(text, rf"{_DATE}(?:(?:T|\s+){_CLOCK})?\s*|{_NAMED}")
    return f"case when {fits} then try_cast({text} as TIMESTAMP) end"


def timestamptz_of_text(text: str) -> str:
    """Return the SQL of a TIMESTAMPTZ: of the session's time zone where the text has no offset and no zone."""
    local = timestamp_of_text(text)
    there = f"try_cast({local} as TIMESTAMPTZ)"
    # A time that the clocks skip is none.
    in_session = f"case when try_cast({there} as TIMESTAMP) = {local} then {there} end"
    zoned = _matches(text, rf"{_DATE}(?:T|\s+){_CLOCK}{_ZONE}\s*")
    return f"case when {zoned} then {_zoned(text)} else {in_session} end"


def _zoned(text: str) -> str:
    """Return the SQL of a text with an offset, or with the name of a zone, whose clocks may skip the time, too."""
    moment = f"try_cast({text} as TIMESTAMPTZ)"
    name = rf"regexp_extract({text}, '{_NAME_OF_ZONE}', 1)"
    clock = rf"try_cast(regexp_replace({text}, '{_NAME_OF_ZONE}', '') as TIMESTAMP)"
    # An unknown name would be an error of the query; with one, there is no moment.
    there = f"timezone(case when {moment} is null then 'UTC' else {name} end, {moment})"
    return f"case when {name} = '' then {moment} when {there} = {clock} then {moment} end"
