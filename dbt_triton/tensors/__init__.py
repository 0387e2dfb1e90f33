"""Arrow on one side, KServe v2 tensors on the other: datatypes, request bodies and answers."""

from dbt_triton.tensors.answer import Answer, decode_outputs, parse_answer
from dbt_triton.tensors.datatypes import Datatype, datatype_of_sql, datatype_of_tensor
from dbt_triton.tensors.request import EncodedRows, RequestFormat, TensorSpec

__all__ = [
    "Answer",
    "Datatype",
    "EncodedRows",
    "RequestFormat",
    "TensorSpec",
    "datatype_of_sql",
    "datatype_of_tensor",
    "decode_outputs",
    "parse_answer",
]
