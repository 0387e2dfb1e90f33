"""What an interface is for its test, and how one is written down."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from support.formulas import FormulaModel


@dataclass(frozen=True)
class Interface:
    """One interface, the statement that a user writes for it, and what must come back.

    Args:
        model: what is served.
        schema: ``INPUT (…) OUTPUT (…)``.
        rows: a query with the column ``id`` and one column for each INPUT column.
        expected: for each row, in the order of ``id``, the OUTPUT columns.
        options: of the inference model.
        before: models that this one needs.
        of_nulls: the OUTPUT columns of a row of NULLs; by default NULLs.
    """

    model: FormulaModel
    schema: str
    rows: str
    expected: list[tuple[object, ...]]
    options: Mapping[str, str] = field(default_factory=dict)
    before: tuple[FormulaModel, ...] = ()
    of_nulls: tuple[object, ...] | None = None


def tensors(batch: int, inputs: str, outputs: str) -> str:
    """Return the text of a config; ``inputs`` and ``outputs`` are such as ``images FP32 3,8,8; size INT64 2``."""
    config = f"max_batch_size: {batch}\n"
    for kind, text in (("input", inputs), ("output", outputs)):
        for tensor in text.split(";"):
            name, datatype, dims, *rest = tensor.split()
            optional = " optional: true" if rest == ["optional"] else ""
            datatype = "STRING" if datatype == "BYTES" else datatype
            config += f'{kind} {{ name: "{name}" data_type: TYPE_{datatype} dims: [ {dims} ]{optional} }}\n'
    return config


def formula_model(name: str, config: str, **formulas: str) -> FormulaModel:
    """Return a model; a formula's name is that of its output."""
    return FormulaModel(name, config, formulas)


def floats(array: object) -> object:
    """Return nested lists."""
    return np.asarray(array, dtype=np.float32).tolist()
