"""The input of a call as its inference model reads it: columns, types, values and order. Problems are collected."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from dbt_triton.inference_model import InferenceModel
from dbt_triton.inference_model.input_columns import sent_as_nan
from dbt_triton.inference_model.served_columns import GivenColumn
from dbt_triton.inference_model.served_schema import for_descriptor
from dbt_triton.known_names import MOST_COMPARED, listed_names
from dbt_triton.warehouses import Dialect, Value
from dbt_triton.warehouses.sequence_order import read_term


@dataclass(frozen=True)
class CallInputs:
    """The columns of a call's input, and how the warehouse writes what is made of them.

    Args:
        columns: the input's columns and their types, as the warehouse describes them.
        dialect: of the warehouse.
        where: the call's place in the statement, for problems.
        problems: what is wrong is added here.
    """

    columns: Sequence[tuple[str, str]]
    dialect: Dialect
    where: str
    problems: list[str]

    @cached_property
    def names(self) -> list[str]:
        """The columns' names."""
        return [name for name, _ in self.columns]

    @cached_property
    def types(self) -> dict[str, str]:
        """The columns' types."""
        return dict(self.columns)

    def column(self, written: str, said_by: str = "") -> str:
        """Return a column as it is called in the input; one that is not there goes to the problems."""
        if written in self.names:
            return written
        by_name = {name.lower(): name for name in self.names}
        place = f"{self.where}, {said_by}" if said_by else self.where
        alike = [name for name in self.names if name.lower() == written.lower()]
        if len(alike) > 1:  # as only a warehouse has them that tells names apart by their case
            self.problems.append(f"{place}: {written} may be {' or '.join(alike)}, columns of the input; write which")
            return written
        if alike:
            return alike[0]
        # Of thousands of columns, only the first problems are compared with all.
        compared = by_name if len(self.problems) * len(by_name) < MOST_COMPARED else ()
        near = difflib.get_close_matches(written.lower(), compared, n=1, cutoff=0.5)
        hint = f"; did you mean {by_name[near[0]]}?" if near else "."
        self.problems.append(f"{place}: the input has no column {written}{hint} It has {listed_names(self.names)}")
        return written

    def bound(self, model: InferenceModel, chosen: Sequence[str]) -> InferenceModel:
        """Return the model with the INPUT of this call; a DESCRIPTOR that is none of it goes to the problems."""
        types = self.types
        if model.served_inputs:
            if not all(name in types for name in chosen):
                return model  # which is said already
            given = [GivenColumn(name, *self.dialect.source_kind(types[name])) for name in chosen]
            found = for_descriptor(model, given)
            if isinstance(found, InferenceModel):
                return found
            self.problems.append(f"{self.where}, {model.name}: {found}")
        elif len(chosen) != len(model.inputs):
            declared = listed_names(column.name for column in model.inputs)
            self.problems.append(
                f"{self.where}: DESCRIPTOR has {len(chosen)} columns, but INPUT of {model.name} has "
                f"{len(model.inputs)} ({declared}){_of_one_array(chosen, model)}"
            )
        return model

    def values(self, model: InferenceModel, chosen: Sequence[str]) -> tuple[Value, ...]:
        """Return the DESCRIPTOR columns in the types of INPUT; types that cannot be these go to the problems."""
        types, bound = self.types, zip(chosen, model.inputs, strict=False)
        found = [self.dialect.value_of(name, types[name], column.type) for name, column in bound if name in types]
        self.problems.extend(f"{self.where}: {value}" for value in found if isinstance(value, str))
        return tuple(value for value in found if not isinstance(value, str))

    def nan_values(self, model: InferenceModel, chosen: Sequence[str]) -> dict[int, Value]:
        """Return what is sent of the columns of numbers where their NULL is NaN; the server says for which it is."""
        if model.options.null_as is None:
            return {}
        types, found = self.types, {}
        for place, (name, column) in enumerate(zip(chosen, model.inputs, strict=False)):
            sent = sent_as_nan(column.type)
            value = self.dialect.value_of(name, types[name], column.type, sent=sent) if sent and name in types else None
            if isinstance(value, Value):
                found[place] = value
        return found

    def sequence_by(self, model: InferenceModel) -> tuple[str, ...]:
        """Return the SQL of the columns that tell sequences apart."""
        types = self.types
        terms = self._terms("sequence-by", model.options.sequence_by)
        return tuple(self.dialect.sequence_key(name, types[name]) for name, _ in terms if name in types)

    def order_by(self, model: InferenceModel) -> tuple[str, ...]:
        """Return the SQL of the order of the rows of a sequence."""
        terms = self._terms("order-by", model.options.order_by)
        return tuple(f"{self.dialect.quote(name)} {direction}" for name, direction in terms)

    def _terms(self, option: str, columns: Sequence[str]) -> list[tuple[str, str]]:
        """Return the columns that an option names, each with its direction."""
        terms = [read_term(column, self.names) for column in columns]
        return [(self.column(name, option), direction) for name, direction in terms]


def _of_one_array(chosen: Sequence[str], model: InferenceModel) -> str:
    """Say what to do about a DESCRIPTOR that names the elements of an array."""
    if len(model.inputs) != 1 or len(model.inputs[0].type.dims) != 1:
        return ""
    column = model.inputs[0]
    return (
        f"; give it [{listed_names(chosen)}], as one column of the TABLE operand, or declare a column of INPUT "
        f"for each in place of {column.name} {column.sql_type}"
    )
