"""What DuckDB may use while a predicting model is built, as the models of one dbt build see it; no server is asked."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.dbt import DbtProject

pytestmark = pytest.mark.duckdb_only("memory_limit is a setting of DuckDB's")

_MODEL = """
{{ config(materialized='inference_model') }}
CREATE MODEL judge INPUT (review STRING) OUTPUT (label STRING)
WITH ('provider' = 'stub', 'endpoint' = 'http://127.0.0.1:9', 'model-name' = 'm')
"""
_JUDGED = """
{{ config(materialized='ml_predict',
          post_hook="create or replace table meanwhile as select current_setting('memory_limit') as memory") }}
select review, label
from ML_PREDICT(TABLE (select 'good' as review), MODEL {{ ref('judge') }}, DESCRIPTOR(review))
"""
_AFTER = "-- depends_on: {{ ref('judged') }}\nselect current_setting('memory_limit') as memory"
_BEFORE = "{{ config(materialized='table') }} select current_setting('memory_limit') as memory"


def _gibibytes(project: DbtProject, table: str) -> float:
    number, unit = str(project.query(f"select memory from {table}")[0][0]).split()
    return float(number) * {"MiB": 1 / 1024, "GiB": 1, "TiB": 1024}[unit]


@pytest.mark.parametrize(("wanted", "share"), [("half", 0.5), ("duckdb", 1.0)])
def test_a_predicting_model_is_built_with_half_of_duckdbs_default(tmp_path: Path, wanted: str, share: float) -> None:
    """Half of the machine stays free until the table is made; other models have DuckDB's default again."""
    project = DbtProject(tmp_path)
    project.write("models/judge.sql", _MODEL)
    project.write("models/judged.sql", _JUDGED)
    project.write("models/before.sql", _BEFORE)
    project.write("models/after.sql", "{{ config(materialized='table') }}\n" + _AFTER)
    project.build("--threads", "1", "--select", "before")
    project.build("--threads", "1", "--vars", f"{{dbt_triton_memory: {wanted}}}", "--exclude", "before")
    before = _gibibytes(project, "before")
    assert _gibibytes(project, "meanwhile") == pytest.approx(share * before, rel=0.02)
    assert _gibibytes(project, "after") == before


def test_another_value_of_the_variable_is_refused(tmp_path: Path) -> None:
    """A variable that is misspelt is no default."""
    project = DbtProject(tmp_path)
    project.write("models/judge.sql", _MODEL)
    project.write("models/judged.sql", _JUDGED)
    result = project.fails("--vars", "{dbt_triton_memory: some}")
    assert "dbt_triton_memory" in result.printed
    assert "write half" in result.printed
