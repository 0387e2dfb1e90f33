"""One call of ML_PREDICT with everything resolved, as the plan hands it on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from dbt_triton.ddl import Call
from dbt_triton.inference_model import Binding, InferenceModel
from dbt_triton.keys import key_expression, salt_of_session
from dbt_triton.tensors.presence import optional_inputs
from dbt_triton.warehouse import quote

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
        output_names: the names of the OUTPUT columns in the result.
        error_name: the name of the column that says why a row failed, with ``on-error`` = ``null``.
        is_table: whether the input is a table that can be read twice.
        store: the quoted relation of the prediction store.
        salt_variable: of the session, where the salt of the keys is while the call is carried out.
        sequence_by: the columns whose values are the keys of sequences, as SQL.
        order_by: the order of the rows of a sequence, as SQL.
        optional: the places of the inputs that a row may lack: NULL there is left out. The server says which.
    """

    call: Call
    model: InferenceModel
    columns: list[str]
    values: list[str]
    key_values: list[str]
    output_names: list[str]
    error_name: str | None
    is_table: bool
    store: str
    salt_variable: str
    sequence_by: tuple[str, ...] = ()
    order_by: tuple[str, ...] = ()
    optional: tuple[int, ...] = ()

    def bound_to(self, binding: Binding) -> PlannedCall:
        """Return the call as it is carried out: with the optional inputs of what is served."""
        return replace(self, optional=tuple(optional_inputs(binding.inputs)))

    @property
    def in_order(self) -> bool:
        """Whether the rows are the steps of a sequence."""
        return self.model.options.in_sequence

    @property
    def filled(self) -> str:
        """The SQL that is true for a row that is sent: one with all the values that it needs, and one at least."""
        needed = [value for place, value in enumerate(self.key_values) if place not in self.optional]
        return " and ".join(f"{value} is not null" for value in needed) or self.any_filled

    @property
    def any_filled(self) -> str:
        """The SQL that is true for a row with any value at all."""
        return "(" + " or ".join(f"{value} is not null" for value in self.key_values) + ")"

    @property
    def key(self) -> str:
        """The SQL of a row's key."""
        return self.key_with(self.salt)

    def key_with(self, salt: str) -> str:
        """Return the SQL of a row's key, given that of the salt."""
        key = key_expression(self.key_values, salt, self.optional)
        nothing_needed = len(self.optional) == len(self.key_values)
        return f"case when {self.filled} then {key} end" if nothing_needed else key

    @property
    def sent_values(self) -> list[str]:
        """The SQL of what a row's request is made of: the values, and of each optional one whether it is left out."""
        return [*self.values, *(f"({self.key_values[place]}) is null" for place in self.optional)]

    @property
    def salt(self) -> str:
        """The SQL of the salt of the keys."""
        return salt_of_session(self.salt_variable)

    def check_form(self, source: str) -> str:
        """Return what stands for the call where no prediction is needed: NULLs of the right types."""
        nulls = [
            f"cast(null as {column.duckdb_type}) as {quote(name)}"
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
