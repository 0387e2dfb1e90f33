"""Reading Flink SQL: CREATE MODEL statements, and ML_PREDICT calls within a user's own SQL."""

from dbt_triton.ddl.calls import Call, Statement
from dbt_triton.ddl.create_model import Column, ModelDefinition, parse_create_model
from dbt_triton.ddl.lexis import DUCKDB, SPARK, Lexis
from dbt_triton.ddl.ml_predict import parse_ml_predict

__all__ = [
    "DUCKDB",
    "SPARK",
    "Call",
    "Column",
    "Lexis",
    "ModelDefinition",
    "Statement",
    "parse_create_model",
    "parse_ml_predict",
]
