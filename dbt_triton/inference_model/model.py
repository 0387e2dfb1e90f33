"""The validated definition of an inference model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from dbt_triton.ddl import Column, ModelDefinition
from dbt_triton.errors import ConfigurationError
from dbt_triton.flink_options import translated
from dbt_triton.generation_options import layered
from dbt_triton.inference_model.by_column import column_problems
from dbt_triton.inference_model.served_columns import ServedColumn
from dbt_triton.option_names import is_like_an_option
from dbt_triton.options import NAMES, STUB, Options, parse_options
from dbt_triton.tensors import Datatype, SqlType, datatype_of_sql, parse_sql_type

#: The store's own columns; an OUTPUT of that name would collide with them.
RESERVED_OUTPUTS = frozenset(
    {"ml_key", "ml_fingerprint", "ml_salt", "ml_error", "ml_reason", "ml_http_status", "ml_attempts", "ml_kind"}
)


@dataclass(frozen=True)
class TypedColumn:
    """One column of INPUT or OUTPUT.

    Args:
        name: as it was declared.
        sql_type: its type as it was declared.
        datatype: the tensor datatype that is the type's own.
        type: the type as it was understood.
    """

    name: str
    sql_type: str
    datatype: Datatype
    type: SqlType


@dataclass(frozen=True)
class InferenceModel:
    """A definition whose options and types are valid.

    Args:
        name: of the model.
        inputs: of INPUT.
        outputs: of OUTPUT.
        options: all of them.
        raw_options: the options as they were given.
        comment: of the definition.
        served_inputs: where INPUT was left out, the inputs that the server had when the model was built. Then
            ``inputs`` are those that are required, until a call chooses.
        served_outputs: the same of OUTPUT, which ``outputs`` has all of.
    """

    name: str
    inputs: tuple[TypedColumn, ...]
    outputs: tuple[TypedColumn, ...]
    options: Options
    raw_options: dict[str, Any]
    comment: str | None = None
    served_inputs: tuple[ServedColumn, ...] = ()
    served_outputs: tuple[ServedColumn, ...] = ()

    @classmethod
    def from_definition(
        cls,
        definition: ModelDefinition,
        overrides: Mapping[str, Any] | None = None,
        *,
        served_inputs: Sequence[ServedColumn] = (),
        served_outputs: Sequence[ServedColumn] = (),
    ) -> Self:
        """Validate a definition.

        Args:
            definition: as it was parsed. A side without columns is one that is left out.
            overrides: options that win over those of the definition.
            served_inputs: what INPUT was taken from.
            served_outputs: what OUTPUT was taken from.

        Raises:
            ConfigurationError: with every problem of the options, the types and the names.
        """
        name = ".".join(definition.name)
        subject = f'inference model "{name}"'
        problems: list[str] = []
        inputs = typed_columns(definition.inputs, "INPUT", problems)
        outputs = typed_columns(definition.outputs, "OUTPUT", problems)
        problems += [
            f"OUTPUT column {column.name} has a name that the prediction store needs; choose another"
            for column in outputs
            if column.name.lower() in RESERVED_OUTPUTS
        ]
        raw = layered(translated(definition.options), translated(overrides or {}))
        options: Options | None = None
        try:
            options = parse_options(raw, subject)
        except ConfigurationError as error:
            problems += error.problems
        # Of a side that is left out, the columns are not known yet.
        if definition.outputs and (definition.inputs or served_inputs):
            problems += column_problems(raw, _all_inputs(inputs, served_inputs), outputs)
        if problems or options is None:
            raise ConfigurationError(problems, subject)
        served = tuple(served_inputs), tuple(served_outputs)
        return cls(definition.name[-1], inputs, outputs, options, raw, definition.comment, *served)

    @property
    def is_stub(self) -> bool:
        """Whether no server is asked."""
        return self.options.provider == STUB

    def stub_values(self, column: TypedColumn) -> Sequence[str]:
        """Return the values that the user lets the stub choose from for an OUTPUT column; often none."""
        by_column = {name.lower(): values for name, values in self.options.stubs.items()}
        return by_column.get(column.name.lower(), [])

    @property
    def all_inputs(self) -> tuple[TypedColumn, ...]:
        """The columns that INPUT may have: where it is taken from the server, with the optional ones."""
        return _all_inputs(self.inputs, self.served_inputs)

    @property
    def left_out(self) -> list[str]:
        """The sides that a server is still to be asked for."""
        sides = {"INPUT": (*self.inputs, *self.served_inputs), "OUTPUT": self.outputs}
        return [side for side, columns in sides.items() if not columns]

    @property
    def from_server(self) -> list[str]:
        """The sides that were taken from the server."""
        sides = {"INPUT": self.served_inputs, "OUTPUT": self.served_outputs}
        return [side for side, columns in sides.items() if columns]

    def with_options(self, overrides: Mapping[str, Any], subject: str) -> InferenceModel:
        """Return the model with some options replaced, all of them validated again together."""
        if not overrides:
            return self
        raw = layered(self.raw_options, translated(overrides))
        options = parse_options(raw, subject)
        if self.from_server and options.batch_dim != self.options.batch_dim:
            sides = " and ".join(self.from_server)
            raise ConfigurationError(
                [f"batch-dim decides the schema, and the server said {sides}; write it into WITH of {self.name}"],
                subject,
            )
        return replace(self, options=options, raw_options=raw)


def _all_inputs(inputs: Sequence[TypedColumn], served: Sequence[ServedColumn]) -> tuple[TypedColumn, ...]:
    """Return what INPUT may have: where it is taken from the server, the optional inputs, too."""
    names = {column.name.lower() for column in inputs}
    others = [column.declared for column in served if column.name.lower() not in names]
    return (*inputs, *typed_columns(others, "INPUT", []))


def typed_columns(columns: Sequence[Column], side: str, problems: list[str]) -> tuple[TypedColumn, ...]:
    """Read the types of columns; one that is not supported goes to the problems."""
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
            typed.append(TypedColumn(column.name, column.type, found[0], parsed))
    return tuple(typed)
