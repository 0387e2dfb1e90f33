"""A file as the input of a model: which kind it is, and which of its columns INPUT means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dbt_triton.adhoc.words import Columns
from dbt_triton.errors import DbtTritonError
from dbt_triton.foreign_text import NAME_LENGTH, shown
from dbt_triton.known_names import MOST_LISTED, did_you_mean, listed_names, nearest_name

_ENDS = {
    "csv": (".csv", ".tsv"),
    "parquet": (".parquet", ".pq"),
    "json": (".json", ".jsonl", ".ndjson"),
    "text": (".txt",),
}
ZIPPED = ".gz"
_MOST_IN_EXAMPLE = 5


@dataclass(frozen=True)
class Chosen:
    """The columns of a file that are the DESCRIPTOR, in the order of INPUT.

    Args:
        descriptor: their names; of one that the file lacks and that may be left out, that of INPUT.
        lacking: the names of these.
        inputs: for each of the DESCRIPTOR, the name of the column of INPUT that it is.
    """

    descriptor: Sequence[str]
    lacking: Sequence[str]
    inputs: Sequence[str]


def kind_of_file(path: str, said: str | None) -> str:
    """Return what a file is: as it is said, or by its name.

    Raises:
        DbtTritonError: the name does not say it.
    """
    if said is not None:
        return said
    name = Path(path).name.lower()
    found = [kind for kind, ends in _ENDS.items() if name.removesuffix(ZIPPED).endswith(ends)]
    if not found:
        known = ", ".join(end for ends in _ENDS.values() for end in ends)
        raise DbtTritonError(f"--file {path}: its name does not end in one of {known}; say what it is with --file-type")
    return found[0]


def chosen_columns(names: Sequence[str], columns: Columns, said: Sequence[str]) -> Chosen:
    """Choose the columns of INPUT among those of a file: by their names, whatever the case.

    A file of one column needs no name for a model of one.

    Args:
        names: of the file's columns.
        columns: that the model has.
        said: the DESCRIPTOR, where the user says it.

    Raises:
        DbtTritonError: a column is not there; with the nearest, and all that are.
    """
    by_name = {name.lower(): name for name in reversed(names)}
    _require(columns.others, by_name, names, "")
    if said:
        _require(said, by_name, names, "--descriptor: ")
        may_lack = columns.optional() if columns.served and len(said) != len(columns.inputs) else set()
        inputs = [column.name for column in columns.inputs if column.name not in may_lack]
        return Chosen([by_name[one.lower()] for one in said], [], inputs if len(inputs) == len(said) else [])
    found = {column.name: by_name.get(column.name.lower()) for column in columns.inputs}
    lacking = [name for name, there in found.items() if there is None]
    optional = columns.optional() if lacking and (columns.served or len(found) > 1) else set()
    required = [name for name in lacking if name not in optional]
    if len(required) == 1 and len(names) == 1 and len(set(found) - optional) == 1:
        found[required[0]] = names[0]
        required = []
    if required:
        raise DbtTritonError(_lacks(required, list(found), names))
    if columns.served:  # an optional input is asked for by its name only
        found = {name: there for name, there in found.items() if there is not None}
    return Chosen(
        [there or name for name, there in found.items()],
        [name for name, there in found.items() if there is None],
        list(found),
    )


def _lacks(required: Sequence[str], inputs: Sequence[str], names: Sequence[str]) -> str:
    which = (
        f"no column{'' if len(required) == 1 else 's'} {listed_names(shown(name, NAME_LENGTH) for name in required)}"
    )
    near = [hint for name in required[:MOST_LISTED] if (hint := nearest_name(name, names))]
    guessed = f"; did you mean {' and '.join(shown(one, NAME_LENGTH) for one in near)}?" if near else "."
    guess = near[0] if len(near) == 1 and len(inputs) == 1 else None
    example = guess or _example(inputs)
    return (
        f"the file has {which}, of INPUT{guessed} It has "
        f"{listed_names(shown(name, NAME_LENGTH) for name in names)}. Name the columns that INPUT means, in its order: "
        f"--descriptor {example}"
    )


def _example(inputs: Sequence[str]) -> str:
    """Return how a DESCRIPTOR is written; of many columns, the beginning."""
    if len(inputs) == 1:
        return "<its column>"
    more = ",…" if len(inputs) > _MOST_IN_EXAMPLE else ""
    return ",".join(f"<column for {name}>" for name in inputs[:_MOST_IN_EXAMPLE]) + more


def _require(wanted: Sequence[str], by_name: dict[str, str], names: Sequence[str], where: str) -> None:
    for name in wanted:
        if name.lower() not in by_name:
            raise DbtTritonError(
                f"{where}the file has no column {shown(name, NAME_LENGTH)}{did_you_mean(name, names) or '.'} "
                f"It has {listed_names(shown(one, NAME_LENGTH) for one in names)}"
            )
