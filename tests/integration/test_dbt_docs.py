"""The files that docs/dbt.md shows, built as they stand, with the stub."""

from __future__ import annotations

import json
import re

import pytest
from support.dbt import REPOSITORY, DbtProject

pytestmark = pytest.mark.duckdb_only(
    "the files of docs/dbt.md are written for DuckDB; docs/spark.md has tests of its own"
)

_SHOWN = re.compile(
    r"^```(?:sql|yaml|python)\n(?:--|#) ((?:models/|dbt_project)\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL
)


def _write_files_of_the_page(project: DbtProject) -> None:
    shown = dict(_SHOWN.findall((REPOSITORY / "docs" / "dbt.md").read_text(encoding="utf-8")))
    assert len(shown) == 7
    for path, text in shown.items():
        project.write(path, text)
    target = {"type": "duckdb", "path": str(project.database), "threads": 4}
    project.write("profiles.yml", json.dumps({"reviews": {"target": "ci", "outputs": {"ci": target}}}))
    project.write("reviews.csv", "id,user_review\n1,Great\n")
    project.model(
        "movie_reviews",
        "select * from (values (1, 'Great'), (2, 'Dull'), (3, null), (4, 'New')) t(id, user_review) "
        "where id <= {{ var('newest', 3) }}",
    )


def test_files_of_the_dbt_page_work_as_shown(project: DbtProject) -> None:
    """Every file of docs/dbt.md builds with `--target ci`, twice, and its unit tests pass."""
    _write_files_of_the_page(project)
    first, second = project.build(), project.build()
    assert first.output.count("PASS classified_reviews::") == 2
    moods = [row[0] for row in project.query("select sentiment from classified_reviews order by id")]
    assert set(moods[:2]) <= {"positive", "neutral", "negative"}
    assert moods[2] is None
    assert second.message("classified_incrementally").startswith("ML_PREDICT 0 rows")
    assert project.query(
        "select count(*) from classified_in_python union all select count(*) from classified_files"
    ) == [
        (3,),
        (1,),
    ]


def test_incremental_files_of_the_dbt_page_begin_with_no_row(project: DbtProject) -> None:
    """The incremental files of docs/dbt.md, in SQL and in Python, load what comes after a first load of nothing."""
    _write_files_of_the_page(project)
    models = ("classified_incrementally", "classified_in_python")
    for newest, ids in ((0, []), (3, [1, 2, 3]), (4, [1, 2, 3, 4])):
        project.build("--exclude-resource-type", "unit_test", "--vars", f"{{newest: {newest}}}")
        for model in models:
            assert [row[0] for row in project.query(f"select id from {model} order by id")] == ids, (model, newest)
