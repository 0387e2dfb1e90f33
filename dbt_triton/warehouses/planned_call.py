"""One call of ML_PREDICT with everything resolved, as the plan hands it on."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from dbt_triton.ddl import Call
from dbt_triton.inference_model import Binding, InferenceModel
from dbt_triton.tensors.presence import optional_columns
from dbt_triton.warehouses import Value
from dbt_triton.warehouses.evaluation import Measured

#: So many conditions stand beside one another.
_IN_A_ROW = 50


@dataclass(frozen=True)
class PlannedCall:
    """One call with everything resolved. What is SQL in it, the warehouse's dialect has written.

    Args:
        call: as it was parsed.
        number: of the call in its statement, from 0.
        model: the inference model, with the call's own options.
        columns: the input's columns.
        inputs: the DESCRIPTOR columns in the types of INPUT.
        given: the SQL that is true where a DESCRIPTOR column is not NULL, for each that must not be.
        output_names: the names of the OUTPUT columns in the result.
        error_name: the name of the column that says why a row failed, with ``on-error`` = ``null``.
        is_table: whether the input is a table that can be read twice.
        store: the quoted relation of the prediction store.
        sequence_by: the columns whose values are the keys of sequences, as SQL.
        order_by: the order of the rows of a sequence, as SQL.
        nan_values: by the place of a column of numbers, its value where NULL is NaN; with ``null-as``.
        optional: the places of the inputs that a row may lack: NULL there is left out. The server says which.
        measured: what a call of ML_EVALUATE measures of its rows; None for one of ML_PREDICT.
    """

    call: Call
    number: int
    model: InferenceModel
    columns: list[str]
    inputs: tuple[Value, ...]
    given: tuple[str, ...]
    output_names: list[str]
    error_name: str | None
    is_table: bool
    store: str
    sequence_by: tuple[str, ...] = ()
    order_by: tuple[str, ...] = ()
    nan_values: Mapping[int, Value] = field(default_factory=dict)
    optional: tuple[int, ...] = ()
    measured: Measured | None = None

    def bound_to(self, binding: Binding) -> PlannedCall:
        """Return the call as what is served wants it: which NULL is NaN, which is left out, and how long to wait."""
        options = self.model.options.by_route(binding.route)
        return replace(
            self.with_nan(binding.nan_columns),
            model=replace(self.model, options=options),
            optional=tuple(optional_columns(binding.inputs, binding.text_parameters)),
        )

    def with_nan(self, places: Collection[int]) -> PlannedCall:
        """Return the call with NaN in place of NULL in some columns of INPUT, by their places."""
        inputs, given = list(self.inputs), list(self.given)
        for place in places:
            inputs[place] = self.nan_values[place]
            if not self.model.inputs[place].type.dims:  # a NULL array has no length
                given[place] = "true"
        return replace(self, inputs=tuple(inputs), given=tuple(given))

    @property
    def values(self) -> list[str]:
        """The SQL of the inputs; NULL too where a value is none of its type."""
        return [value.sql for value in self.inputs]

    @property
    def key_values(self) -> list[str]:
        """The SQL of what the key of a row is made of: NULL only where a column is NULL."""
        return [value.key for value in self.inputs]

    @property
    def wide(self) -> tuple[bool, ...]:
        """Which values are known by their bytes; they have no key as SQL that is worth its time."""
        return tuple(value.wide for value in self.inputs)

    @property
    def in_order(self) -> bool:
        """Whether the rows are the steps of a sequence."""
        return self.model.options.in_sequence

    @property
    def filled(self) -> str:
        """The SQL that is true for a row that is sent: one with all the values that it needs, and one at least."""
        needed = [given for place, given in enumerate(self.given) if place not in self.optional]
        return all_of(needed) if needed else self.any_filled

    @property
    def any_filled(self) -> str:
        """The SQL that is true for a row with any value at all."""
        return f"not ({all_of([f'not ({given})' for given in self.given])})"

    @property
    def sent_values(self) -> list[str]:
        """The SQL of what a row's request is made of: the values, and of each optional one whether it is left out."""
        return [*self.values, *(f"not ({self.given[place]})" for place in self.optional)]

    def sampled(self, query: str) -> str:
        """Return the first rows of the input's query only, where ``sample`` says so."""
        rows = self.model.options.sample
        return query if rows is None else f"select * from ({query}) limit {rows}"


def all_of(conditions: Sequence[str]) -> str:
    """Return the SQL that is true where all conditions are; in pairs of pairs: databases bound how deep SQL may be."""
    if len(conditions) <= _IN_A_ROW:
        return " and ".join(conditions) or "true"
    middle = len(conditions) // 2
    return f"({all_of(conditions[:middle])}) and ({all_of(conditions[middle:])})"


def unused_name(name: str, columns: Sequence[str]) -> str:
    """Lengthen a name until no column has it."""
    taken = {column.lower() for column in columns}
    while name in taken:
        name += "_"
    return name


def output_names(inputs: Sequence[str], outputs: Sequence[str]) -> list[str]:
    """Name the OUTPUT columns of the result: a name that is taken gets a counter from 0, as in Flink."""
    taken = {name.lower() for name in inputs}
    names = []
    for output in outputs:
        name, counter = output, 0
        while name.lower() in taken:
            name, counter = f"{output}{counter}", counter + 1
        taken.add(name.lower())
        names.append(name)
    return names
