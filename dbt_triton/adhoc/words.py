"""The words of a command line as rows of an input: texts, ``column=value``, and what stands for NULL or a file."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dbt_triton.errors import DbtTritonError
from dbt_triton.foreign_text import NAME_LENGTH, shown
from dbt_triton.inference_model.model import TypedColumn
from dbt_triton.known_names import did_you_mean, listed_names
from dbt_triton.options import KEYS

#: One text a line of standard input.
STANDARD_INPUT = "-"
_NAME = re.compile(r"[A-Za-z_][\w.-]{0,100}")
_WHOLE_FILE = "@"
_TEXTS = {"VARCHAR", "DATE", "TIME", "TIMESTAMP", "TIMESTAMPTZ"}


@dataclass(frozen=True)
class Columns:
    """The columns that words can be for.

    Args:
        inputs: of INPUT, those that a model may lack among them.
        others: that the rows need besides, such as those of ``sequence-by``.
        optional: tells which of the inputs a row may lack; asks the server where it must, so it is called when that
            matters only.
        served: whether INPUT is what the server says, whose optional inputs nobody has asked for.
    """

    inputs: Sequence[TypedColumn]
    others: Sequence[str]
    optional: Callable[[], set[str]]
    served: bool = False

    @property
    def names(self) -> list[str]:
        """All of them."""
        return [*(column.name for column in self.inputs), *self.others]


@dataclass(frozen=True)
class Words:
    """The words, sorted: those that name a column, by its name; and the others in order."""

    named: Mapping[str, str]
    plain: Sequence[str]


def sorted_words(words: Sequence[str], columns: Columns) -> Words:
    """Tell ``column=value`` from a text that has an equals sign in it: by whether there is such a column.

    Raises:
        DbtTritonError: a word names a column twice, or one that is nearly there; with what to write.
    """
    by_name = {name.lower(): name for name in columns.names}
    named: dict[str, str] = {}
    plain = []
    for word in words:
        _refuse_other_bytes(word)
        key, equals, value = word.partition("=")
        name = by_name.get(key.lower()) if equals else None
        if name is None:
            if equals and _NAME.fullmatch(key):
                _refuse_misspelt(key, columns)
            plain.append(word)
        elif name in named:
            raise DbtTritonError(f"{name} is given twice; for several rows, give a --file, or - for lines of texts")
        else:
            named[name] = value
    return Words(named, plain)


def _refuse_misspelt(key: str, columns: Columns) -> None:
    """Refuse the name of no column, unless the word may be a text: of a model of one column, if that is not near."""
    near = did_you_mean(key, columns.names)
    if not near and len(columns.inputs) == 1:
        return
    text = f" As a text, it is written {columns.inputs[0].name}='{shown(key, NAME_LENGTH)}=…'."
    raise DbtTritonError(
        f"INPUT has no column {shown(key, NAME_LENGTH)}{near or '.'} It has {listed_names(_shown(columns.names))}."
        + (text if len(columns.inputs) == 1 else "")
        + _as_an_option(key)
    )


def _shown(names: Iterable[str]) -> Iterator[str]:
    return (shown(name, NAME_LENGTH) for name in names)


def _as_an_option(key: str) -> str:
    option = key.replace("_", "-")
    return f" As an option of the model, it is written --option {option}=…" if option in KEYS else ""


def files_as_texts(words: Words, columns: Columns) -> list[str]:
    """Return the columns of texts whose value is the name of a file behind ``@``, as one that is meant as bytes has."""
    texts = {one.name for one in columns.inputs if one.type.kind == "VARCHAR" and not one.type.dims}
    left = [one.name for one in columns.inputs if one.name not in words.named]
    given = [*words.named.items(), *((name, word) for word in words.plain for name in left)]
    return list(dict.fromkeys(name for name, word in given if name in texts and _is_file(word)))


def _is_file(word: str) -> bool:
    try:
        return word.startswith(_WHOLE_FILE) and Path(word.removeprefix(_WHOLE_FILE)).is_file()
    except (OSError, ValueError):  # too long for a name
        return False


def rows_of_words(words: Words, columns: Columns) -> dict[str, list[str | bytes | None]]:
    """Return the values by column: one row, or one for each text where all texts are of one column.

    Raises:
        DbtTritonError: there are too many texts, or too few; with the columns that are not given.
    """
    if without := [name for name in columns.others if name not in words.named]:
        raise DbtTritonError(
            f"no value of {listed_names(without)}, by which sequences are told apart or ordered: write {without[0]}=…, "
            "or give a --file"
        )
    left = [column for column in columns.inputs if column.name not in words.named]
    fits = len(words.plain) == len(left) or (words.plain and len(left) == 1)
    if left and (columns.served or not fits):
        optional = columns.optional()
        left = [column for column in left if column.name not in optional]
    plain = _as_one_array(words.plain, left)
    if len(left) == 1 and plain:
        by_column = {left[0].name: plain}
    elif len(plain) == len(left):
        by_column = {column.name: [word] for column, word in zip(left, plain, strict=True)}
    else:
        raise DbtTritonError(_not_that_many(plain, left, words, columns))
    rows = max([1, *map(len, by_column.values())])
    types = {column.name: column for column in columns.inputs}
    values: dict[str, list[str | bytes | None]] = {}
    for name in columns.names:
        if name in by_column:
            values[name] = [_value(word, types[name], is_named=False) for word in by_column[name]]
        elif name in words.named:
            values[name] = [_value(words.named[name], types.get(name), is_named=True)] * rows
    return {name: _alike(of_column) for name, of_column in values.items()}


def _as_one_array(plain: Sequence[str], left: Sequence[TypedColumn]) -> list[str]:
    """Return as many values as an array has elements as that array; everything else as it is."""
    lengths = left[0].type.dims if len(left) == 1 else ()
    if lengths != (len(plain),) or any(word.lstrip().startswith("[") for word in plain):
        return list(plain)
    are_texts = left[0].type.kind in _TEXTS
    return [f"[{', '.join(json.dumps(word, ensure_ascii=False) if are_texts else word for word in plain)}]"]


def json_columns(values: Mapping[str, Sequence[str | bytes | None]], inputs: Sequence[TypedColumn]) -> list[str]:
    """Return the columns of arrays whose values are all written in JSON, which has escapes that no other text has."""
    arrays = {column.name for column in inputs if column.type.dims}
    return [
        name
        for name, of_column in values.items()
        if name in arrays and all(value is None or is_json(value) for value in of_column)
    ]


def is_json(text: str | bytes) -> bool:
    """Tell whether a text is JSON as the standard has it."""
    try:
        json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return False
    return isinstance(text, str)


def _refuse_constant(text: str) -> None:
    raise ValueError(text)


def _not_that_many(plain: Sequence[str], left: Sequence[TypedColumn], words: Words, columns: Columns) -> str:
    every = listed_names(_shown(f"{column.name} {column.sql_type}" for column in columns.inputs))
    if not plain:
        lacking = listed_names(_shown(column.name for column in left))
        what = "nothing to predict for" if not words.named else f"no value of {lacking}"
        example = f"{left[0].name}=…" + (" (NULL where a row has none)" if words.named else "")
        return f"{what}: INPUT is ({every}); write {example}, or give a --file"
    if not left:
        return f"too many values: INPUT is ({every}), of which each column is given by its name, and {len(plain)} more"
    return (
        f"{len(plain)} value{'' if len(plain) == 1 else 's'} for {len(left)} columns "
        f"({listed_names(_shown(column.name for column in left))}): INPUT is ({every}); "
        "write column=value, or one for each"
    )


def _value(word: str, column: TypedColumn | None, *, is_named: bool) -> str | bytes | None:
    """Return a value: NULL for its name, but of a text that names no column; the bytes of a file behind ``@``."""
    kind = column.type.kind if column is not None and not column.type.dims else ""
    if word == "NULL" and (is_named or kind != "VARCHAR"):
        return None
    if word == "null" and kind != "VARCHAR":
        return None
    if kind == "BLOB" and word.startswith(_WHOLE_FILE):
        return Path(word.removeprefix(_WHOLE_FILE)).read_bytes()
    return word


def _alike(values: list[str | bytes | None]) -> list[str | bytes | None]:
    """Return the values of a column as bytes where one of them is."""
    if not any(isinstance(value, bytes) for value in values):
        return values
    return [value.encode() if isinstance(value, str) else value for value in values]


def _refuse_other_bytes(word: str) -> None:
    try:
        word.encode()
    except UnicodeEncodeError:
        raise DbtTritonError(f"a value is not UTF-8 text: {shown(word.encode(errors='replace').decode())}") from None
    if "\0" in word:
        raise DbtTritonError("a value holds a NUL, which no text of a warehouse has")
