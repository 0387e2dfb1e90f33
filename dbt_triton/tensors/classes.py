"""Triton's classification extension: the best classes of an output, as typed columns.

Each class is a BYTES element ``score:index`` or ``score:index:label``; a label may hold colons.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from dbt_triton.errors import AnswerError
from dbt_triton.tensors.spec import ClassPart, TensorSpec

_CLASS = r"(?s)^(?P<score>[^:]*):(?P<index>[0-9]+)(?P<label>:.*)?$"
#: Which part of a class a column takes follows from its type.
PART_OF_KIND: dict[str, ClassPart] = {
    "VARCHAR": "label",
    "FLOAT": "score",
    "DOUBLE": "score",
    "INTEGER": "index",
    "BIGINT": "index",
}


def decode_classes(texts: pa.Array, spec: TensorSpec) -> pa.Array:
    """Take a column's part of each class. A class without a label has the label NULL.

    Args:
        texts: the classes, large_binary.
        spec: the column.

    Raises:
        AnswerError: a text is not a class.
    """
    try:
        part = pc.extract_regex(texts.cast(pa.large_string()), _CLASS).field(spec.part)
        if spec.part == "label":
            labelled = pc.starts_with(part, ":")
            return pc.if_else(labelled, pc.utf8_slice_codeunits(part, 1), pa.scalar(None, part.type))
        # A text that is no class has become an empty one, which is no number.
        return part.cast(spec.sql.arrow_element)
    except pa.ArrowInvalid as error:
        raise AnswerError(f"output {spec.name} is not a classification: {error}") from None
