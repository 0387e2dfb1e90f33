"""One call of ML_PREDICT with everything resolved, as the plan hands it on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dbt_triton.ddl import Call
from dbt_triton.inference_model import InferenceModel
from dbt_triton.keys import key_expression, salt_of_session
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
        wide: which values are known by their bytes; they have no key as SQL that is worth its time.
        error_name: the name of the column that says why a row failed, with ``on-error`` = ``null``.
        is_table: whether the input is a table that can be read twice.
        store: the quoted relation of the prediction store.
        salt_variable: of the session, where the salt of the keys is while the call is carried out.
        sequence_by: the columns whose values are the keys of sequences, as SQL.
        order_by: the order of the rows of a sequence, as SQL.
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
    wide: tuple[bool, ...] = ()
    order_by: tuple[str, ...] = ()

    @property
    def in_order(self) -> bool:
        """Whether the rows are the steps of a sequence."""
        return self.model.options.in_sequence

    @property
    def filled(self) -> str:
        """The SQL that is true for a row with all its values: one that is sent."""
        wide = self.wide or (False,) * len(self.values)
        keys = zip(self.values, self.key_values, wide, strict=True)
        return " and ".join(f"{value if is_wide else key} is not null" for value, key, is_wide in keys)

    @property
    def is_wide(self) -> bool:
        """Whether rows are known by the bytes of their values: they are then read by `dbt_triton.step.wide`."""
        # Rows are told apart by DuckDB's own rowid.
        return any(self.wide) and not self.in_order and "rowid" not in map(str.lower, self.columns)

    @property
    def key(self) -> str:
        """The SQL of a row's key."""
        return key_expression(self.key_values, self.salt)

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
