"""Several columns as one tensor, and a BLOB as one, against a real server."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from support.proxy import RecordingProxy
from support.session import StepError, Steps
from support.triton import Triton
from support.warehouses import duckdb_only


def _predict(  # noqa: PLR0913, PLR0917 - a model, what it declares, and its input
    session: Steps, url: str, model: str, schema: str, rows: str, columns: Sequence[str], options: dict[str, str]
) -> list[tuple[object, ...]]:
    """Build a model and predict for columns of a query; return the OUTPUT columns in the order of ``id``."""
    session.create_model("m", schema, {"endpoint": url, "model-name": model} | options)
    session.sql(f"create or replace table given as {rows}")
    more = [name for name in session.columns("given") if name != "id"]
    call = f"ML_PREDICT(TABLE given, MODEL m, DESCRIPTOR({', '.join(columns)}))"
    built = session.build("out", f"select {session.without(*more) if more else '*'} from {call} order by id", ["m"])
    return [row[1:] for row in session.ordered(built)]


TABULAR = "INPUT (a FLOAT, b SMALLINT, c DECIMAL(4, 2)) OUTPUT (output__0 FLOAT, missing INT, seen FLOAT[3])"
FEATURES = (
    "select * from (values (1, 0.5, 1, 1.25), (2, 1.5, NULL, 2.5), (3, NULL, NULL, NULL), "
    "(4, 0.5, 40000, 1.25), (5, 'nan'::double, 2, 3)) v(id, a, b, c)"
)


@pytest.mark.parametrize(
    "names",
    [*duckdb_only("a request is the same on each warehouse", {}), {f"tensor.{column}": "input__0" for column in "abc"}],
)
def test_columns_are_the_elements_of_the_only_input(
    session: Steps, proxy: RecordingProxy, serve: Callable[[str], str], names: dict[str, str]
) -> None:
    """Columns of several types are one tensor in the order of INPUT; NULL predicts NULL, and a bad value fails alone.

    The model answers (N,) for dims [1] and (N, 1) for [].
    """
    options = {"on-error": "null"} | names
    found = _predict(session, proxy.url, serve("tabular"), TABULAR, FEATURES, "abc", options)
    nothing = (None, None, None)
    assert found[:1] == session.read([(2.75, 0, (0.5, 1.0, 1.25), None)])
    assert found[1] == found[2] == (*nothing, None)
    assert found[3] == (*nothing, "not sent: b: its value is no SMALLINT")
    assert found[4][:2] == (5.0, 1)
    tensors = [exchange.request.json["inputs"] for exchange in proxy.inferences]
    assert {(tensor["name"], tensor["shape"][1], tensor["datatype"]) for (tensor,) in tensors} == {
        ("input__0", 3, "FP32")
    }
    assert sum(tensor["shape"][0] for (tensor,) in tensors) == 2
    assert len(tensors) == 1 or session.warehouse == "spark"  # whose tasks have rows and requests of their own


def test_null_as_nan(session: Steps, triton: Triton, serve: Callable[[str], str]) -> None:
    """With null-as, NULL is sent as NaN, in a row of nothing else too, and is another input than a NaN of the table."""
    options = {"on-error": "null", "null-as": "nan"}
    model = serve("tabular")
    found = _predict(session, triton.url, model, TABULAR, FEATURES, "abc", options)
    assert [row[:2] for row in found] == [(2.75, 0), (4.0, 1), (0.0, 3), (None, None), (5.0, 1)]
    assert "not sent: b: its value is no SMALLINT" in str(found[3][3])
    assert session.figures["rows_predicted"] == 4
    both = "select 1 as id, 1 as a, 2 as b, NULL as c union all select 2, 1, 2, NULL union all select 3, NULL, 2, 'nan'"
    schema = "INPUT (a FLOAT, b FLOAT, c FLOAT) OUTPUT (missing INT)"
    assert _predict(session, triton.url, model, schema, both, "abc", options) == [(1, None), (1, None), (2, None)]
    assert session.figures["rows_predicted"] == 2


@pytest.mark.parametrize(
    ("kind", "schema", "x", "expected"),
    [
        *duckdb_only(
            "tests/spark has the values of every type, and what each is declared as",
            ("scalar", "INPUT (in_fp64 INT) OUTPUT (out_fp64 DOUBLE)", "7", 7.0),
            ("scalar", "INPUT (in_fp32 FLOAT) OUTPUT (out_fp32 FLOAT)", "NULL::float", math.nan),
            ("scalar", "INPUT (in_fp64 INT) OUTPUT (out_fp64 DOUBLE)", "NULL::int", math.nan),
        ),
        *duckdb_only(
            "a table on Spark has no column without a type",
            ("scalar", "INPUT (in_fp64 INT) OUTPUT (out_fp64 DOUBLE)", "NULL", math.nan),
        ),
        ("scalar", "INPUT (in_fp16 HALF) OUTPUT (out_fp16 FLOAT)", "NULL::varchar", math.nan),
        ("vector", "INPUT (in_fp32 FLOAT[]) OUTPUT (out_fp32 FLOAT[])", "[1.5, NULL]", [1.5, math.nan]),
        ("vector", "INPUT (in_fp64 INT[]) OUTPUT (out_fp64 DOUBLE[])", "[1, NULL]", [1.0, math.nan]),
        ("vector", "INPUT (in_fp32 FLOAT[2]) OUTPUT (out_fp32 FLOAT[2])", "'[NULL, 2]'", (math.nan, 2.0)),
        ("vector", "INPUT (in_fp32 FLOAT[]) OUTPUT (out_fp32 FLOAT[])", "NULL::float[]", None),
        (
            "matrix",
            "INPUT (in_fp32 FLOAT[][]) OUTPUT (out_fp32 FLOAT[][])",
            "[[1, NULL], [NULL, 2]]::double[][]",
            [[1.0, math.nan], [math.nan, 2.0]],
        ),
    ],
)
def test_null_as_nan_of_one_column(  # noqa: PLR0913, PLR0917 - a case and its parts
    session: Steps, triton: Triton, serve: Callable[[str], str], kind: str, schema: str, x: str, expected: object
) -> None:
    """A column by itself, and the elements of arrays, follow null-as; an array that is NULL predicts NULL."""
    rows = f"select 1 as id, {x} as x"
    options = {"null-as": "nan"}
    found = _predict(session, triton.url, serve(f"identity_{kind}"), schema, rows, ["x"], options)
    assert repr(found) == repr(session.read([(expected,)]))


def test_array_with_a_value_that_does_not_fit(session: Steps, triton: Triton, serve: Callable[[str], str]) -> None:
    """With null-as, an element that is none of the declared type is a failed row, and no NaN."""
    rows = "select 1 as id, ['1', 'x', NULL] as x"
    schema = "INPUT (in_fp32 FLOAT[]) OUTPUT (out_fp32 FLOAT[])"
    options = {"null-as": "nan", "on-error": "null"}
    found = _predict(session, triton.url, serve("identity_vector"), schema, rows, ["x"], options)[0]
    assert found == (None, "not sent: in_fp32: an array holds NULL, or a value that is no FLOAT")


DENSE, IDS = [f"i{number}" for number in range(13)], [f"c{number}" for number in range(26)]
CRITEO = (
    f"INPUT ({', '.join(f'{name} FLOAT' for name in DENSE)}, {', '.join(f'{name} INT' for name in IDS)}) "
    "OUTPUT (score DOUBLE, seen BIGINT[26])"
)


def test_recommender(session: Steps, proxy: RecordingProxy, serve: Callable[[str], str]) -> None:
    """Several tensors are made of several columns each; with null-as a NULL id still predicts NULL."""
    dense = ", ".join(f"if(r = 3, NULL, r + {number})::float as {name}" for number, name in enumerate(DENSE))
    ids = ", ".join(f"if(r = 4, NULL, r * {number}) as {name}" for number, name in enumerate(IDS))
    rows = f"select r as id, {dense}, {ids} from range(6) t(r)"
    options = {f"tensor.{name}": "dense" for name in DENSE} | {f"tensor.{name}": "ids" for name in IDS}
    model = serve("recommender")
    for null_as, nulls in (({}, {3, 4}), ({"null-as": "nan"}, {4})):
        found = _predict(session, proxy.url, model, CRITEO, rows, [*DENSE, *IDS], options | null_as)
        for r, (score, seen) in enumerate(found):
            expected = sum((r + n) * (n + 1) for n in range(13)) + sum(r * n * (n + 1) for n in range(26))
            if r in nulls:
                assert (score, seen) == (None, None)
            else:
                assert list(seen) == [r * n for n in range(26)]  # type: ignore[call-overload]
                assert math.isnan(score) if r == 3 else score == expected  # type: ignore[arg-type]
    shapes = [{each["name"]: each["shape"] for each in one.request.json["inputs"]} for one in proxy.inferences]
    assert {(shape["dense"][1], shape["ids"][1]) for shape in shapes} == {(13, 26)}
    assert sum(shape["dense"][0] for shape in shapes) == 9
    if session.warehouse == "duckdb":  # Spark's tasks have rows and requests of their own
        assert shapes == [{"dense": [4, 13], "ids": [4, 26]}, {"dense": [5, 13], "ids": [5, 26]}]


@pytest.mark.parametrize("binary", ["true", *duckdb_only("a request is the same on each warehouse", "false")])
@pytest.mark.parametrize(
    ("schema", "a", "b", "expected"),
    [
        ("INPUT (a STRING, b JSON) OUTPUT (out_string STRING[])", "'é\"'", "'[1]'", ['é"', "[1]"]),
        ("INPUT (a BOOLEAN, b BOOLEAN) OUTPUT (out_bool BOOLEAN[])", "true", "0", [True, False]),
        ("INPUT (a INT, b DATE) OUTPUT (out_int32 INT[])", "-7", "date '1970-01-03'", [-7, 2]),
        ("INPUT (a UBIGINT, b UTINYINT) OUTPUT (out_uint64 UBIGINT[])", "18446744073709551615", "3", [2**64 - 1, 3]),
        ("INPUT (a FLOAT[2], b FLOAT) OUTPUT (out_fp32 FLOAT[])", "[1, 2]", "3", [1.0, 2.0, 3.0]),
        ("INPUT (a FLOAT, b DOUBLE[2]) OUTPUT (out_fp64 DOUBLE[])", "0.5", "[1.25, 2]", [0.5, 1.25, 2.0]),
        ("INPUT (a STRING, b STRING[2]) OUTPUT (out_string STRING[])", "'x'", "['', 'y']", ["x", "", "y"]),
    ],
)
def test_every_datatype_of_several_columns(  # noqa: PLR0913, PLR0917 - a case and its parts
    session: Steps,
    triton: Triton,
    serve: Callable[[str], str],
    schema: str,
    a: str,
    b: str,
    expected: list[object],
    binary: str,
) -> None:
    """Columns are the elements of an axis of any length, in every datatype, arrays of a declared length too."""
    tensor = schema.split("OUTPUT (out_", 1)[1].split(" ", 1)[0].upper()
    options = {"tensor.a": f"IN_{tensor}", "tensor.b": f"IN_{tensor}", "binary-data": binary}
    rows = f"select 1 as id, {a} as a, {b} as b union all select 2, {a}, {b}"
    found = _predict(session, triton.url, serve("identity_vector"), schema, rows, "ab", options)
    assert found == [(expected,), (expected,)]


def test_many_columns(session: Steps, triton: Triton, serve: Callable[[str], str]) -> None:
    """More than a thousand columns are one tensor, as wide tables have them."""
    count = 1500 if session.warehouse == "duckdb" else 200  # Spark plans a statement of so many expressions for minutes
    names = [f"f{number}" for number in range(count)]
    numbers = ", ".join(f"r + {number} as {name}" for number, name in enumerate(names))
    rows = f"select r as id, {numbers} from range(3) t(r)"
    schema = f"INPUT ({', '.join(f'{name} FLOAT' for name in names)}) OUTPUT (out_fp32 FLOAT[{count}])"
    options = {f"tensor.{name}": "IN_FP32" for name in names}
    for more in ({}, {"null-as": "nan"}) if session.warehouse == "duckdb" else ({},):
        found = _predict(session, triton.url, serve("identity_vector"), schema, rows, names, options | more)
        assert found == session.read((tuple(float(r + number) for number in range(count)),) for r in range(3))


def test_batch_in_the_models_own_dims(session: Steps, proxy: RecordingProxy, serve: Callable[[str], str]) -> None:
    """With batch-dim several columns are one tensor, too."""
    rows = "select r as id, r as a, r + 1 as b, r + 2 as c from range(5) t(r)"
    schema = "INPUT (a FLOAT, b FLOAT, c FLOAT) OUTPUT (out_fp32 FLOAT[3])"
    options = {"batch-dim": "true"} | {f"tensor.{column}": "IN_FP32" for column in "abc"}
    found = _predict(session, proxy.url, serve("identity_unbatched"), schema, rows, "abc", options)
    assert found == session.read(((r, r + 1.0, r + 2.0),) for r in range(5))
    shapes = [one.request.json["inputs"][0]["shape"] for one in proxy.inferences]
    assert (sum(rows for rows, _ in shapes), {columns for _, columns in shapes}) == (5, {3})
    assert len(shapes) == 1 or session.warehouse == "spark"  # whose tasks have rows and requests of their own


def _picture(height: int, width: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.arange(height * width * 3).reshape(height, width, 3).astype("<f4")


@pytest.mark.parametrize("binary", ["true", *duckdb_only("a request is the same on each warehouse", "false")])
def test_pictures_of_several_sizes(session: Steps, triton: Triton, serve: Callable[[str], str], binary: str) -> None:
    """A BLOB is the elements of a tensor of FP32, its lengths are columns; one that does not fit is a failed row."""
    sizes = [(2, 3), (4, 1), (2, 3), (3, 2)]
    pictures = [_picture(*size) for size in sizes]
    values = [
        f"({number}, from_hex('{picture.tobytes().hex()}'), {height}, {width})"
        for number, (picture, (height, width)) in enumerate(zip(pictures, [*sizes[:3], (3, 3)], strict=True))
    ]
    values += ["(4, from_hex(''), -1, 2)", "(5, from_hex(''), 0, 0)"]
    session.table("pictures", f"select * from (values {', '.join(values)}) v(id, image, h, w)")
    options = {"shape.image": "h,w,3", "on-error": "null", "binary-data": binary}
    schema = "INPUT (image BLOB, h INT, w INT) OUTPUT (size BIGINT[3], last FLOAT[3], same BLOB)"
    found = _predict(
        session, triton.url, serve("pictures"), schema, "from pictures where id < 5", ["image", "h", "w"], options
    )
    for number, (size, last, same, error) in enumerate(found):
        if number < 3:
            picture = pictures[number]
            assert [(size, last, same)] == session.read([(picture.shape, tuple(picture[-1, -1]), picture.tobytes())])
            assert error is None
        else:
            assert (size, last, same) == (None, None, None)
    assert "does not make image FP32[-1, -1, 3] of the lengths h, w, 3, of 4 bytes an element" in str(found[3][3])
    assert "its length in h does not fit image FP32[-1, -1, 3]" in str(found[4][3])


@pytest.mark.parametrize(
    "told",
    ["2,3,3", *duckdb_only("one length of several is worked out without a warehouse", "-1,3,3", "2,-1,3", "2,3,-1")],
)
def test_lengths_of_an_option(session: Steps, triton: Triton, serve: Callable[[str], str], told: str) -> None:
    """The lengths of a BLOB may be numbers, and one of them follows from the size."""
    session.sql(f"create table pictures as select 1 as id, from_hex('{_picture(2, 3).tobytes().hex()}') as image")
    schema, options = "INPUT (image BLOB) OUTPUT (size BIGINT[3])", {"shape.image": told}
    found = _predict(session, triton.url, serve("pictures"), schema, "from pictures", ["image"], options)
    assert found == session.read([((2, 3, 3),)])


@pytest.mark.parametrize("binary", ["true", *duckdb_only("a request is the same on each warehouse", "false")])
@pytest.mark.parametrize(
    ("datatype", "value"),
    [
        *duckdb_only(
            "the bytes of a datatype are the same from each warehouse",
            ("BOOL", bytes([0, 1, 1, 0, 0, 1])),
            ("INT8", bytes(range(250, 256))),
            ("INT16", bytes(range(12))),
            ("INT64", bytes(range(48))),
            ("UINT32", bytes(range(232, 256))),
            ("FP16", bytes(range(12))),
            ("FP32", bytes(range(24))),
            ("FP64", np.array([0.5, -0.0, 1.25e3, 7, 1e-3, -2.5], "<f8").tobytes()),
        ),
        ("BF16", bytes(range(244, 256))),
    ],
)
def test_bytes_are_elements_of_every_datatype(  # noqa: PLR0913, PLR0917 - a case and its parts
    session: Steps, triton: Triton, serve: Callable[[str], str], datatype: str, value: bytes, binary: str
) -> None:
    """The bytes of a BLOB go and come back as they are, whatever the datatype; FP16 and BF16 have no JSON form."""
    schema = f"INPUT (in_{datatype} BLOB) OUTPUT (out_{datatype} BLOB)"
    rows = f"select 1 as id, from_hex('{value.hex()}') as x"
    arguments = (session, triton.url, serve("identity_fixed"), schema, rows, ["x"], {"binary-data": binary})
    if binary == "false" and datatype in {"FP16", "BF16"}:
        with pytest.raises(StepError, match="has no JSON form"):
            _predict(*arguments)
    else:
        assert _predict(*arguments) == [(value,)]


def test_null_that_is_sent_is_counted_and_kept(session: Steps, triton: Triton, serve: Callable[[str], str]) -> None:
    """With null-as, a dry run counts what is sent, and a build with a persistent cache sends nothing twice."""
    options = {"null-as": "nan", "cache": "persistent", "endpoint": triton.url, "model-name": serve("tabular")}
    session.create_model("m", "INPUT (a FLOAT, b FLOAT, c FLOAT) OUTPUT (missing INT)", options)
    session.sql("create table given as select i as a, null::int as b, if(i = 2, null, i) as c from range(3) t(i)")
    select = "select * from ML_PREDICT(TABLE given, MODEL m, DESCRIPTOR(a, b, c))"
    figures = session.dry_run(select, ["m"])
    assert (figures["rows"], figures["nulls"], figures["to_send"]) == (3, 0, 3)
    assert figures["requests"] == 1 or session.warehouse == "spark"  # where each task has requests of its own
    assert sorted(row[-1] for row in session.build("out", select, ["m"])) == [1, 1, 2]
    assert session.dry_run(select, ["m"])["to_send"] == 0
    session.sql("insert into given values (null, null, null), (1, null, 1)")
    assert sorted(row[-1] for row in session.build("out", select, ["m"])) == [1, 1, 1, 2, 3]
    assert session.figures["rows_predicted"] == 1


def test_stub_with_null_as(session: Steps) -> None:
    """The stub predicts for NULL where null-as would send it, and for no other NULL."""
    session.create_model("m", "INPUT (a FLOAT, t STRING) OUTPUT (y FLOAT)", {"provider": "stub", "null-as": "nan"})
    select = "select id, y is null as nothing from ML_PREDICT(TABLE given, MODEL m, DESCRIPTOR(a, t)) order by id"
    session.sql("create table given as from (values (1, null, 'x'), (2, 1.5, null), (3, 1.5, 'x')) v(id, a, t)")
    assert session.ordered(session.build("out", select, ["m"])) == [(1, False), (2, True), (3, False)]


@pytest.mark.duckdb_only("what CREATE MODEL asks the server and says of it is the same on each warehouse")
def test_null_as_needs_floating_point(session: Steps, triton: Triton, serve: Callable[[str], str]) -> None:
    """null-as is refused where no column goes into a tensor that has a NaN, in a sequence as elsewhere."""
    options = {"endpoint": triton.url, "model-name": serve("running_total"), "sequence-by": "k", "order-by": "id"}
    with pytest.raises(StepError, match="null-as is nan, but only floating-point numbers have a NaN"):
        session.create_model("m", "INPUT (amount BIGINT) OUTPUT (total BIGINT)", options | {"null-as": "nan"})


def test_an_array_is_one_column_of_descriptor(session: Steps, triton: Triton, serve: Callable[[str], str]) -> None:
    """A DESCRIPTOR of the elements of an array, and one of a single number, are told how to give an array."""
    options = {"endpoint": triton.url, "model-name": serve("tabular")}
    session.create_model("m", "INPUT (x FLOAT[3]) OUTPUT (missing INT)", options)
    several = "[a, b, c]" if session.warehouse == "duckdb" else "array(a, b, c)"
    for descriptor, said in (
        ("a, b, c", "give it [a, b, c], as one column of the TABLE operand, or declare a column of INPUT for each"),
        (
            "a",
            f"of which no value is a FLOAT[3]; write an array of several, such as {several}, as a column of the TABLE",
        ),
    ):
        select = f"select * from ML_PREDICT(TABLE (select 1 as a, 2 as b, 3 as c), MODEL m, DESCRIPTOR({descriptor}))"
        with pytest.raises(StepError) as raised:
            session.build("out", select, ["m"])
        assert said in str(raised.value)


@pytest.mark.duckdb_only("what CREATE MODEL asks the server and says of it is the same on each warehouse")
def test_what_does_not_count_says_how_many(session: Steps, triton: Triton, serve: Callable[[str], str]) -> None:
    """Columns that are not as many as the elements are told both numbers, and both ways to mend it."""
    with pytest.raises(StepError) as raised:
        session.create_model(
            "m",
            "INPUT (a FLOAT, b FLOAT) OUTPUT (output__0 FLOAT)",
            {"endpoint": triton.url, "model-name": serve("tabular")},
        )
    assert (
        "INPUT has 2 columns (a, b) for the server's input__0 FP32[-1, 3], which has 3 elements a row; declare 3 "
        "columns, in the order of the elements, or one column FLOAT[3] and give it [a, b, …]"
    ) in str(raised.value)


def test_files_for_an_input_that_is_declared_as_a_text(
    session: Steps, triton: Triton, serve: Callable[[str], str]
) -> None:
    """Where every value is bytes that are no text, the error says that INPUT may declare BYTES."""
    files = "select i as id, from_hex('ffd8ff') || encode(i::varchar) as file from range(20) r(i)"
    with pytest.raises(StepError, match=r"column file is no VARCHAR.*no row was sent\. Where INPUT declares BYTES"):
        _predict(session, triton.url, serve("upper"), "INPUT (a STRING) OUTPUT (b STRING)", files, ["file"], {})
