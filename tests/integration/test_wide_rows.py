"""Rows of kilobytes and megabytes: exact, sent once, and with bounded memory, against a real server."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Generator
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.dbt import DbtProject
from support.session import Session, StepError
from support.triton import Triton

from dbt_triton.step import dry_run

pytestmark = pytest.mark.duckdb_only(
    "it is about the memory in which DuckDB is read in slices; Spark gives rows in batches of so many"
)

#: The SQL of a value of row i as a list, its type in the table, and INPUT and OUTPUT of an identity model.
_VECTOR = "list_transform(range(5000), lambda j: ((i * 31 + j) / 8)::FLOAT)"
_MATRIX = "list_transform(range(300), lambda a: list_transform(range(200), lambda b: (a * b + i)::FLOAT))"
_DOUBLES = "list_transform(range(5000), lambda j: (i * 31 + j) / 8)"
CASES = {
    "list": (_VECTOR, "FLOAT[]", "in_fp32 FLOAT[]", "out_fp32 FLOAT[]", "identity_vector"),
    "fixed, from a list": (_VECTOR, "FLOAT[]", "in_fp32 FLOAT[5000]", "out_fp32 FLOAT[5000]", "identity_vector"),
    "fixed": (_VECTOR, "FLOAT[5000]", "in_fp32 FLOAT[5000]", "out_fp32 FLOAT[]", "identity_vector"),
    "fixed, as a list": (_VECTOR, "FLOAT[5000]", "in_fp32 FLOAT[]", "out_fp32 FLOAT[5000]", "identity_vector"),
    "other elements": (_DOUBLES, "DOUBLE[]", "in_fp32 FLOAT[5000]", "out_fp32 FLOAT[]", "identity_vector"),
    "nested": (_MATRIX, "FLOAT[][]", "in_fp32 FLOAT[][]", "out_fp32 FLOAT[][]", "identity_matrix"),
    "large fixed": (_MATRIX, "FLOAT[][]", "in_fp32 FLOAT[200][300]", "out_fp32 FLOAT[200][300]", "identity_matrix"),
    "bytes": ("encode(repeat(printf('%04d', i), 2000))", "BLOB", "in_uint8 BLOB", "out_uint8 BLOB", "identity_vector"),
    "whole numbers": (
        *("list_transform(range(5000), lambda j: i + j)", "BIGINT[]"),
        *("in_int64 BIGINT[5000]", "out_int64 BIGINT[5000]", "identity_vector"),
    ),
}
#: A row is there twice, one is NULL, and one begins like another.
_IDS = [0, 1, 2, 1, None, 3]


@pytest.fixture
def session() -> Generator[Session, None, None]:
    """An empty warehouse."""
    with Session() as opened:
        yield opened


def _create_model(session: Session, triton: Triton, served: str, columns: str, **options: str) -> None:
    pairs = {"endpoint": triton.url, "model-name": served} | {
        key.replace("_", "-"): one for key, one in options.items()
    }
    session.create_model("m", columns, pairs)


def _create_table(session: Session, value: str, kind: str) -> None:
    session.sql(f"create table inputs (id INTEGER, x {kind})")
    for place, i in enumerate(_IDS):
        found = "null" if i is None else f"(select {value} from (select {i} as i))"
        session.sql(f"insert into inputs select {place}, {found}")


@pytest.mark.parametrize("operand", ["inputs", "(select * from inputs where id >= 0)"], ids=["table", "query"])
@pytest.mark.parametrize("case", CASES)
def test_values_come_back_exactly_and_equal_ones_are_sent_once(
    case: str, operand: str, session: Session, triton: Triton, serve: Callable[[str], str]
) -> None:
    """Of every kind of wide column, from a table and from a query; NULL predicts NULL; the input is in the table."""
    value, kind, declared, answered, model = CASES[case]
    _create_table(session, value, kind)
    _create_model(session, triton, serve(model), f"INPUT ({declared}) OUTPUT ({answered})")
    session.build("out", f"select * from ML_PREDICT(TABLE {operand}, MODEL m, DESCRIPTOR(x))", ["m"])
    output = answered.split()[0]
    as_lists = kind if kind == "BLOB" else kind.replace("[5000]", "[]")
    found = session.sql(
        f"select count(*), count({output}), count(*) filter (where {output}::{as_lists} is distinct from x) from out"
    )
    assert found == [(len(_IDS), len(_IDS) - 1, 0)]
    assert session.figures["rows_predicted"] == 4
    assert [name for name, *_ in session.sql("describe out")] == ["id", "x", output]


def test_rows_of_another_length_fail_alone(session: Session, triton: Triton, serve: Callable[[str], str]) -> None:
    """A wide array of another length than declared, with a NULL in it, or ragged is a failed row with a reason."""
    _create_table(session, _MATRIX, "FLOAT[][]")
    session.sql("insert into inputs values (10, [[1, 2]]), (11, [[1, 2], [3]]), (12, [[1, null]]), (13, [[1], null])")
    columns = "INPUT (in_fp32 FLOAT[200][300]) OUTPUT (out_fp32 FLOAT[200][300])"
    _create_model(session, triton, serve("identity_matrix"), columns, on_error="null")
    session.build("out", "select id, out_fp32, ml_error from ML_PREDICT(TABLE inputs, MODEL m, DESCRIPTOR(x))", ["m"])
    assert session.sql("select count(out_fp32) from out where id < 10") == [(5,)]
    failed: dict[int, str] = dict(session.sql("select id, ml_error from out where id >= 10 order by id"))
    assert all(failed.values())
    assert "does not fit" in str(failed[10])
    _create_model(session, triton, serve("identity_matrix"), columns)
    with pytest.raises(StepError, match=r"(?s)4 row\(s\) failed.*id = 10") as error:
        session.build("out", "select id, out_fp32 from ML_PREDICT(TABLE inputs, MODEL m, DESCRIPTOR(x))", ["m"])
    assert "wide_key" not in str(error.value)


def test_type_in_the_table(session: Session, triton: Triton, serve: Callable[[str], str]) -> None:
    """A fixed array of up to 64 KB is one in the table; a larger one is a list, which the plan says as well."""
    for length, kind in ((1024, "FLOAT[1024]"), (16_384, "FLOAT[16384]"), (16_385, "FLOAT[]")):
        session.sql(f"create or replace table inputs as select 1 as id, range({length})::FLOAT[] as x")
        columns = f"INPUT (in_fp32 FLOAT[{length}]) OUTPUT (out_fp32 FLOAT[{length}])"
        _create_model(session, triton, serve("identity_vector"), columns)
        call = "ML_PREDICT(TABLE inputs, MODEL m, DESCRIPTOR(x))"
        session.build("out", f"select id, out_fp32 from {call}", ["m"])
        assert session.sql("select column_type from (describe out) where column_name = 'out_fp32'") == [(kind,)]
        session.sql("delete from inputs")  # nothing to send, so the table is that of the plan
        session.build("out", f"select id, out_fp32 from {call}", ["m"])
        assert session.sql("select column_type from (describe out) where column_name = 'out_fp32'") == [(kind,)]


def test_wide_columns_beside_narrow_ones(session: Session, triton: Triton, serve: Callable[[str], str]) -> None:
    """The key of a row is made of all its values; a narrow value that is none of its type fails its row."""
    session.sql(
        f"create table inputs as select i as id, {_VECTOR} as x, [k] as y from range(2) t(i), "
        "(values (1), (2), (300), (null)) u(k)"
    )
    columns = "INPUT (in_fp32 FLOAT[], in_int8 TINYINT[]) OUTPUT (out_fp32 FLOAT[], out_int8 TINYINT[])"
    _create_model(session, triton, serve("identity_vector"), columns, on_error="null")
    call = "ML_PREDICT(TABLE inputs, MODEL m, DESCRIPTOR(x, y))"
    session.build("out", f"select id, x, y, out_fp32, out_int8, ml_error from {call}", ["m"])
    assert session.sql("select count(*) from out where out_fp32 = x and out_int8 = y") == [(4,)]
    assert session.sql("select count(*) from out where ml_error is not null and y[1] is distinct from 1") == [(4,)]


def test_what_is_known_is_not_sent_again(session: Session, triton: Triton, serve: Callable[[str], str]) -> None:
    """With a persistent cache only new rows are sent, and every row keeps its own prediction."""
    value, kind, declared, answered, model = CASES["bytes"]
    _create_table(session, value, kind)
    _create_model(session, triton, serve(model), f"INPUT ({declared}) OUTPUT ({answered})", cache="persistent")
    select = "select id, x, out_uint8 from ML_PREDICT(TABLE inputs, MODEL m, DESCRIPTOR(x))"
    session.build("out", select, ["m"])
    session.build("out", select, ["m"])
    assert (session.figures["rows_predicted"], session.figures["rows_reused"]) == (0, 5)
    session.sql("insert into inputs values (20, 'new'), (21, 'new')")
    session.sql("delete from inputs where id = 0")
    session.build("out", select, ["m"])
    assert (session.figures["rows_predicted"], session.figures["rows_reused"]) == (1, 5)
    assert session.sql("select count(*) from out where out_uint8 is distinct from x") == [(0,)]


@pytest.mark.parametrize("operand", ["inputs", "(select * from inputs)"], ids=["table", "query"])
def test_dry_run_counts_what_a_build_sends(
    operand: str, session: Session, triton: Triton, serve: Callable[[str], str]
) -> None:
    """Rows, NULLs, distinct inputs, requests and bytes are those of the build that follows."""
    value, kind, declared, answered, model = CASES["bytes"]
    _create_table(session, value, kind)
    _create_model(session, triton, serve(model), f"INPUT ({declared}) OUTPUT ({answered})")
    args = {
        "name": "out",
        "sql": f"select id, out_uint8 from ML_PREDICT(TABLE {operand}, MODEL m, DESCRIPTOR(x))",
        "store": {"database": None, "schema": "main", "identifier": "out__ml_predictions"},
        "models": [{"unique_id": "model.t.m", "name": "m", "relations": ["m"]}],
    }
    counted = session._step(dry_run, args)["figures"]
    session.build("out", str(args["sql"]), ["m"])
    assert (counted["rows"], counted["nulls"], counted["distinct"], counted["to_send"]) == (6, 1, 4, 4)
    assert counted["requests"] == session.figures["requests"]
    assert counted["bytes"] == session.figures["bytes_sent"]


_ROWS, _ROW_BYTES = 300, 2**20
_LIMIT = "200MB"
#: Of the dbt process: 250 MB before a row is read, DuckDB's limit, the requests in flight, and what is read ahead.
_PEAK_MEGABYTES = 1_500


def test_memory_is_bounded_by_slices_not_by_rows(
    project: DbtProject, triton: Triton, serve: Callable[[str], str]
) -> None:
    """Images of more bytes than DuckDB's memory_limit, in one of its vectors, pass within it."""
    columns = "INPUT (pixels BLOB) OUTPUT (total DOUBLE)"
    served = f"'provider' = 'triton', 'endpoint' = '{triton.url}', 'model-name' = '{serve('totals')}'"
    project.model("m", f"{{{{ config(materialized='inference_model') }}}} CREATE MODEL m {columns} WITH ({served})")
    project.write(
        "models/sources.yml", '{"sources": [{"name": "w", "schema": "main", "tables": [{"name": "images"}]}]}'
    )
    project.model(
        "predicted",
        "{{ config(materialized='ml_predict') }} select id, total from "
        "ML_PREDICT(TABLE {{ source('w', 'images') }}, MODEL {{ ref('m') }}, DESCRIPTOR(pixels))",
    )
    target = {"type": "duckdb", "path": str(project.database), "threads": 1, "settings": {"memory_limit": _LIMIT}}
    project.write("profiles.yml", str({"shop": {"target": "dev", "outputs": {"dev": target}}}).replace("'", '"'))
    with duckdb.connect(str(project.database)) as warehouse:
        warehouse.execute("set force_compression = 'uncompressed'")
        warehouse.execute(
            f"create table images as select i as id, encode(repeat(chr((33 + i % 90)::INT), {_ROW_BYTES - 4}) || "
            f"printf('%04d', i)) as pixels from range({_ROWS}) t(i)"
        )
    peak = _peak_megabytes(project, "build")
    with duckdb.connect(str(project.database), read_only=True) as warehouse:
        wrong = warehouse.execute(
            f"select count(*) from predicted where total - (33 + id % 90) * {_ROW_BYTES - 4} not between 192 and 228"
        )
        assert wrong.fetchall() == [(0,)]
        assert warehouse.execute("select count(total) from predicted").fetchall() == [(_ROWS,)]
    assert peak < _PEAK_MEGABYTES


@pytest.mark.slow
@pytest.mark.parametrize("declared", ["FLOAT[262144]", "FLOAT[]"])
def test_lists_of_a_file_pass_within_the_memory_of_its_row_groups(
    project: DbtProject, triton: Triton, serve: Callable[[str], str], declared: str
) -> None:
    """Lists of more bytes than DuckDB's memory_limit pass, though it reads 2,048 of them at once."""
    served = f"'provider' = 'triton', 'endpoint' = '{triton.url}', 'model-name' = '{serve('totals')}'"
    project.model(
        "m",
        "{{ config(materialized='inference_model') }} "
        f"CREATE MODEL m INPUT (numbers {declared}) OUTPUT (total DOUBLE) WITH ({served})",
    )
    file = project.root / "images.parquet"
    lists = pa.ListArray.from_arrays(
        pa.array(np.arange(5, dtype=np.int32) * 2**18), pa.array(np.tile(np.arange(8, dtype=np.float32), 2**17))
    )
    with pq.ParquetWriter(file, pa.schema([("id", pa.int64()), ("numbers", lists.type)])) as writer:
        for first in range(0, _ROWS, 4):
            ids = pa.array(range(first, first + 4))
            # A number of its own, so that each row is an input of its own.
            own = pa.concat_arrays([_with_first(lists, place, float(first + place)) for place in range(4)])
            writer.write_table(pa.table([ids, own], names=["id", "numbers"]))
    project.model(
        "predicted",
        "{{ config(materialized='ml_predict') }} select id, total from "
        f"ML_PREDICT(TABLE '{file}', MODEL {{{{ ref('m') }}}}, DESCRIPTOR(numbers))",
    )
    target = {"type": "duckdb", "path": str(project.database), "threads": 1, "settings": {"memory_limit": _LIMIT}}
    project.write("profiles.yml", str({"shop": {"target": "dev", "outputs": {"dev": target}}}).replace("'", '"'))
    peak = _peak_megabytes(project, "build")
    with duckdb.connect(str(project.database), read_only=True) as warehouse:
        # 28 for each eight numbers, the first of which is 0.
        wrong = "select count(*) from predicted where total is distinct from 28 * 32768 + id"
        assert warehouse.execute(wrong).fetchall() == [(0,)]
        assert warehouse.execute("select count(*) from predicted").fetchall() == [(_ROWS,)]
    assert peak < _PEAK_MEGABYTES


def _with_first(lists: pa.ListArray, place: int, number: float) -> pa.ListArray:
    numbers = lists.flatten().to_numpy()[place * 2**18 : (place + 1) * 2**18].copy()
    numbers[0] = number
    return pa.ListArray.from_arrays(pa.array(np.array([0, 2**18], dtype=np.int32)), pa.array(numbers))


def _peak_megabytes(project: DbtProject, *arguments: str) -> float:
    """Run dbt, which must succeed, and return its peak of resident memory: that of its own, not of who started it."""
    command, environment = project.command(*arguments)
    said, peak = project.root / "dbt.out", 0.0
    with said.open("w") as output:
        process = subprocess.Popen(command, cwd=project.root, env=environment, stdout=output, stderr=output)
        while process.poll() is None:
            status = Path(f"/proc/{process.pid}/status").read_text()
            peak = max([peak, *(int(line.split()[1]) / 1024 for line in status.splitlines() if "VmHWM" in line)])
            time.sleep(0.02)
    assert process.returncode == 0, said.read_text()
    return peak
