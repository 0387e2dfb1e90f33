"""The macro of the example project that lets Spark read seeds from their files."""

from __future__ import annotations

from pathlib import Path

from support.spark import SparkProject

_MACRO = Path(__file__).parents[2] / "example_project" / "macros" / "load_csv_rows.sql"
_ROWS = '''id,body,score,flag
1,it's,0.5,true
2,"two
lines, and ""quotes""",,false
3,,2.25,
4,\\n ${HOME} {{ jinja }} ☕,3,true
'''


def test_a_seed_has_the_rows_of_its_file(spark_project: SparkProject) -> None:
    """Copied into another project, the macro loads any text, with the types that dbt finds and with declared ones."""
    spark_project.write("macros/load_csv_rows.sql", _MACRO.read_text("utf-8"))
    for name in ("found", "declared"):
        spark_project.write(f"seeds/{name}.csv", _ROWS)
    spark_project.write(
        "seeds/seeds.yml", "seeds: [{name: declared, config: {column_types: {id: string, score: float}}}]"
    )
    result = spark_project.dbt("seed")
    assert {name: result.status(name) for name in ("found", "declared")} == {"found": "success", "declared": "success"}
    rows = [
        (1, "it's", 0.5, True),
        (2, 'two\nlines, and "quotes"', None, False),
        (3, None, 2.25, None),
        (4, "\\n ${HOME} {{ jinja }} ☕", 3.0, True),
    ]
    assert spark_project.query("select * from found order by id") == rows
    assert spark_project.query("select * from declared order by id") == [(str(row[0]), *row[1:]) for row in rows]
