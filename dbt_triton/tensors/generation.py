"""What a request has beside its columns, and what becomes of the text of an answer: language models, mostly.

`Constant` and `TextParameters` say what is sent; `Structured` says which columns the text of an answer holds.

The record batches have every column of INPUT, in order, whatever a column is bound to. A column that is a tensor is
named by `Part.position` (``TensorSpec.parts``, which every input needs once a column is a key of the text); a column
that is a key of the parameters is named by `ParameterColumn.position`. Then come BOOLEAN columns, one for each input
that may be left out of a row's request, which say whether it is: `optional_columns` tells for which, and in what order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from dbt_triton.tensors.spec import TensorSpec
from dbt_triton.tensors.sql_types import SqlType

#: A value of JSON: None, a bool, a number, a text, or a list or dict of these.
Json: TypeAlias = Any


@dataclass(frozen=True)
class Constant:
    """A tensor that every row has, with one value.

    Args:
        spec: name, datatype and the shape of one row, as if a column were bound to it.
        value: a bool, number or text, or a list of these; it was checked against the datatype and its range.
    """

    spec: TensorSpec
    value: Json


@dataclass(frozen=True)
class ParameterColumn:
    """A column of INPUT that is a key of the parameters' JSON text.

    Args:
        position: among the columns of INPUT.
        column: its name, for errors.
        key: of the JSON object.
        sql: its type, by which its values become JSON: a JSON column is put in as it is, a text as a string.
    """

    position: int
    column: str
    key: str
    sql: SqlType


@dataclass(frozen=True)
class TextParameters:
    """The JSON text of parameters that some models read, as vLLM does its ``sampling_parameters``.

    Args:
        tensor: the name of the BYTES input that takes the text, one a row.
        fixed: what is the same in every row; ``{}`` is sent, too.
        columns: what each row says of its own, which wins over what is fixed. NULL leaves the key out altogether,
            also where `fixed` has it.
    """

    tensor: str
    fixed: Mapping[str, Json] = field(default_factory=dict)
    columns: tuple[ParameterColumn, ...] = ()


@dataclass(frozen=True)
class AnswerColumn:
    """One column of OUTPUT, where the text of an answer holds some of them.

    Args:
        output: the place of its tensor among those asked for; None where it is a key of the text.
        key: of the JSON object that the text is.
        type: what its value must be.
    """

    output: int | None
    key: str | None = None
    type: SqlType | None = None


@dataclass(frozen=True)
class Structured:
    """The text of an answer is a JSON object, whose keys are columns.

    Args:
        text: the place of the text among the tensors asked for.
        finish_reason: the place of why the text ends, where it is asked for: it explains a text that does not parse.
        columns: those of OUTPUT, in their order.
    """

    text: int
    finish_reason: int | None
    columns: tuple[AnswerColumn, ...]
