"""Arrow on one side, KServe v2 tensors on the other: datatypes, request bodies and answers."""

from dbt_triton.tensors.answer import Answer, AnswerReader, parse_answer
from dbt_triton.tensors.datatypes import Datatype, datatype_of_sql, datatype_of_tensor, fits
from dbt_triton.tensors.decode import decode_outputs
from dbt_triton.tensors.formats import Format, Reader
from dbt_triton.tensors.generate import EventReader, GenerateFormat
from dbt_triton.tensors.request import REQUEST_BYTES, Encoded, EncodedRows, RequestFormat
from dbt_triton.tensors.rows import Refused
from dbt_triton.tensors.spec import TensorSpec
from dbt_triton.tensors.sql_types import SqlType, parse_sql_type
from dbt_triton.tensors.structured import parse_texts

__all__ = [
    "REQUEST_BYTES",
    "Answer",
    "AnswerReader",
    "Datatype",
    "Encoded",
    "EncodedRows",
    "EventReader",
    "Format",
    "GenerateFormat",
    "Reader",
    "Refused",
    "RequestFormat",
    "SqlType",
    "TensorSpec",
    "datatype_of_sql",
    "datatype_of_tensor",
    "decode_outputs",
    "fits",
    "parse_answer",
    "parse_sql_type",
    "parse_texts",
]
