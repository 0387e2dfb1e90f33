"""The validated definition of an inference model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

from dbt_triton.ddl import Column, ModelDefinition
from dbt_triton.errors import ConfigurationError
from dbt_triton.flink_options import translated
from dbt_triton.option_names import is_like_an_option
from dbt_triton.options import NAMES, STUB, STUB_PREFIX, TENSOR_PREFIX, Options, parse_options
from dbt_triton.tensors import Datatype, SqlType, datatype_of_sql, parse_sql_type

#: The store's own columns; an OUTPUT of that name would collide with them.
RESERVED_OUTPUTS = frozenset(
    {"ml_key", "ml_fingerprint", "ml_salt", "ml_error", "ml_reason", "ml_http_status", "ml_attempts"}
)


@dataclass(frozen=True)
class TypedColumn:
    """One column of INPUT or OUTPUT.

    Args:
        name: as it was declared.
        sql_type: its type as it was declared.
        duckdb_type: DuckDB's name of the type that tables have: large fixed arrays are lists there.
        datatype: the tensor datatype that is the type's own.
        type: the type as it was understood.
    """

    name: str
    sql_type: str
    duckdb_type: str
    datatype: Datatype
    type: SqlType


@dataclass(frozen=True)
class InferenceModel:
    """A definition whose options and types are valid. ``raw_options`` are the options as they were given."""

    name: str
    inputs: tuple[TypedColumn, ...]
    outputs: tuple[TypedColumn, ...]
    options: Options
    raw_options: dict[str, Any]
    comment: str | None = None

    @classmethod
    def from_definition(cls, definition: ModelDefinition, overrides: Mapping[str, Any] | None = None) -> Self:
        """Validate a definition.

        Args:
            definition: as it was parsed.
            overrides: options that win over those of the definition.

        Raises:
            ConfigurationError: with every problem of the options, the types and the names.
        """
        name = ".".join(definition.name)
        subject = f'inference model "{name}"'
        problems: list[str] = []
        inputs = _typed(definition.inputs, "INPUT", problems)
        outputs = _typed(definition.outputs, "OUTPUT", problems)
        problems += [
            f"OUTPUT column {column.name} has a name that the prediction store needs; choose another"
            for column in outputs
            if column.name.lower() in RESERVED_OUTPUTS
        ]
        raw = translated(definition.options) | translated(overrides or {})
        options: Options | None = None
        try:
            options = parse_options(raw, subject)
        except ConfigurationError as error:
            problems += error.problems
        columns = {column.name.lower() for column in (*inputs, *outputs)}
        problems += [
            f"{key} names no column of INPUT or OUTPUT"
            for key in raw
            if key.startswith(TENSOR_PREFIX) and key.removeprefix(TENSOR_PREFIX).lower() not in columns
        ]
        produced = {column.name.lower() for column in outputs}
        problems += [
            f"{key} names no column of OUTPUT"
            for key in raw
            if key.startswith(STUB_PREFIX) and key.removeprefix(STUB_PREFIX).lower() not in produced
        ]
        if problems or options is None:
            raise ConfigurationError(problems, subject)
        return cls(definition.name[-1], inputs, outputs, options, raw, definition.comment)

    @property
    def is_stub(self) -> bool:
        """Whether no server is asked."""
        return self.options.provider == STUB

    def with_options(self, overrides: Mapping[str, Any], subject: str) -> InferenceModel:
        """Return the model with some options replaced, all of them validated again together."""
        if not overrides:
            return self
        raw = self.raw_options | translated(overrides)
        return replace(self, options=parse_options(raw, subject), raw_options=raw)


def _typed(columns: tuple[Column, ...], side: str, problems: list[str]) -> tuple[TypedColumn, ...]:
    typed = []
    for column in columns:
        if not column.name:
            problems.append(f"{side} has a column with an empty name")
            continue
        parsed = parse_sql_type(column.type)
        found = datatype_of_sql(column.type)
        if isinstance(parsed, str) or found is None:
            misplaced = len(column.name) > 1 and is_like_an_option(column.name, NAMES)
            hidden = "its type, not shown since an option may stand among the columns, is not supported"
            words = hidden if misplaced else parsed
            problems.append(f"{side} column {column.name}: {words}")
        else:
            typed.append(TypedColumn(column.name, column.type, parsed.in_tables.duckdb, found[0], parsed))
    return tuple(typed)
