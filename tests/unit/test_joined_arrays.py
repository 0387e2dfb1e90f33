import json
from typing import Any

import duckdb
import pyarrow as pa

from dbt_triton import __version__
from dbt_triton.engine import FailedRows
from dbt_triton.errors import InferenceError, Reason
from dbt_triton.step import build_inference_model
from dbt_triton.step.plan import make_plan
from dbt_triton.warehouses.duckdb.keys import key_halves, key_of, salt_variable
from dbt_triton.warehouses.duckdb.rewrite import Source, joined
from dbt_triton.warehouses.duckdb.store import PredictionStore
from dbt_triton.warehouses.duckdb.warehouse import DuckDBWarehouse

MODEL = """CREATE MODEL cultivar INPUT (alcohol FLOAT, acid FLOAT, flavour FLOAT, color FLOAT, proline INT)
OUTPUT (p FLOAT[3]) WITH ('provider' = 'triton', 'endpoint' = 'http://127.0.0.1:9', 'model-name' = 'm',
'preflight' = 'false', 'on-error' = 'null')"""
WINES = "('13.1', 1.7, 2.4, 5.6, 1000), ('abc', 1.7, 2.4, 5.6, 1000), ('12.0', null, 2.4, 5.6, 700), \
('12.5', 1.5, 1.4, 3.6, 99999999999)"
CALL = "select * from ML_PREDICT(TABLE wines, MODEL cultivar, DESCRIPTOR(alcohol, acid, flavour, color, proline))"


def _arguments(name: str, sql: str) -> dict[str, Any]:
    store = {"database": None, "schema": None, "identifier": "predictions"}
    return {
        "package_version": __version__,
        "name": name,
        "alias": name,
        "sql": sql,
        "meta": None,
        "store": store,
        "models": [{"unique_id": "model.p.cultivar", "name": "cultivar", "relations": ['"memory"."main"."cultivar"']}],
    }


def test_array_of_failed_and_of_null_rows() -> None:
    """With on-error null, rows that failed and rows with NULLs have a NULL array, whatever else is in the table."""
    with duckdb.connect() as session:
        build_inference_model(json.dumps(_arguments("cultivar", MODEL)), session)
        row = session.execute("select getvariable('dbt_triton_result')").fetchone()
        assert row is not None
        session.execute(f"create table cultivar as {json.loads(row[0])['build_sql']}")
        session.execute(f"create table wines as from (values {WINES}) v(alcohol, acid, flavour, color, proline)")
        warehouse = DuckDBWarehouse(session)
        planned = make_plan(_arguments("predicted", CALL), warehouse).calls[0]
        store = PredictionStore(planned.store, planned.model, "fingerprint")
        store.unlock(warehouse, salt_variable(planned))
        source = Source("wines", key_of(planned))
        halves = session.sql(
            f"select {key_halves(key_of(planned))} from wines where acid is not null order by alcohol = '13.1' desc"
        ).to_arrow_table()
        high, low = (halves.column(number).combine_chunks() for number in (0, 1))
        with warehouse.writer() as writer:
            store.prepare(warehouse, writer, retry_errors=False)
            store.append(writer, [high[:1], low[:1]], [pa.array([[1, 2, 3]], pa.list_(pa.float32(), 3))])
            error = InferenceError("its value is no FLOAT", reason=Reason.REFUSED)
            store.append_failures(writer, [FailedRows([high[1:], low[1:]], error)])
        session.execute(f"create table predicted as select * from {joined(planned, source, store)}")
        found = session.sql("select alcohol, p, ml_error is not null from predicted order by alcohol").fetchall()
        assert session.sql("select p from predicted").types == ["FLOAT[3]"]
    assert found == [
        ("12.0", None, False),
        ("12.5", None, True),
        ("13.1", (1.0, 2.0, 3.0), False),
        ("abc", None, True),
    ]
