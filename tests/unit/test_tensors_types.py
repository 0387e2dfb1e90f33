"""Which SQL types are read, and which tensors hold them."""

from __future__ import annotations

import pytest

from dbt_triton.tensors import SqlType, datatype_of_tensor, fits, parse_sql_type
from dbt_triton.tensors.shapes import bind_shape, told_lengths
from dbt_triton.warehouses import Value
from dbt_triton.warehouses.duckdb.values import value_of

DATATYPES = [
    *("BOOL", "INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64"),
    *("FP16", "BF16", "FP32", "FP64", "BYTES"),
]


def _type(text: str) -> SqlType:
    parsed = parse_sql_type(text)
    assert isinstance(parsed, SqlType), parsed
    return parsed


@pytest.mark.parametrize(
    ("written", "duckdb"),
    [
        ("FLOAT[384]", "FLOAT[384]"),
        ("ARRAY<FLOAT>", "FLOAT[]"),
        ("array<array<int not null> not null> NOT NULL", "INTEGER[][]"),
        ("ARRAY<FLOAT[3]>", "FLOAT[3][]"),
        ("FLOAT[3][2]", "FLOAT[3][2]"),
        ("INT ARRAY", "INTEGER[]"),
        ("INT ARRAY[4]", "INTEGER[4]"),
        ("VARCHAR(10)[]", "VARCHAR[]"),
        ("CHAR(3) NOT NULL", "VARCHAR"),
        ("STRING", "VARCHAR"),
        ("varbinary(20)", "BLOB"),
        ("DECIMAL(10, 2)", "DECIMAL(10,2)"),
        ("numeric(5)", "DECIMAL(5,0)"),
        ("HALF", "FLOAT"),
        ("BFLOAT16[8]", "FLOAT[8]"),
        ("TIMESTAMP(3)", "TIMESTAMP"),
        ("TIMESTAMP(3) WITH LOCAL TIME ZONE", "TIMESTAMP WITH TIME ZONE"),
        ("TIMESTAMP_LTZ(6)", "TIMESTAMP WITH TIME ZONE"),
        ("double   precision", "DOUBLE"),
    ],
)
def test_both_spellings_are_read(written: str, duckdb: str) -> None:
    """Flink's spelling of a type and DuckDB's mean the same."""
    assert _type(written).name == duckdb


def test_dims_are_outermost_first() -> None:
    """DuckDB writes the innermost length first, tensors the outermost."""
    assert _type("FLOAT[3][2]").dims == (2, 3)
    assert _type("ARRAY<FLOAT>[2]").dims == (2, None)


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ("DECIMAL", "a bare DECIMAL is (10, 0) in Flink and (18, 3) in DuckDB"),
        ("DECIMAL(39, 2)", "does not exist"),
        ("DECIMAL(2, 3)", "does not exist"),
        ("TIMESTAMP(9)", "more than microseconds"),
        ("MAP<INT, INT>", "the type MAP<INT, INT> is not supported; supported are"),
        ("INT8", "the type INT8 is not supported"),
        ("ARRAY<HUGEINT>", "the type HUGEINT is not supported"),
        ("INT(3)", "INT takes no (3)"),
        ("FLOAT[0]", "an array of length 0"),
    ],
)
def test_unknown_type_says_why(written: str, why: str) -> None:
    """A type that cannot be read, or means two things, is refused with the reason."""
    parsed = parse_sql_type(written)
    assert isinstance(parsed, str)
    assert why in parsed


@pytest.mark.parametrize(
    ("sql", "goes_into", "comes_from"),
    [
        ("BOOLEAN", "BOOL", "BOOL"),
        ("SMALLINT", "INT16 INT32 INT64 FP32 FP64", "INT8 INT16 UINT8"),
        ("BIGINT", "INT64", "INT8 INT16 INT32 INT64 UINT8 UINT16 UINT32"),
        ("UTINYINT", "INT16 INT32 INT64 UINT8 UINT16 UINT32 UINT64 FP16 BF16 FP32 FP64", "UINT8"),
        ("UBIGINT", "UINT64", "UINT8 UINT16 UINT32 UINT64"),
        ("FLOAT", "FP32 FP64", "FP16 BF16 FP32"),
        ("DOUBLE", "FP64", "FP16 BF16 FP32 FP64"),
        ("FLOAT16", "FP16", "FP16"),
        ("DECIMAL(15,2)", "FP64 BYTES", "INT8 INT16 INT32 UINT8 UINT16 UINT32 FP64 BYTES"),
        ("DECIMAL(16,2)", "BYTES", "INT8 INT16 INT32 UINT8 UINT16 UINT32 BYTES"),
        ("DECIMAL(9,0)", "INT32 INT64 FP64 BYTES", "INT8 INT16 UINT8 UINT16 FP64 BYTES"),
        ("STRING", "BYTES", "BYTES"),
        ("BLOB", " ".join(DATATYPES), " ".join(DATATYPES)),
        ("DATE", "INT32 INT64 BYTES", "INT32 INT64 BYTES"),
        ("TIMESTAMP", "INT64 BYTES", "INT64 BYTES"),
    ],
)
def test_type_goes_only_where_it_survives(sql: str, goes_into: str, comes_from: str) -> None:
    """A type is bound to a tensor only if no value of it is lost on the way; the table in docs/types.md."""
    found = {
        output: [
            name
            for name in DATATYPES
            if (datatype := datatype_of_tensor(name)) and fits(_type(sql), datatype, output=output)
        ]
        for output in (False, True)
    }
    assert found == {False: goes_into.split(), True: comes_from.split()}


@pytest.mark.parametrize(
    ("sql", "datatype", "dims", "expected"),
    [
        ("FLOAT", "FP32", (-1,), ((1,), ())),
        ("FLOAT", "FP32", (), ((), ())),
        ("FLOAT[384]", "FP32", (384,), ((384,), (0,))),
        ("FLOAT[384]", "FP32", (1, 384), ((1, 384), (1,))),
        ("FLOAT[384]", "FP32", (-1, -1), ((1, 384), (1,))),
        ("FLOAT[]", "FP32", (-1, 3), ((1, 3), (1,))),
        ("FLOAT[3][2]", "FP32", (-1, -1), ((2, 3), (0, 1))),
        ("BLOB", "UINT8", (-1, 28, 28), ((-1, 28, 28), ())),
        ("FLOAT", "FP32", (3,), "declare FLOAT[3]"),
        ("FLOAT[]", "FP32", (2, 3), "declare FLOAT[3][2]"),
        ("FLOAT[4]", "FP32", (3,), "an array of 4 does not fit into an axis of 3"),
        ("BLOB", "FP32", (2, -1, 3), ((2, -1, 3), ())),
        ("BLOB", "UINT8", (-1, -1, 3), "does not say the lengths of two axes; write 'shape.<column>'"),
        ("BLOB[]", "UINT8", (-1,), "declare BLOB"),
        ("BLOB[]", "FP32", (-1,), "a BLOB is a tensor of FP32 by itself; declare BLOB"),
    ],
)
def test_array_levels_are_axes(sql: str, datatype: str, dims: tuple[int, ...], expected: object) -> None:
    """Each array level is an axis, axes of length 1 are put in, and what does not fit says what would."""
    kind = datatype_of_tensor(datatype)
    assert kind is not None
    bound = bind_shape(_type(sql), kind, dims, output=False)
    if isinstance(expected, str):
        assert isinstance(bound, str)
        assert expected in bound
    else:
        assert bound == expected


@pytest.mark.parametrize(
    ("told", "dims", "expected"),
    [
        (("h", "w", 3), (-1, -1, 3), ("h", "w", 3)),
        ((3, 224, 224), (-1, -1, -1), (3, 224, 224)),
        ((-1, 224, -1), (3, -1, -1), (3, 224, -1)),
        (("n", -1), (4, 5), ("n", 5)),
        ((), (), ()),
        ((3, 4), (-1, -1, 3), "has 2 length(s), for 3 axes"),
        ((3, 4, 5), (-1, -1, 3), "has the length 5 where the server has 3"),
        ((-1, -1, 3), (-1, -1, 3), "leaves two lengths open"),
    ],
)
def test_told_lengths_are_the_servers(told: tuple[int | str, ...], dims: tuple[int, ...], expected: object) -> None:
    """Lengths that an option tells are one for each axis, those that the server has, and one follows from the size."""
    found = told_lengths(told, dims)
    if isinstance(expected, str):
        assert isinstance(found, str)
        assert expected in found
    else:
        assert found == expected


@pytest.mark.parametrize(
    ("source", "declared"),
    [("VARCHAR", "STRING"), ("INTEGER", "BIGINT"), ("UTINYINT", "SMALLINT"), ("BIGINT", "DOUBLE"), ("DATE", "STRING")],
)
def test_cast_that_cannot_fail_costs_nothing(source: str, declared: str) -> None:
    """A column that always fits is cast once, and its key is the text of the cast alone."""
    value = value_of("a column", source, _type(declared))
    cast = f'cast("a column" as {_type(declared).name})'
    assert value == Value(cast, cast if declared == "STRING" else f"cast({cast} as varchar)")
