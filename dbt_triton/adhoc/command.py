"""The command `dbt-triton predict`: an inference model of the project, or of a server, and rows that are at hand.

The step of a build is run, on a DuckDB in memory that holds nothing but the input and the model's metadata row. So
types, NULL, retries, failed rows and words are those of a build, whichever warehouse the project has; and it is not
opened.
"""

from __future__ import annotations

import gzip
import logging
import re
import sys
import traceback
from argparse import Namespace
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TextIO, cast

from dbt_triton.adhoc.asked import Asked, asked_model
from dbt_triton.adhoc.files import ZIPPED, Chosen, chosen_columns, kind_of_file
from dbt_triton.adhoc.words import (
    STANDARD_INPUT,
    Columns,
    Words,
    files_as_texts,
    json_columns,
    rows_of_words,
    sorted_words,
)
from dbt_triton.adhoc.written import as_declared, write
from dbt_triton.ddl.calls import select_of_call
from dbt_triton.errors import ConfigurationError, DbtTritonError, told_problems
from dbt_triton.foreign_text import harmless, shown
from dbt_triton.inference_model import metadata_row
from dbt_triton.inference_model.model import TypedColumn
from dbt_triton.known_names import listed_names
from dbt_triton.step.plan import Plan, make_plan
from dbt_triton.step.predict import run_plan
from dbt_triton.step.report import SHOWN_ROWS
from dbt_triton.step.shown_values import shown_row
from dbt_triton.tensors.sql_types import INTEGER_BITS
from dbt_triton.warehouses.duckdb.alone import INPUT, MODEL, Alone, Rows  # noqa: TID251 - whatever the project has
from dbt_triton.warehouses.planned_call import PlannedCall
from dbt_triton.warehouses.sequence_order import read_term

logger = logging.getLogger("dbt_triton")

_NODE = "model.dbt_triton_predict"
_INTERRUPTED = 130
#: DuckDB's words, and the engine's, where Ctrl-C met them.
_BY_CTRL_C = re.compile(r"Query interrupted|INTERRUPT Error|the run was interrupted")
#: Where a problem stands in SQL that nobody has written.
_IN_THE_CALL = re.compile(r"^line 1(?:: |, )")
_NUMBERS = {*INTEGER_BITS, "FLOAT16", "BFLOAT16", "FLOAT", "DOUBLE", "DECIMAL"}
_WORDS_OF_KINDS = {"BOOLEAN": "boolean", "JSON": "json"}


@dataclass(frozen=True)
class _Input:
    """Rows to predict for, as they are read, and which of their columns are the DESCRIPTOR."""

    rows: Rows
    chosen: Chosen
    limit: int | None = None
    #: Whether each value is JSON, also one that is a text.
    is_json: bool = False


def predict(arguments: Namespace, dbt_arguments: Sequence[str], say: Callable[..., None]) -> int:
    """Predict and print. Returns 0 where every row is predicted, 1 where some failed, 130 after Ctrl-C.

    Raises:
        DbtTritonError: nothing is predicted; with what to do.
    """
    try:
        return _predict(arguments, dbt_arguments, say)
    except KeyboardInterrupt:
        return _say_interrupted()
    except ConfigurationError as error:
        raise _as_said_here(error) from error
    except (DbtTritonError, RuntimeError) as error:
        if _BY_CTRL_C.search(str(error)):
            return _say_interrupted()
        if isinstance(error, DbtTritonError):
            raise DbtTritonError(harmless(str(error))) from error
        raise _unexpected(error) from error
    except OSError:
        raise
    except Exception as error:
        raise _unexpected(error) from error


def _predict(arguments: Namespace, dbt_arguments: Sequence[str], say: Callable[..., None]) -> int:
    kind = None if arguments.file is None else kind_of_file(arguments.file, arguments.file_type)
    asked, words = asked_model(arguments, dbt_arguments)
    for note in asked.notes:
        _note(f"--option {note}")
    model = asked.with_schema()
    with Alone() as alone:
        given = _input(arguments, kind, words, asked, alone)
        array_or_json = {column.name for column in model.all_inputs if column.type.dims or column.type.kind == "JSON"}
        whole = {
            name for name, of in zip(given.chosen.descriptor, given.chosen.inputs, strict=False) if of in array_or_json
        }
        singles = [name for name, kind in given.rows.columns if kind == "JSON" and name not in whole]
        alone.put_input(
            given.rows,
            as_text=[name for name in singles if name in given.chosen.descriptor] if given.is_json else [],
            nothing=given.chosen.lacking,
            numbers=[read_term(term, ())[0] for term in model.options.order_by],
            limit=given.limit,
        )
        alone.put_model(metadata_row(asked.at_hand(), None))
        plan = _plan(given.chosen.descriptor, asked, alone)
        result = run_plan(plan, alone.warehouse, name=model.name, keeps=False)
        for warning in result["warnings"]:
            _note(warning)
        return _told(arguments.format, plan, result["build_sql"], asked, alone, say)


def _input(arguments: Namespace, kind: str | None, words: Sequence[str], asked: Asked, alone: Alone) -> _Input:
    """Return what is to be predicted for: words, the lines of standard input, or a file."""
    model, options = asked.model, asked.model.options
    order = [read_term(term, ())[0] for term in options.order_by]
    columns = Columns(
        model.all_inputs,
        list(dict.fromkeys([*options.sequence_by, *order])),
        asked.optional,
        served=bool(model.served_inputs),
    )
    if kind is None:
        if arguments.descriptor or arguments.file_type:
            raise DbtTritonError("--descriptor and --file-type are for a --file; of words, write column=value")
        return _of_words(words, columns, arguments.limit, alone)
    if words:
        raise DbtTritonError(
            f"there are a --file and {len(words)} value{'' if len(words) == 1 else 's'}; give one of them"
        )
    said = [name.strip() for names in arguments.descriptor or () for name in names.split(",")]
    if kind == "text":
        return _of_lines(arguments.file, Words({}, ()), columns, arguments.limit, alone)
    from_stdin = arguments.file == STANDARD_INPUT
    path = alone.spooled(_standard_input(), kind) if from_stdin else Path(arguments.file)
    if path.is_fifo() or path.is_char_device():  # as <(…) of a shell, and /dev/stdin, can be read once only
        with path.open("rb") as stream:
            path = alone.spooled(stream, kind)
    rows = alone.file(path, kind)
    chosen = chosen_columns([name for name, _ in rows.columns], columns, said)
    return _Input(rows, chosen, arguments.limit, is_json=kind == "json")


def _of_words(words: Sequence[str], columns: Columns, limit: int | None, alone: Alone) -> _Input:
    found = sorted_words(words, columns)
    if STANDARD_INPUT in found.plain:
        if len(found.plain) > 1:
            raise DbtTritonError("- reads texts from standard input; give no other text beside it")
        return _of_lines(STANDARD_INPUT, found, columns, limit, alone)
    values = rows_of_words(found, columns)
    for name in files_as_texts(found, columns):
        if name in values:
            _note(
                f"@ and the name of a file is sent as a text, since {name} is STRING; its bytes are with {name} BYTES"
            )
    rows = alone.values(values, json_columns(values, columns.inputs))
    inputs = [column.name for column in columns.inputs]
    lacking = [] if columns.served else [name for name in inputs if name not in values]
    chosen = [name for name in inputs if name in values or name in lacking]
    return _Input(rows, Chosen(chosen, lacking, chosen), limit)


def _of_lines(path: str, words: Words, columns: Columns, limit: int | None, alone: Alone) -> _Input:
    """Return the texts of a stream as the column that no word names, beside the values of the words."""
    left = [column.name for column in columns.inputs if column.name not in words.named]
    optional = columns.optional() if len(left) > 1 else set()
    required = [name for name in left if name not in optional]
    if len(required) != 1:
        raise DbtTritonError(
            f"one text a line is for one column, and INPUT has {listed_names(left) or 'no other'}; give the others as "
            "column=value, or a --file"
        )
    (column,) = required
    named = rows_of_words(Words(words.named, ["a line"]), columns)
    beside = {name: values[0] for name, values in named.items() if name in words.named}
    if path != STANDARD_INPUT:
        with (gzip.open if path.lower().endswith(ZIPPED) else open)(path, "rb") as file:
            rows = alone.lines(file, column, limit, path, beside)
    else:
        rows = alone.lines(_standard_input(), column, limit, "standard input", beside)
    lacking = [] if columns.served else [name for name in left if name != column]
    chosen = [one.name for one in columns.inputs if one.name in {column, *words.named, *lacking}]
    return _Input(rows, Chosen(chosen, lacking, chosen))


def _standard_input() -> IO[bytes]:
    if sys.stdin is None or sys.stdin.closed:
        raise DbtTritonError("standard input is closed; give a --file, or values")
    return sys.stdin.buffer


def _plan(descriptor: Sequence[str], asked: Asked, alone: Alone) -> Plan:
    quoted = map(alone.warehouse.dialect.quote, descriptor)
    node = {"unique_id": _NODE, "name": asked.model.name, "relations": [MODEL]}
    args: dict[str, Any] = {
        "sql": select_of_call(INPUT, MODEL, quoted),
        "store": {"database": "memory", "schema": "main", "identifier": "dbt_triton_predictions"},
        "models": [node],
        "secrets": {_NODE: {"meta": asked.secrets or {"provider": "triton"}}},
    }
    return make_plan(args, alone.warehouse)


def _told(  # noqa: PLR0913, PLR0917 - what was asked for, and what came of it
    shape: str, plan: Plan, build_sql: str, asked: Asked, alone: Alone, say: Callable[..., None]
) -> int:
    """Print the rows, and what is wrong with some of them."""
    (planned,) = plan.calls
    model = asked.model
    error = planned.error_name
    rows, failed = alone.count(build_sql, error)
    always_said = model.options.on_error == "null"
    hidden = [error] if error is not None and not failed and not always_said else []
    found, batches = alone.result(hidden)
    declared = dict(zip(planned.call.descriptor, map(_kind, planned.model.inputs), strict=True))
    columns = [as_declared((one.name, one.kind, one.levels), declared) for one in found]
    out = cast("TextIO", sys.stdout)
    with suppress(AttributeError, ValueError):  # somebody has put another stream there
        sys.stdout.reconfigure(errors="replace" if shape == "table" else "strict", encoding=_encoding(shape))  # type: ignore[union-attr]
    write(shape, columns, batches, out, say)
    if nulls := _not_sent(plan, asked, alone):
        _note(f"{nulls:,} row{' has' if nulls == 1 else 's have'} a NULL in INPUT: not sent, and predicted as NULL")
    if failed and error is not None:
        _note(_failed(shape, rows, failed, planned, alone))
        allowed = model.options.max_error_ratio * rows if always_said else 0
        return 1 if failed > allowed else 0
    return 0


def _failed(shape: str, rows: int, failed: int, planned: PlannedCall, alone: Alone) -> str:
    """Say how many rows failed, and of a result that a program reads, why the first did."""
    error = str(planned.error_name)
    said = f"{failed:,} of {rows:,} row{'' if rows == 1 else 's'} failed"
    if shape == "table":
        return f"{said}; {error} says why"
    first = alone.failed(error, SHOWN_ROWS)
    told = [({name: row[name] for name in planned.columns if name in row}, row[error]) for row in first]
    return "\n".join([f"{said}, the first:", *(f"  {shown_row(row)}: {why}" for row, why in told)])


def _not_sent(plan: Plan, asked: Asked, alone: Alone) -> int:
    """Count the rows that lack a value without which no row is sent."""
    (planned,) = plan.calls
    if asked.model.is_stub or asked.model.options.null_as is not None:
        return 0
    by_input = {column.name: name for column, name in zip(planned.model.inputs, planned.call.descriptor, strict=True)}
    if len(by_input) > 1 and alone.missing(list(by_input.values())):
        for name in asked.optional():
            by_input.pop(name, None)
    return alone.missing(list(by_input.values()))


def _kind(column: TypedColumn) -> tuple[str, int]:
    kind = column.type.kind
    return "number" if kind in _NUMBERS else _WORDS_OF_KINDS.get(kind, "text"), len(column.type.dims)


def _encoding(shape: str) -> str | None:
    """Return the encoding that a shape has wherever it goes; a table has the terminal's."""
    return None if shape == "table" else "utf-8"


def _as_said_here(error: ConfigurationError) -> DbtTritonError:
    """Return an error without the lines of the SQL that is written for the call."""
    if not error.subject.startswith("ML_PREDICT"):
        return DbtTritonError(harmless(str(error)))
    problems = [_IN_THE_CALL.sub("", problem) for problem in told_problems(error.problems)]
    return DbtTritonError(harmless("\n  ".join(problems)))


def _unexpected(error: Exception) -> DbtTritonError:
    """Return what is said of a bug; its traceback, which is for who mends it, is logged as harmless text."""
    logger.debug("unexpected error\n%s", harmless(traceback.format_exc()))
    return DbtTritonError(
        f"unexpected {type(error).__name__}: {shown(error)}. This is a bug; run again with DBT_TRITON_LOG=debug and "
        "report the traceback"
    )


def _note(text: str) -> None:
    """Say it beside the result, which a pipe has alone."""
    with suppress(OSError, ValueError):  # nobody reads standard error
        print(f"dbt-triton: {harmless(text)}", file=sys.stderr, flush=True)  # noqa: T201 - as cli.py does


def _say_interrupted() -> int:
    _note("interrupted; nothing is kept")
    return _INTERRUPTED
