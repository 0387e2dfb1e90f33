"""One call of ML_PREDICT with everything resolved, as the plan hands it on."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from dbt_triton.ddl import Call
from dbt_triton.inference_model import Binding, InferenceModel
from dbt_triton.tensors.presence import optional_columns
from dbt_triton.warehouses import Value
from dbt_triton.warehouses.duckdb.dialect import quote, table_type
from dbt_triton.warehouses.duckdb.keys import all_of, key_expression, salt_of_session

#: Aliases within the rewritten call; no name of the user's SQL can be seen there.
INPUT_ALIAS = "input_rows"
STORE_ALIAS = "predictions"


@dataclass(frozen=True)
class PlannedCall:
    """One call with everything resolved.

    Args:
        call: as it was parsed.
        model: the inference model, with the call's own options.
        columns: the input's columns.
        values: the DESCRIPTOR columns as SQL, in the types of INPUT; NULL too where a value is none of its type.
        key_values: what the key is made of: NULL only where a column is NULL.
        given: the SQL that is true where a DESCRIPTOR column is not NULL, for each that must not be.
        wide: which values are known by their bytes; they have no key as SQL that is worth its time.
        output_names: the names of the OUTPUT columns in the result.
        error_name: the name of the column that says why a row failed, with ``on-error`` = ``null``.
        is_table: whether the input is a table that can be read twice.
        store: the quoted relation of the prediction store.
        salt_variable: of the session, where the salt of the keys is while the call is carried out.
        sequence_by: the columns whose values are the keys of sequences, as SQL.
        order_by: the order of the rows of a sequence, as SQL.
        nan_values: by the place of a column of numbers, its value where NULL is NaN; with ``null-as``.
        optional: the places of the inputs that a row may lack: NULL there is left out. The server says which.
    """

    call: Call
    model: InferenceModel
    columns: list[str]
    values: list[str]
    key_values: list[str]
    given: list[str]
    wide: tuple[bool, ...]
    output_names: list[str]
    error_name: str | None
    is_table: bool
    store: str
    salt_variable: str
    sequence_by: tuple[str, ...] = ()
    order_by: tuple[str, ...] = ()
    nan_values: Mapping[int, Value] = field(default_factory=dict)
    optional: tuple[int, ...] = ()

    def bound_to(self, binding: Binding) -> PlannedCall:
        """Return the call as what is served wants it: which NULL is sent as NaN, and which is left out."""
        return replace(self.with_nan(binding.nan_columns), optional=tuple(optional_columns(binding.inputs)))

    def with_nan(self, places: Collection[int]) -> PlannedCall:
        """Return the call with NaN in place of NULL in some columns of INPUT, by their places."""
        values, keys, given, wide = list(self.values), list(self.key_values), list(self.given), list(self.wide)
        for place in places:
            values[place], keys[place], wide[place] = self.nan_values[place]
            if not self.model.inputs[place].type.dims:  # a NULL array has no length
                given[place] = "true"
        return replace(self, values=values, key_values=keys, given=given, wide=tuple(wide))

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
    def is_wide(self) -> bool:
        """Whether rows are known by the bytes of their values: `wide` then reads them."""
        # Rows are told apart by DuckDB's own rowid.
        return any(self.wide) and not self.in_order and "rowid" not in map(str.lower, self.columns)

    @property
    def key(self) -> str:
        """The SQL of a row's key."""
        return self.key_with(self.salt)

    def key_with(self, salt: str) -> str:
        """Return the SQL of a row's key, given that of the salt."""
        return key_expression(self.key_values, salt, self.optional, self.filled)

    @property
    def sent_values(self) -> list[str]:
        """The SQL of what a row's request is made of: the values, and of each optional one whether it is left out."""
        return [*self.values, *(f"not ({self.given[place]})" for place in self.optional)]

    @property
    def salt(self) -> str:
        """The SQL of the salt of the keys."""
        return salt_of_session(self.salt_variable)

    def check_form(self, source: str) -> str:
        """Return what stands for the call where no prediction is needed: NULLs of the right types."""
        nulls = [
            f"cast(null as {table_type(column.type)}) as {quote(name)}"
            for column, name in zip(self.model.outputs, self.output_names, strict=True)
        ]
        if self.error_name is not None:
            nulls.append(f"cast(null as varchar) as {quote(self.error_name)}")
        return f"(select {INPUT_ALIAS}.*, {', '.join(nulls)} from ({source}) as {INPUT_ALIAS})"


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
