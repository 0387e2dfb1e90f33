"""A value of ``parameters`` as a tensor that every row has: checked against its datatype, range and shape."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from dbt_triton.client.served import ServedTensor
from dbt_triton.tensors import Datatype, SqlType, TensorSpec, datatype_of_tensor, parse_sql_type
from dbt_triton.tensors.constants import elements_of
from dbt_triton.tensors.datatypes import natural_sql_type
from dbt_triton.tensors.generation import Constant, Json
from dbt_triton.tensors.shapes import bind_shape

#: The largest numbers of floating-point datatypes. BF16 has the range of FP32.
_LARGEST = {"FP16": 65504.0, "BF16": 3.3895313892515355e38, "FP32": float(np.finfo(np.float32).max), "FP64": np.inf}


def constant_of(tensor: ServedTensor, value: Json, *, batched: bool) -> Constant | str:
    """Make a constant, or say why the input cannot hold the value: the end of a sentence on it.

    Args:
        tensor: the served input.
        value: of JSON, and not null. An object is given to an input of texts as JSON.
        batched: whether the first axis of the tensor is the batch.
    """
    datatype = datatype_of_tensor(tensor.datatype)
    served = f"the server's {tensor.sentence}"
    if datatype is None:
        return f"{served}, a datatype that this version does not support"
    if isinstance(value, Mapping) and datatype.name == "BYTES":
        value = json.dumps(value, ensure_ascii=False)
    lengths = _lengths(value)
    if lengths is None:
        return f"its lists are of several lengths, or empty, but {served}"
    read = [_element(one, datatype) for one in elements_of(value)]
    wrong = next((one for one in read if isinstance(one, _Unfit)), None)
    if wrong is not None:
        return f"{wrong.words}, but {served}"
    kind = parse_sql_type(natural_sql_type(datatype.name))
    assert not isinstance(kind, str)  # noqa: S101 - each is in the table
    sql = SqlType(kind.kind, tuple(lengths))
    shape = bind_shape(sql, datatype, tensor.row_dims(batched=batched), output=False)
    if isinstance(shape, str):
        said = "it is one value" if not lengths else f"it is a list of {' times '.join(map(str, lengths))}"
        return f"{said}, which does not fit, since {served}"
    spec = TensorSpec(tensor.name, tensor.name, datatype, shape[0], sql, shape[1], optional=tensor.optional)
    return Constant(spec, _nested(iter(read), lengths))


class _Unfit:
    """A value that a datatype does not hold."""

    def __init__(self, words: str) -> None:
        self.words = words


def _lengths(value: Json) -> list[int] | None:
    """Return the length of each level of lists; None where lists of one level differ, or are empty."""
    if not isinstance(value, list):
        return []
    inner = [_lengths(item) for item in value]
    if not inner or any(one is None or one != inner[0] for one in inner):
        return None
    return [len(value), *(inner[0] or ())]


def _nested(elements: Iterator[Json], lengths: Sequence[int]) -> Json:
    if not lengths:
        return next(elements)
    return [_nested(elements, lengths[1:]) for _ in range(lengths[0])]


def _element(value: Json, datatype: Datatype) -> Any:  # noqa: ANN401 - a value of any datatype, or what is wrong
    """Return a value as the datatype has it."""
    if datatype.name == "BYTES":
        return value if isinstance(value, str) else _Unfit(f"{_shown(value)} is no text")
    if datatype.name == "BOOL":
        return value if isinstance(value, bool) else _Unfit(f"{_shown(value)} is neither true nor false")
    return _number(value, datatype)


def _number(value: Json, datatype: Datatype) -> float | _Unfit:
    """Return a number as the datatype has it."""
    name = datatype.name
    if isinstance(value, bool) or not isinstance(value, int | float):
        return _Unfit(f"{_shown(value)} is no number")
    if name in _LARGEST:
        return float(value) if abs(value) <= _LARGEST[name] else _Unfit(f"{_shown(value)} is too large")
    if value != int(value):
        return _Unfit(f"{_shown(value)} is no whole number")
    bounds = np.iinfo(np.dtype(datatype.numpy))
    if not bounds.min <= value <= bounds.max:
        return _Unfit(f"{_shown(value)} is not within {bounds.min} and {bounds.max}")
    return int(value)


def _shown(value: Json) -> str:
    """Show a value, unless it is long: an object of JSON, say."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 40 else f"{text[:40]}…"  # noqa: PLR2004 - as many fit into a sentence
