"""Columns that are keys of the JSON object which an answer is: which they are, and the schema made of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dbt_triton.client.served import ServedModel, ServedTensor, listed
from dbt_triton.inference_model.columns import Binder
from dbt_triton.inference_model.language_model import FINISH_REASON, TEXT_OUTPUT
from dbt_triton.inference_model.model import TypedColumn
from dbt_triton.tensors import SqlType, TensorSpec, datatype_of_tensor
from dbt_triton.tensors.generation import AnswerColumn, Structured
from dbt_triton.tensors.shapes import bind_shape
from dbt_triton.tensors.sql_types import INTEGER_BITS

_NUMBERS = {"FLOAT16", "BFLOAT16", "FLOAT", "DOUBLE", "DECIMAL"}
_DAY = "[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
_CLOCK = r"([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,6})?"
#: The formats `time` and `date-time` of JSON Schema always have a zone, which these columns do not take.
_TEXTS = {
    "DATE": {"format": "date"},
    "TIME": {"pattern": f"^{_CLOCK}$"},
    "TIMESTAMP": {"pattern": f"^{_DAY}T{_CLOCK}$"},
    "TIMESTAMPTZ": {"format": "date-time"},
}


def bind_structured(
    binder: Binder, columns: Sequence[TypedColumn], served: ServedModel, problems: list[str]
) -> tuple[tuple[TensorSpec, ...], Structured | None]:
    """Bind OUTPUT where the text of an answer is JSON.

    A column that is called like an output, or bound to one by ``tensor.<column>``, is that output; the others are keys.

    Returns:
        The tensors to ask for, and where each column is read; None where something does not fit.
    """
    known = len(problems)
    text = text_output(served)
    if text is None:
        problems.append(
            f"response-format is json, but the model has no output that is one text: {listed(served.outputs)}"
        )
        return (), None
    of_tensors = [column for column in columns if binder.is_output(column)]
    keys = [column for column in columns if column not in of_tensors]
    problems += [
        f"OUTPUT column {column.name} is a key of the JSON that an answer is, which holds no bytes; declare STRING"
        for column in keys
        if column.type.kind == "BLOB"
    ]
    if not keys:
        names = ", ".join(column.name for column in of_tensors)
        problems.append(
            f"response-format is json, but every column of OUTPUT is an output of the model ({names}), so that none is "
            "a key of the JSON; leave response-format out, or declare the keys"
        )
    specs = list(binder.outputs(of_tensors))
    binder.wanted["OUTPUT"] = 0  # what is served says nothing of keys
    text_at = _asked_for(text, specs, problems, batched=binder.batched)
    reason = next((one for one in served.outputs if one.name == FINISH_REASON and one.datatype == "BYTES"), None)
    is_wanted = reason is not None and not binder.is_switched_off(reason.name)
    reason_at = None if reason is None or not is_wanted else _asked_for(reason, specs, [], batched=binder.batched)
    if len(problems) > known or text_at is None:
        return tuple(specs), None
    places = {spec.column: place for place, spec in reversed(list(enumerate(specs)))}
    found = tuple(
        AnswerColumn(None, column.name, column.type) if column in keys else AnswerColumn(places[column.name])
        for column in columns
    )
    return tuple(specs), Structured(text_at, reason_at, found)


def text_output(served: ServedModel) -> ServedTensor | None:
    """Return the output that is the text of an answer: ``text_output``, or the only one of texts."""
    texts = [tensor for tensor in served.outputs if tensor.datatype == "BYTES"]
    named = [tensor for tensor in texts if tensor.name == TEXT_OUTPUT]
    return (named or texts)[0] if named or len(texts) == 1 else None


def schema_of(columns: Sequence[TypedColumn]) -> dict[str, Any]:
    """Return the JSON schema of an object with these columns as its keys, all of them required."""
    return {
        "type": "object",
        "properties": {column.name: _of_type(column.type) for column in columns},
        "required": [column.name for column in columns],
        "additionalProperties": False,
    }


def keys_of(structured: Structured, columns: Sequence[TypedColumn]) -> list[TypedColumn]:
    """Return the columns of OUTPUT that are keys of the JSON."""
    return [column for column, answered in zip(columns, structured.columns, strict=True) if answered.output is None]


def _of_type(sql: SqlType) -> dict[str, Any]:
    if sql.dims:
        length, inner = sql.dims[0], SqlType(sql.kind, sql.dims[1:], sql.precision, sql.scale)
        return {"type": "array", "items": _of_type(inner)} | (
            {} if length is None else {"minItems": length, "maxItems": length}
        )
    if sql.kind in INTEGER_BITS:
        return {"type": "integer"}
    if sql.kind in _NUMBERS:
        return {"type": "number"}
    if sql.kind in _TEXTS:
        return {"type": "string"} | _TEXTS[sql.kind]
    return {"BOOLEAN": {"type": "boolean"}, "JSON": {}}.get(sql.kind, {"type": "string"})


def _asked_for(tensor: ServedTensor, specs: list[TensorSpec], problems: list[str], *, batched: bool) -> int | None:
    """Return the place of a text among the tensors asked for, which it joins if no column is it."""
    place = next((at for at, spec in enumerate(specs) if spec.name == tensor.name), None)
    if place is not None:
        return place
    datatype, text = datatype_of_tensor(tensor.datatype), SqlType("VARCHAR")
    assert datatype is not None  # noqa: S101 - it is BYTES
    shape = bind_shape(text, datatype, tensor.row_dims(batched=batched), output=True)
    if isinstance(shape, str):
        problems.append(f"response-format is json, which is for one text a row, but the server's {tensor.sentence}")
        return None
    specs.append(TensorSpec(tensor.name, tensor.name, datatype, shape[0], text, shape[1]))
    return len(specs) - 1
