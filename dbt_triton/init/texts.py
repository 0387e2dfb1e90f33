"""The texts of the files: CREATE MODEL, the predicting model, and its unit test.

What a server says is foreign: whatever it is called, it must not become SQL, Jinja or YAML of its own. Options are
quoted and escaped here; columns have names that `can_be_column` has let through; everything else goes into comments,
where braces and line ends are no more.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence

from dbt_triton.foreign_text import TEXT_LENGTH, shown
from dbt_triton.inference_model.served_columns import ServedColumn
from dbt_triton.init.draft import Draft
from dbt_triton.init.names import can_be_column, is_plain, plain_name
from dbt_triton.warehouses.example_values import ExampleValues, elements_of

#: An example of more elements is NULL: a table of it would be slow to make, and nobody could read it.
_MOST_INPUT_ELEMENTS = 10_000_000
#: dbt reads each value of a unit test as a text.
_MOST_TESTED_ELEMENTS = 2_000
_ROWS = (1, 2)
_JINJA = re.compile(r"\{(?=[{%#])")
_WIDTH = 116


def comment(text: str) -> str:
    """Return a text that holds foreign ones, fit for a comment of SQL that Jinja reads, too."""
    return shown(text, TEXT_LENGTH).replace("{", "(").replace("}", ")")


def create_model(draft: Draft) -> str:
    """Write the file with CREATE MODEL."""
    options = draft.model.options
    served = draft.served
    where = f"{options.model_name} of {options.endpoint}"
    version = f"version {served.shown_version}, Triton {served.server_version}"
    inputs = [_declared(draft, column) for column in draft.inputs]
    others = [_declared(draft, column, ", optional") for column in draft.optional]
    outputs = [_declared(draft, column) for column in draft.outputs]
    more = [_declared(draft, column, ", asked for where it is declared") for column in draft.more_outputs]
    lines = [
        "{{ config(materialized='inference_model') }}",
        "",
        *_commented(f"What dbt-triton init found as {where} ({version})."),
        *(line for note in draft.notes for line in _commented(f"{note[0].upper()}{note[1:]}.")),
        f"CREATE MODEL {_backticks(draft.name)}",
        "INPUT (",
        *_columns(inputs),
        *(["    -- To send one of these, take its dashes away, and name its column in the call:"] if others else []),
        *(f"    -- , {column}  -- {tensor}" for column, tensor in others),
        ")",
        "OUTPUT (",
        *_columns(outputs),
        *(f"    -- , {column}  -- {tensor}" for column, tensor in more),
        ")",
        "WITH (",
        ",\n".join(f"    {_option(key)} = {_option(value)}" for key, value in draft.options.items()),
        ")",
    ]
    return "\n".join(lines) + "\n"


def predicting_model(draft: Draft, sql: ExampleValues) -> str:
    """Write the model that predicts, whose rows are examples."""
    table = _Table(draft, sql)
    descriptor = ", ".join(f"'{name}'" for name in table.inputs.values())
    wanted = ", ".join([table.id, *table.sequence.values(), *table.inputs.values()])
    lines = [
        "{{ config(materialized='ml_predict', meta={'ml_predict': {'on-error': 'null'}}) }}",
        "",
        "{# Rows of yours in place of the examples, with columns of these names:",
        *_to_copy(wanted),
        "#}",
        "with examples as (",
        "",
        *table.rows("    ", expected=False),
        "",
        ")",
        "",
        "-- A row that cannot be predicted has NULL, and ml_error says why; without on-error it fails the build.",
        "select",
        *(f"    {column}," for column in (table.id, *table.sequence.values(), *table.outputs.values())),
        "    ml_error",
        f"from {{{{ dbt_triton.ml_predict('examples', ref('{draft.name}'), [{descriptor}]) }}}}",
    ]
    return "\n".join(lines) + "\n"


def _to_copy(columns: str) -> list[str]:
    """Write the SELECT to put in place of the examples, to be copied: names and the reference stay whole."""
    reference = "from {{ ref('your_table') }}"
    whole = f"   select {columns} {reference}"
    return [whole] if len(whole) <= _WIDTH else [*_wrapped(f"select {columns}", "   "), f"   {reference}"]


def unit_test(draft: Draft, name: str, sql: ExampleValues) -> str:
    """Write the unit test of the predicting model, with the fixture that takes the server's place."""
    table = _Table(draft, sql)
    lines = [
        f"# It needs no server and no table: dbt test --select {name},test_type:unit",
        "unit_tests:",
        f"  - name: {name}_has_what_is_predicted",
        f"    model: {name}",
        "    given:",
        "      # What is predicted in this test for every row: the columns of OUTPUT.",
        f"      - input: ref('{draft.name}')",
        "        format: sql",
        "        rows: |",
        *table.fixture("          "),
        "    expect:",
        "      format: sql",
        "      rows: |",
        *table.rows("        ", expected=True),
    ]
    return "\n".join(lines) + "\n"


class _Table:
    """The examples, and what comes of them: names of columns, and values as SQL."""

    def __init__(self, draft: Draft, sql: ExampleValues) -> None:
        self._draft = draft
        self._sql = sql
        #: By the name in OUTPUT, as the warehouse's SQL has it.
        self.outputs = {column.name: self._name(column.name) for column in draft.outputs}
        taken = {column.name.lower() for column in draft.outputs} | {"ml_error"}
        self.id = plain_name("id", taken)
        taken.add(self.id.lower())
        #: The columns of sequence-by and order-by, by their names.
        self.sequence = {name: self._name(name) for name in _sequence_columns(draft) if name.lower() != self.id}
        taken |= {name.lower() for name in self.sequence}
        #: By the name in INPUT, a name that needs no quotes and is none of OUTPUT's: DESCRIPTOR binds by position.
        self.inputs: dict[str, str] = {}
        for column in draft.inputs:
            name = plain_name(column.name, taken)
            taken.add(name.lower())
            self.inputs[column.name] = name

    def rows(self, indent: str, *, expected: bool) -> list[str]:
        """Write the rows of the input, or those that are expected of it."""
        lines: list[str] = []
        for number in _ROWS:
            lines += [indent + "union all"] if lines else []
            columns = [(self.id, str(number)), *self._of_sequence(number)]
            columns += self._predicted() if expected else self._given(number)
            lines += _select(columns, indent)
        return lines

    def fixture(self, indent: str) -> list[str]:
        """Write what takes the server's place."""
        return _select(self._predicted(), indent)

    def _name(self, name: str) -> str:
        return name if is_plain(name) else self._sql.quote(name)

    def _given(self, number: int) -> list[tuple[str, str]]:
        return [(self.inputs[one.name], self._value(one, number, _MOST_INPUT_ELEMENTS)) for one in self._draft.inputs]

    def _predicted(self) -> list[tuple[str, str]]:
        values = [
            (self.outputs[one.name], self._value(one, place, _MOST_TESTED_ELEMENTS))
            for place, one in enumerate(self._draft.outputs, start=1)
        ]
        return [*values, ("ml_error", self._sql.null("STRING"))]

    def _value(self, column: ServedColumn, number: int, most: int) -> str:
        if elements_of(column.sql_type) > most:
            return self._sql.null(column.sql_type)
        return self._sql.value(column.sql_type, number)

    def _of_sequence(self, number: int) -> list[tuple[str, str]]:
        keys = [term.strip('"`') for term in self._draft.model.options.sequence_by]
        values = {name: self._sql.text("a") if name in keys else str(number) for name in self.sequence}
        return [(self.sequence[name], value) for name, value in values.items()]


def _sequence_columns(draft: Draft) -> list[str]:
    options = draft.model.options
    names = [term.split()[0].strip('"`') for term in (*options.sequence_by, *options.order_by)]
    return [name for name in dict.fromkeys(names) if can_be_column(name)]


def _select(columns: Sequence[tuple[str, str]], indent: str) -> list[str]:
    """Write a row as SQL, a column a line."""
    items = [f"{value} as {name}" for name, value in columns]
    return [
        f"{indent}select",
        *(f"{indent}    {item}{',' * (place < len(items))}" for place, item in enumerate(items, 1)),
    ]


def _declared(draft: Draft, column: ServedColumn, more: str = "") -> tuple[str, str]:
    """Return a column as it is declared, and what its tensor is."""
    name = draft.tensor_of(column)
    called = "" if name == column.name else f"{name}, "
    optional = ", optional" if column.optional and not more else more
    tensors = draft.served.outputs if column.output else draft.served.inputs
    dims = next(list(one.shape) for one in tensors if one.name == name)
    return f"{_backticks(column.name)} {column.sql_type}", comment(f"{called}{column.datatype} {dims}{optional}")


def _columns(columns: Sequence[tuple[str, str]]) -> list[str]:
    lines = [
        (column + ("," if place < len(columns) else ""), tensor) for place, (column, tensor) in enumerate(columns, 1)
    ]
    width = min(max(len(column) for column, _ in lines), 60)
    return [f"    {column.ljust(width)}  -- {tensor}" for column, tensor in lines]


def _commented(text: str) -> list[str]:
    """Write a comment of several lines."""
    return _wrapped(comment(text), "-- ")


def _wrapped(text: str, before: str) -> list[str]:
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=before,
        subsequent_indent=before,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _backticks(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def _option(text: str) -> str:
    """Write a text of WITH: in SQL's quotes, with nothing in it that Jinja reads."""
    quoted = "'" + text.replace("'", "''") + "'"
    return _JINJA.sub("{{ '{' }}", quoted)
