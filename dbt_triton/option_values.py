"""Reading the values of options as users write them: texts of SQL, or YAML's own types."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

_NUMBER = r"\d{1,18}(?:\.\d{1,18})?"
_DURATION = re.compile(rf"\s*({_NUMBER})\s*([a-zµ]+)?\s*", re.IGNORECASE)
_ISO_DURATION = re.compile(
    rf"\s*P(?:({_NUMBER})D)?(?:T(?:({_NUMBER})H)?(?:({_NUMBER})M)?(?:({_NUMBER})S)?)?\s*", re.IGNORECASE
)
_ISO_MILLISECONDS = (86_400_000, 3_600_000, 60_000, 1000)
# As Flink writes them, and with a plural s where the word is whole.
_UNITS = {
    1e-6: "ns nano nanosecond",
    1e-3: "µs us micro microsecond",
    1: "ms milli millisecond",
    1000: "s sec second",
    60_000: "m min minute",
    3_600_000: "h hour",
    86_400_000: "d day",
}
_MILLISECONDS = {
    unit: factor
    for factor, names in _UNITS.items()
    for name in names.split()
    for unit in ({name, f"{name}s"} if len(name) > 2 else {name})  # noqa: PLR2004 - ms is no plural
}
_SIZE = re.compile(r"\s*([0-9]{1,18})\s*([a-z]+)\s*", re.IGNORECASE)
_SIZES = ("b bytes", "k kb kibibytes", "m mb mebibytes", "g gb gibibytes", "t tb tebibytes")
_BYTES = {unit: 1024**power for power, units in enumerate(_SIZES) for unit in units.split()}
#: NUL, and half of a pair of UTF-16, as JSON and YAML can spell it.
_NO_CHARACTER = re.compile("[\\x00\\ud800-\\udfff]")
_WHOLE_NUMBER = re.compile(r"\s*[+-]?\d{1,18}\s*")
#: No option is made of so many lists and maps within one another.
_MAX_DEPTH = 50
# Triton does not decode %-escapes (measured), so a name is sent as it is: RFC 3986's pchar without "%".
_PATH_SEGMENT = re.compile(r"[A-Za-z0-9\-._~!$&'()*+,;=:@]+")


def milliseconds(value: object) -> object:
    """Read a duration: a bare number is milliseconds; ``10s``, ``10 seconds`` and ``PT10S`` have a unit."""
    text = str(value)
    match = _DURATION.fullmatch(text)
    factor = _MILLISECONDS.get((match[2] or "ms").lower()) if match else None
    if match and factor is not None and not isinstance(value, bool):
        return float(match[1]) * factor
    if (iso := _ISO_DURATION.fullmatch(text)) and any(iso.groups()):
        return sum(float(part or 0) * unit for part, unit in zip(iso.groups(), _ISO_MILLISECONDS, strict=True))
    raise ValueError("write a duration such as 10000 (milliseconds), 500ms, 10s or 2min")


def boolean(value: object) -> object:
    """Read a boolean, as YAML's own or as SQL text; no 1, 0, yes or no, as in Flink."""
    if isinstance(value, str) and value.strip().lower() in {"true", "false"}:
        return value.strip().lower() == "true"
    if isinstance(value, bool):
        return value
    raise ValueError("write true or false")


def plain_text(value: object) -> str:
    """Read a text, or a number of YAML's; a list, a map, true or nothing is not what somebody meant to write."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError("write a text")  # noqa: TRY004 - pydantic reads ValueErrors
    return str(value)


def text_value(value: object) -> object:
    """Let YAML's numbers stand where a text is wanted (``model-version: 1``)."""
    if value == "":
        raise ValueError("it is empty")
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    return value


def lower(value: object) -> object:
    """Read a word, whatever its case."""
    return value.strip().lower() if isinstance(value, str) else value


def auto_or_integer(value: object) -> object:
    """Read ``auto`` as None."""
    if isinstance(value, str) and value.strip().lower() == "auto":
        return None
    return integer(value)


def integer(value: object) -> object:
    """Read a whole number."""
    if isinstance(value, bool) or not _WHOLE_NUMBER.fullmatch(str(value)):
        raise ValueError("write a whole number")
    return int(str(value))


def auto_or_bytes(value: object) -> object:
    """Read a size as Flink writes it (``64 mb``, of 1,024 kilobytes each), a number of bytes, or ``auto`` as None."""
    found = _SIZE.fullmatch(str(value))
    if found is None or found[2].lower() not in _BYTES:
        try:
            return auto_or_integer(value)
        except ValueError:
            raise ValueError("write a whole number of bytes, or a size such as 64 mb") from None
    return int(found[1]) * _BYTES[found[2].lower()]


def none_is_null(value: object) -> object:
    """Read YAML's bare ``null`` as the word."""
    return "null" if value is None else value


def literal_null(value: object) -> object:
    """Read Flink's literal ``null``, which is NULL and no text; in other case it is a text, as in Flink."""
    return None if value == "null" else value


def is_too_deep(value: object) -> bool:
    """Tell whether lists and maps are nested so deeply that walking them would end Python's stack."""
    level = [value]
    for _ in range(_MAX_DEPTH):
        level = [
            item
            for outer in level
            if isinstance(outer, Mapping | list | tuple)
            for item in (outer.values() if isinstance(outer, Mapping) else outer)
        ]
        if not level:
            return False
    return True


def is_no_text(value: object) -> bool:
    """Tell whether a text, or one within lists and maps, has a character that nothing here can hold."""
    if isinstance(value, Mapping):
        return any(is_no_text(item) for pair in value.items() for item in pair)
    if isinstance(value, list | tuple):
        return any(map(is_no_text, value))
    return isinstance(value, str) and bool(_NO_CHARACTER.search(value))


def off(value: object) -> object:
    """Read YAML's bare ``off``, which is false there."""
    return "off" if value is False else value


def ratio(value: object) -> object:
    """Read a number; its range is checked elsewhere."""
    try:
        return float(str(value))
    except ValueError:
        raise ValueError("write a number from 0 to 1") from None


def scalar_text(value: object) -> object:
    """Write YAML's booleans as SQL does; the text, perhaps empty, is cast to the type of the OUTPUT column."""
    if isinstance(value, bool):
        return str(value).lower()
    return value if value == "" else text_value(value)


def stub_values(value: object) -> object:
    """Read the values that a stub chooses from: one, a JSON array, or YAML's own list."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = json_value(value)
        except ValueError as error:
            raise ValueError(f"write one value, or a JSON array of values ({error})") from None
    values = value if isinstance(value, list) else [value]
    if not values:
        raise ValueError("write at least one value")
    if not all(item is None or isinstance(item, str | int | float | list | dict) for item in values):
        raise ValueError("write one value, or a list of values")
    return [item if isinstance(item, str) else json.dumps(item) for item in values]


def columns(value: object) -> object:
    """Read column names: a text with commas, or YAML's list. ``a desc`` orders the other way round."""
    names = value if isinstance(value, list | tuple) else plain_text(value).split(",")
    columns = [name.strip() for name in names if isinstance(name, str)]
    if len(columns) < len(names) or not all(columns):
        raise ValueError("write a column, or several with commas between them")
    return columns


def lengths(value: object) -> object:
    """Read the length of each axis, with commas, or YAML's list: a number, -1, or the name of a column."""
    items = value if isinstance(value, list | tuple) else plain_text(value).split(",")
    found: list[int | str] = []
    for item in items:
        text = plain_text(item).strip()
        if not text or (re.fullmatch(r"[+-]?[\d.]+", text, re.ASCII) and not re.fullmatch(r"-1|[1-9]\d{0,17}", text)):
            raise ValueError("write a length for each axis, such as '3,224,224' or 'h,w,3'; -1 follows from the size")
        found.append(int(text) if text == "-1" or (text.isascii() and text.isdecimal()) else text)
    if not found:
        raise ValueError("write a length for each axis")
    return tuple(found)


def model_name(value: object) -> object:
    """Refuse a name that a URL path cannot carry, or that would leave the path."""
    text = plain_text(value)
    if not _PATH_SEGMENT.fullmatch(text) or text in {".", ".."}:
        raise ValueError(
            "Triton reads the name from the URL and does not decode %-escapes, so it may hold only letters, "
            "digits and -._~!$&'()*+,;=:@"
        )
    return text


def model_version(value: object) -> object:
    """Read ``latest`` or a version number, as Triton numbers them."""
    text = "" if isinstance(value, bool) else str(value).strip().lower()
    if text == "latest":
        return text
    if not re.fullmatch(r"\d{1,18}", text) or int(text) == 0:
        raise ValueError("write latest, or a version number from 1")
    return str(int(text))


def json_value(text: str) -> object:
    """Read JSON. Its errors say where, and nothing of what is there."""
    try:
        value = json.loads(text, object_pairs_hook=_object)
    except _TwiceError:
        raise ValueError("a key of it is given twice") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"line {error.lineno}, column {error.colno} is no JSON") from None
    except ValueError:
        raise ValueError("a number of it has too many digits") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if is_too_deep(value):
        raise ValueError("it is nested too deeply")
    return value


class _TwiceError(ValueError):
    pass


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Make an object of JSON, in which Python would let the last of two keys win."""
    if len(dict(pairs)) < len(pairs):
        raise _TwiceError
    return dict(pairs)
