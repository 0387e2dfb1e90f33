"""Shapes, values out of range, and schemas that do not fit, against a real server."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from support.proxy import RecordingProxy
from support.session import StepError, Steps
from support.triton import MODELS, Triton
from support.warehouses import duckdb_only


def _predict(session: Steps, url: str, model: str, schema: str, rows: str, **options: str) -> list[tuple[object, ...]]:
    """Build a model and predict for the column ``x`` of a query; return the OUTPUT columns in the order of ``id``."""
    pairs = {"endpoint": url, "model-name": model} | {key.replace("_", "-"): text for key, text in options.items()}
    session.create_model("m", schema, pairs)
    call = f"ML_PREDICT(TABLE ({session.query(rows)}), MODEL m, DESCRIPTOR(x))"
    built = session.build("out", f"select {session.without('x')} from {call} order by id", ["m"])
    return [row[1:] for row in session.ordered(built)]


def _shapes(proxy: RecordingProxy) -> list[list[int]]:
    return [exchange.request.json["inputs"][0]["shape"] for exchange in proxy.inferences]


UNEQUAL = "select i as id, list_transform(range(1 + i % 3), lambda j: (i + j)::float) as x from range(30) t(i)"
_EVERY_TYPE = "tests/spark has the values of every type, and what each is declared as"
FLOATS = "INPUT (in_fp32 FLOAT[]) OUTPUT (out_fp32 FLOAT[])"


def test_rows_of_one_length_share_requests(session: Steps, proxy: RecordingProxy, serve: Callable[[str], str]) -> None:
    """Rows of unequal length go in one request for each length, and come back to their own rows."""
    rows = _predict(session, proxy.url, serve("identity_vector"), FLOATS, UNEQUAL)
    assert rows == [([float(i + j) for j in range(1 + i % 3)],) for i in range(30)]
    shapes = _shapes(proxy)
    assert {size: sum(rows for rows, one in shapes if one == size) for _, size in shapes} == {1: 10, 2: 10, 3: 10}
    assert len(shapes) == 3 or session.warehouse == "spark"  # whose tasks have requests of their own


def test_padded_rows_share_requests(session: Steps, proxy: RecordingProxy, serve: Callable[[str], str]) -> None:
    """With `pad` the shorter rows of a request are filled up at their end, those of similar lengths together."""
    options = {"pad": "-1", "batch_size": "15", "trim": "false"}
    rows = _predict(session, proxy.url, serve("identity_vector"), FLOATS, UNEQUAL, **options)
    if session.warehouse == "duckdb":  # Spark's tasks have requests of their own
        assert sorted(_shapes(proxy)) == [[15, 2], [15, 3]]
    for i, (row,) in enumerate(rows):
        values = [float(i + j) for j in range(1 + i % 3)]
        assert row[: len(values)] == values  # type: ignore[index]
        assert set(row[len(values) :]) <= {-1.0}  # type: ignore[index]


@pytest.mark.duckdb_only("what fills rows up is read and made without a warehouse")
def test_padding_has_the_type_of_the_column(session: Steps, triton: Triton, serve: Callable[[str], str]) -> None:
    """A `pad` that is no value of the column is refused when the model is built; one of texts may be any text."""
    model = serve("identity_vector")
    with pytest.raises(StepError, match="pad is 'nothing', which is no FLOAT"):
        _predict(session, triton.url, model, FLOATS, UNEQUAL, pad="nothing")
    texts = "select 1 as id, ['a', 'b'] as x union all select 2, ['c']"
    schema = "INPUT (in_string STRING[]) OUTPUT (out_string STRING[])"
    found = _predict(session, triton.url, model, schema, texts, pad="<none>", trim="false")
    assert found[1] == (["c", "<none>"],)


@pytest.mark.duckdb_only("padding is made without a warehouse; Spark's `[]` has no type in a table")
def test_matrices_are_padded_on_both_axes(session: Steps, triton: Triton, serve: Callable[[str], str]) -> None:
    """Every array level of a row is filled up to the longest of its request, and cut to its own length again."""
    rows = "select 1 as id, [[1, 2], [3, 4]] as x union all select 2, [[5]] union all select 3, []"
    schema = "INPUT (in_int32 INT[][]) OUTPUT (out_int32 INT[][])"
    model = serve("identity_matrix")
    found = _predict(session, triton.url, model, schema, rows, pad="0", trim="false")
    assert found == [([[1, 2], [3, 4]],), ([[5, 0], [0, 0]],), ([[0, 0], [0, 0]],)]
    assert _predict(session, triton.url, model, schema, rows, pad="0") == [([[1, 2], [3, 4]],), ([[5]],), ([],)]


@pytest.mark.duckdb_only("how rows fill requests is decided without a warehouse")
def test_batch_in_the_models_own_dims(session: Steps, proxy: RecordingProxy, serve: Callable[[str], str]) -> None:
    """Without max_batch_size a request is one row, unless batch-dim says that the first dimension is the batch."""
    model = serve("identity_unbatched")
    rows = "select i as id, [i, i, i]::float[3] as x from range(100) t(i)"
    schema = "INPUT (in_fp32 FLOAT[3]) OUTPUT (out_fp32 FLOAT[3])"
    expected = [((i, i, i),) for i in range(100)]
    assert _predict(session, proxy.url, model, schema, rows) == expected
    assert _shapes(proxy) == [[1, 3]] * 100
    proxy.clear()
    assert _predict(session, proxy.url, model, schema, rows, batch_dim="true") == expected
    assert sorted(_shapes(proxy)) == [[36, 3], [64, 3]]
    proxy.clear()
    assert _predict(session, proxy.url, model, schema, rows, batch_dim="true", batch_size="100") == expected
    assert _shapes(proxy) == [[100, 3]]


@pytest.mark.duckdb_only("an array of Spark's has no length in its type, and Spark no such functions")
def test_embeddings_are_ready_for_array_functions(session: Steps, triton: Triton, serve: Callable[[str], str]) -> None:
    """An output that is declared FLOAT[n] is a fixed array of DuckDB, for its array functions."""
    rows = "select i as id, list_transform(range(384), lambda j: sin(i + j)::float) as x from range(50) t(i)"
    schema = "INPUT (in_fp32 ARRAY<FLOAT>) OUTPUT (out_fp32 FLOAT[384])"
    _predict(session, triton.url, serve("identity_vector"), schema, rows)
    assert session.sql("select distinct typeof(out_fp32) from out") == [("FLOAT[384]",)]
    nearest = session.sql(
        "select max(array_cosine_similarity(a.out_fp32, b.out_fp32)) from out a, out b where a.rowid < b.rowid"
    )[0][0]
    assert 0.99 < nearest <= 1.001


@pytest.mark.duckdb_only("it reads files with a function of DuckDB's; test_types_columns has bytes on Spark")
def test_pixels_are_a_blob(session: Steps, proxy: RecordingProxy, serve: Callable[[str], str], tmp_path: Path) -> None:
    """The bytes of files go as a tensor of UINT8 and come back; those of another size are failed rows."""
    for number, size in enumerate([6, 6, 5]):
        (tmp_path / f"{number}.raw").write_bytes(bytes(range(250, 250 + size)))
    rows = f"select filename as id, content as x from read_blob('{tmp_path}/*.raw')"
    schema = "INPUT (in_uint8 BLOB) OUTPUT (out_uint8 BLOB)"
    found = _predict(session, proxy.url, serve("identity_fixed"), schema, rows, on_error="null")
    assert [row[0] for row in found] == [bytes(range(250, 256)), bytes(range(250, 256)), None]
    assert "its size in bytes does not make IN_UINT8 UINT8[2, 3]" in str(found[2][1])
    assert _shapes(proxy) == [[1, 2, 3]]  # equal rows are sent once


def test_optional_inputs_and_declared_outputs(
    session: Steps, proxy: RecordingProxy, serve: Callable[[str], str]
) -> None:
    """Optional inputs that are not declared are not sent, and only declared outputs are asked for."""
    schema = "INPUT (in_int64 BIGINT, in_string STRING) OUTPUT (out_string STRING)"
    options = {"endpoint": proxy.url, "model-name": serve("identity_scalar")}
    session.create_model("m", schema, options)
    session.build("out", "select * from ML_PREDICT(TABLE (select 1 as a, 'b' as b), MODEL m, DESCRIPTOR(a, b))", ["m"])
    assert session.sql("select * from out") == [(1, "b", "b")]
    asked = proxy.inferences[0].request.json
    assert [tensor["name"] for tensor in asked["inputs"]] == ["IN_INT64", "IN_STRING"]
    assert [tensor["name"] for tensor in asked["outputs"]] == ["OUT_STRING"]


@pytest.mark.parametrize(
    ("schema", "good", "bad", "why"),
    [
        ("INPUT (in_int8 TINYINT) OUTPUT (out_int8 TINYINT)", "127", "128", "its value is no TINYINT"),
        (
            "INPUT (in_fp64 DECIMAL(5,2)) OUTPUT (out_fp64 DECIMAL(5,2))",
            "1.25",
            "1.255",
            "its value is no DECIMAL(5,2)",
        ),
        (
            "INPUT (in_string STRING) OUTPUT (out_string STRING)",
            "from_hex('c3a9')",
            "from_hex('ff')",
            "its value is no VARCHAR",
        ),
        *duckdb_only(
            _EVERY_TYPE,
            ("INPUT (in_uint32 UINTEGER) OUTPUT (out_uint32 UINTEGER)", "4294967295", "-1", "its value is no UINTEGER"),
            ("INPUT (in_int32 INT) OUTPUT (out_int32 INT)", "2.0", "2.5", "its value is no INTEGER"),
            (
                "INPUT (in_int32 DATE) OUTPUT (out_int32 DATE)",
                "date '1969-07-20'",
                "date 'infinity'",
                "infinity has no form",
            ),
            ("INPUT (in_fp16 HALF) OUTPUT (out_fp16 FLOAT)", "65504", "65520", "out of the range of FP16"),
            ("INPUT (in_int64 BIGINT) OUTPUT (out_int64 BIGINT)", "'12'", "'12.5'", "its value is no BIGINT"),
            ("INPUT (in_string JSON) OUTPUT (out_string JSON)", "'[1]'", "'[1'", "its value is no JSON"),
        ),
    ],
)
def test_value_out_of_range_is_a_failed_row(  # noqa: PLR0913, PLR0917 - a case and its parts
    session: Steps, triton: Triton, serve: Callable[[str], str], schema: str, good: str, bad: str, why: str
) -> None:
    """A value that the declared type does not hold fails its own row with the reason: nothing is cut or wrapped."""
    rows = f"select 1 as id, {good} as x union all select 2, {bad}"
    found = _predict(session, triton.url, serve("identity_scalar"), schema, rows, on_error="null")
    assert (found[0][0] is not None, found[0][1]) == (True, None)
    assert found[1][0] is None
    assert why in str(found[1][1])


def test_failed_rows_fail_the_build(session: Steps, triton: Triton, serve: Callable[[str], str]) -> None:
    """Without on-error = null the build fails for such a row, and shows it; nothing was sent for it."""
    model = serve("identity_scalar")
    with pytest.raises(StepError) as raised:
        _predict(
            session,
            triton.url,
            model,
            "INPUT (in_int8 TINYINT) OUTPUT (out_int8 TINYINT)",
            "select 1 as id, 300 as x union all select 2, 7",
        )
    assert "1 row(s) failed" in str(raised.value)
    assert "id = 1, x = 300: not sent: in_int8: its value is no TINYINT" in str(raised.value)
    assert triton.counters(model).rows == 1


@pytest.mark.parametrize(
    ("shape", "schema", "x", "why"),
    [
        ("vector", "INPUT (in_fp32 FLOAT[]) OUTPUT (out_fp32 FLOAT[])", "[1.5, null]", "an array holds NULL"),
        ("matrix", "INPUT (in_fp32 FLOAT[][]) OUTPUT (out_fp32 FLOAT[][])", "[[1], [2, 3]]", "of different lengths"),
        (
            "vector",
            "INPUT (in_fp32 FLOAT[]) OUTPUT (out_fp32 FLOAT[2])",
            "[1, 2, 3]",
            "has the shape [1, 3]; expected is",
        ),
        ("scalar", "INPUT (in_string STRING) OUTPUT (out_string DATE)", "'2024-02-30'", "a value that is no DATE"),
        ("scalar", "INPUT (in_string BLOB) OUTPUT (out_string STRING)", "from_hex('ff')", "declare it as BYTES"),
        *duckdb_only(
            _EVERY_TYPE,
            (
                "fixed",
                "INPUT (in_fp32 FLOAT[][]) OUTPUT (out_fp32 FLOAT[][])",
                "[[1, 2, 3]]",
                "does not fit IN_FP32 FP32[2, 3]",
            ),
            ("scalar", "INPUT (in_string STRING) OUTPUT (out_string TIME)", "'25:00:00'", "a value that is no TIME"),
            ("scalar", "INPUT (in_string STRING) OUTPUT (out_string JSON)", "'{'", "a value that is no JSON"),
            ("scalar", "INPUT (in_fp64 DOUBLE) OUTPUT (out_fp64 DECIMAL(5,2))", "1.005", "1.005 would be rounded"),
            ("scalar", "INPUT (in_string STRING) OUTPUT (out_string DECIMAL(3,1))", "'1.25'", "no DECIMAL(3,1)"),
            ("scalar", "INPUT (in_int64 BIGINT) OUTPUT (out_int64 TIME)", "86400000000", "a value that is no TIME"),
        ),
    ],
)
def test_row_that_is_no_tensor_fails_alone(  # noqa: PLR0913, PLR0917 - a case and its parts
    session: Steps, triton: Triton, serve: Callable[[str], str], shape: str, schema: str, x: str, why: str
) -> None:
    """Rows without the shape of the tensor, and answers that are no value of the column, say so in their own row."""
    rows = f"select 1 as id, {x} as x"
    found = _predict(session, triton.url, serve(f"identity_{shape}"), schema, rows, on_error="null")
    assert found[0][0] is None
    assert why in str(found[0][1])


def test_json_has_no_nan(session: Steps, triton: Triton, serve: Callable[[str], str]) -> None:
    """In JSON a NaN is a failed row that names the remedy, on the way there and on the way back; binary carries it."""
    schema = "INPUT (in_fp64 DOUBLE) OUTPUT (out_fp64 DOUBLE)"
    model = serve("identity_scalar")
    rows = "select 1 as id, 'nan'::double as x"
    found = _predict(session, triton.url, model, schema, rows, binary_data="false", on_error="null")
    assert "NaN and Infinity have no JSON form; use 'binary-data' = 'true'" in str(found[0][1])
    assert str(_predict(session, triton.url, model, schema, rows)[0][0]) == "nan"


@pytest.mark.duckdb_only("what CREATE MODEL asks the server and says of it is the same on each warehouse")
def test_every_mismatch_is_said_at_once(session: Steps, triton: Triton, serve: Callable[[str], str]) -> None:
    """Names with the nearest one, datatypes, ranks, lengths, JSON without FP16, the batch: all in one message."""
    with pytest.raises(StepError) as raised:
        session.create_model(
            "m",
            "INPUT (in_fp3 FLOAT[][], in_int32 BIGINT[][], in_fp64 DOUBLE[], in_bool BOOLEAN[2][2], in_fp16 HALF[][]) "
            "OUTPUT (out_int64 INT[][], out_string BOOLEAN[][], out_fp32 FLOAT)",
            {
                "endpoint": triton.url,
                "model-name": serve("identity_fixed"),
                "batch-size": "65",
                "binary-data": "false",
                "batch-dim": "true",
            },
        )
    said = str(raised.value)
    for words in [
        "the model has no tensor in_fp3; did you mean IN_FP32?",
        "in_int32 is declared BIGINT[][] (INT64), but the server's IN_INT32 is INT32[-1, 2, 3]: the tensor cannot hold",
        "every value exactly; declare INTEGER[3][2]",
        "in_fp64 is declared DOUBLE[] (FP64), but the server's IN_FP64 is FP64[-1, 2, 3]: an array of 1 level(s)",
        "in_bool is declared BOOLEAN[2][2] (BOOL), but the server's IN_BOOL is BOOL[-1, 2, 3]: an array of 2 does",
        "IN_FP16 is FP16, which has no JSON form, but binary-data is false",
        "out_int64 is declared INT[][] (INT32), but the server's OUT_INT64 is INT64[-1, 2, 3]: the column cannot hold",
        "out_string is declared BOOLEAN[][] (BOOL), but the server's OUT_STRING is BYTES[-1, 2, 3]; declare STRING",
        "out_fp32 is declared FLOAT (FP32), but the server's OUT_FP32 is FP32[-1, 2, 3]: one value a row does not fit",
        "batch-size is 65, but the server's model has max_batch_size 64",
        "batch-dim is for a model whose own dims begin with the batch",
    ]:
        assert words in said, said


@pytest.mark.duckdb_only("a request is checked without a warehouse")
def test_huge_shapes_are_not_sent(session: Steps, triton: Triton) -> None:
    """No request declares a shape that its data does not have: a huge one in JSON ends the server."""
    name = "identity_huge"
    shutil.copytree(MODELS / "identity_vector", triton.repository / name)
    config = triton.repository / name / "config.pbtxt"
    config.write_text(config.read_text().replace("dims: [ -1 ]", "dims: [ 100000000000 ]"))
    repository = f"{triton.url}/v2/repository/models/{name}"
    httpx.post(f"{repository}/load", timeout=60, trust_env=False).raise_for_status()
    try:
        rows = "select 1 as id, [1.0] as x"
        found = _predict(session, triton.url, name, FLOATS, rows, binary_data="false", on_error="null")
        assert "the length of its array does not fit" in str(found[0][1])
        with pytest.raises(StepError, match="one value a row does not fit"):
            session.create_model(
                "m", FLOATS.replace("[]", ""), {"endpoint": triton.url, "model-name": name, "binary-data": "false"}
            )
        assert httpx.get(f"{triton.url}/v2/health/live", timeout=30, trust_env=False).is_success
    finally:
        httpx.post(f"{repository}/unload", timeout=60, trust_env=False).raise_for_status()


@pytest.mark.duckdb_only("what CREATE MODEL asks the server and says of it is the same on each warehouse")
def test_decoupled_models_by_the_infer_route(session: Steps, triton: Triton, serve: Callable[[str], str]) -> None:
    """A model that may send any number of answers cannot be made to go by the infer route, and the reason is told."""
    with pytest.raises(StepError, match="the model is decoupled"):
        session.create_model(
            "m",
            "INPUT (`input` STRING) OUTPUT (`output` STRING)",
            {"endpoint": triton.url, "model-name": serve("decoupled"), "route": "infer"},
        )


@pytest.mark.duckdb_only("what stands behind a model's name is the server's")
def test_ensembles_work(session: Steps, triton: Triton) -> None:
    """An ensemble of models is one model."""
    with triton.serving("identity_vector") as step:
        folder = triton.repository / "an_ensemble"
        (folder / "1").mkdir(parents=True)
        (folder / "config.pbtxt").write_text(
            'platform: "ensemble"\nmax_batch_size: 64\n'
            'input [ { name: "A", data_type: TYPE_FP32, dims: [ -1 ] } ]\n'
            'output [ { name: "B", data_type: TYPE_FP32, dims: [ -1 ] } ]\n'
            f'ensemble_scheduling {{ step [ {{ model_name: "{step}", model_version: -1, '
            'input_map { key: "IN_FP32", value: "A" }, output_map { key: "OUT_FP32", value: "B" } } ] }\n'
        )
        repository = f"{triton.url}/v2/repository/models/an_ensemble"
        httpx.post(f"{repository}/load", timeout=60, trust_env=False).raise_for_status()
        try:
            schema = "INPUT (a FLOAT[]) OUTPUT (b FLOAT[])"
            rows = "select 1 as id, [1.5, 2.5] as x"
            assert _predict(session, triton.url, "an_ensemble", schema, rows) == [([1.5, 2.5],)]
        finally:
            httpx.post(f"{repository}/unload", timeout=60, trust_env=False).raise_for_status()
