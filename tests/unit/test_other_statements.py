"""Statements of Flink that are no model here: each is told what it is called."""

import pytest

from dbt_triton.ddl import parse_create_model, parse_ml_predict
from dbt_triton.errors import SqlSyntaxError

SELECT = "SELECT * FROM ML_PREDICT(TABLE t, MODEL m, DESCRIPTOR(a))"
CREATE = "CREATE MODEL m INPUT (a STRING) OUTPUT (b STRING) WITH ('provider' = 'stub')"


@pytest.mark.parametrize(
    ("statement", "operation"),
    [
        ("SHOW MODELS", "dbt_triton.show_models"),
        ("show models in cat.db", "dbt_triton.show_models"),
        ("SHOW CREATE MODEL m", "the model's file"),
        ("DESCRIBE MODEL m", "dbt_triton.describe_model"),
        ("DESC MODEL EXTENDED m", "dbt_triton.describe_model"),
        ("DROP MODEL IF EXISTS m", "dbt_triton.drop_model"),
        ("DROP TEMPORARY MODEL m", "dbt_triton.drop_model"),
        ("ALTER MODEL m SET ('timeout' = 'SECRET')", "in the model's file"),
        ("ALTER MODEL IF EXISTS m RENAME TO n", "in the model's file"),
        ("ALTER MODEL m RESET ('timeout')", "in the model's file"),
    ],
)
def test_statements_that_are_operations(statement: str, operation: str) -> None:
    """A statement that is no model names its operation, in either kind of file."""
    for parse_statement in (parse_create_model, parse_ml_predict):
        with pytest.raises(SqlSyntaxError, match=r"^line 2: ") as caught:
            parse_statement(f"-- as in Flink\n{statement};")
        assert operation in str(caught.value)
        assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize(
    ("statement", "advice"),
    [
        (CREATE, "has a file of its own"),
        (CREATE.replace("CREATE", "CREATE TEMPORARY"), "has a file of its own"),
        (f"INSERT INTO s {SELECT}", "leave INSERT INTO away"),
        (f"EXECUTE STATEMENT SET BEGIN INSERT INTO s {SELECT}; END", "each INSERT INTO of a statement set"),
        (f"BEGIN STATEMENT SET; INSERT INTO s {SELECT}; END", "each INSERT INTO of a statement set"),
        (f"CREATE VIEW v AS {SELECT}", "leave CREATE … AS away"),
        (f"CREATE TEMPORARY VIEW v AS {SELECT}", "leave CREATE … AS away"),
        (f"CREATE OR REPLACE TABLE v AS {SELECT}", "leave CREATE … AS away"),
        (f"CREATE MATERIALIZED TABLE v AS {SELECT}", "leave CREATE … AS away"),
        (f"EXPLAIN PLAN FOR {SELECT}", "dbt_triton_dry_run"),
        (f"EXPLAIN {SELECT}", "dbt_triton_dry_run"),
        (f"SET 'table.exec.async-ml-predict.timeout' = '10s'; {SELECT}", "leave SET away"),
        (f"USE CATALOG c; {SELECT}", "leave USE away"),
    ],
)
def test_statements_in_a_predicting_model(statement: str, advice: str) -> None:
    """What stands before the SELECT in Flink says where it belongs."""
    with pytest.raises(SqlSyntaxError, match=advice):
        parse_ml_predict(statement)
