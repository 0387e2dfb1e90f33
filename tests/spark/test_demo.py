"""The example project on both warehouses before one server: what becomes of it when the target is another."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pytest
from support.dbt import REPOSITORY
from support.spark import has_java

from dbt_triton.server import TritonServer

EXAMPLE = REPOSITORY / "example_project"
_MADE = ("dbt_packages", "target", "logs", "*.duckdb*", "spark", "images", "sounds", "model.joblib", "__pycache__")
_TIMEOUT_SECONDS = 900
#: DuckDB's types that Spark has not, and what they are on Spark; each value has one equal there.
_OTHER_TYPES = {"UTINYINT": "SMALLINT", "FLOAT[128]": "FLOAT[]", "FLOAT[384]": "FLOAT[]"}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(2 * _TIMEOUT_SECONDS),
    pytest.mark.skipif(not has_java(), reason="Spark needs Java, and there is none on the path"),
]


@dataclass(frozen=True)
class Demo:
    """A copy of the example project that `make demo` and `make demo-spark` have built.

    Args:
        root: the project's folder.
        printed: what each of the two printed, by the name of the warehouse; the second one with dbt's own lines.
    """

    root: Path
    printed: dict[str, str]

    def shown(self, warehouse: str) -> str:
        """Return what was printed of the tables."""
        printed = self.printed[warehouse]
        return printed[printed.index("\nclassified_reviews: ") : printed.index("\nGo on")]

    def nodes(self) -> list[dict[str, Any]]:
        """Return the models and seeds of the project."""
        manifest = json.loads((self.root / "target" / "manifest.json").read_text("utf-8"))
        return [node for node in manifest["nodes"].values() if node["resource_type"] in {"model", "seed"}]

    def tables(self, *materialized: str) -> list[str]:
        """Return the names of all nodes that are materialized in one of these ways."""
        return sorted(node["name"] for node in self.nodes() if node["config"]["materialized"] in materialized)

    def difference(self, table: str, columns: str = "*") -> list[tuple[Any, ...]]:
        """Return the rows of a table that only one of the warehouses has, as DuckDB's types; doubled rows count."""
        with duckdb.connect(str(self.root / "example.duckdb"), read_only=True) as connection:
            kept = connection.sql(f"select {columns} from {table}")
            files = f"read_parquet('{self.root}/spark/tables/example.db/{table}/*.parquet')"
            found = connection.sql(f"select {columns} from {files}")
            assert found.columns == kept.columns
            types = [str(sql_type) for sql_type in kept.types]
            assert [str(sql_type) for sql_type in found.types] == [_OTHER_TYPES.get(name, name) for name in types]
            cast = ", ".join(
                f'cast("{name}" as {sql_type})' for name, sql_type in zip(kept.columns, types, strict=True)
            )
            here, there = f"select {columns} from {table}", f"select {cast} from {files}"
            rows = connection.execute(f"({here} except all {there}) union all ({there} except all {here})").fetchall()
            assert connection.execute(f"select count(*) > 0 from {table}").fetchall() == [(True,)]
            return rows


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Generator[Demo]:
    """Train and serve the example's models, and run the demo on each warehouse."""
    root = tmp_path_factory.mktemp("demo") / "example_project"
    shutil.copytree(EXAMPLE, root, ignore=shutil.ignore_patterns(*_MADE))
    (root / "packages.yml").write_text(json.dumps({"packages": [{"local": str(REPOSITORY)}]}), encoding="utf-8")
    for program in ("train.py", "train_kinds.py"):
        subprocess.run([sys.executable, program], cwd=root, check=True, capture_output=True, timeout=300)
    with TritonServer(root / "model_repository") as server:
        yield Demo(root, {name: _printed(root, name, server.url) for name in ("duckdb", "spark")})


def _printed(root: Path, warehouse: str, url: str) -> str:
    """Run the demo to its end, and return what it prints."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("DBT_", "PYTEST_", "SPARK_"))}
    environment |= {
        "PYTHONPATH": str(REPOSITORY),
        "TRITON_URL": url,
        "NO_PROXY": "*",
        "DBT_USE_COLORS": "false",
        "SPARK_LOCAL_IP": "127.0.0.1",
        "VERBOSE": "1" if warehouse == "spark" else "",
    }
    done = subprocess.run(
        [sys.executable, root / "demo.py", warehouse],
        env=environment,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_SECONDS,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_classified_table_is_the_same(demo: Demo) -> None:
    """All rows and columns of all predicting models are the same on DuckDB and on Spark."""
    tables = demo.tables("ml_predict")
    assert len(tables) == 13
    assert {table: rows for table in tables if (rows := demo.difference(table))} == {}


def test_tables_around_them_are_the_same(demo: Demo) -> None:
    """So are the seeds, the files, the made-up readings and the accuracy; a similarity is so to four digits."""
    tables = set(demo.tables("table", "seed")) - {"nearest_reviews", "similar_reviews"}
    assert tables >= {
        "movie_review_snippets",
        "wines",
        "digit_images",
        "dial_tones",
        "sensor_readings",
        "review_accuracy",
    }
    assert {table: rows for table in tables if (rows := demo.difference(table))} == {}
    columns = "id, user_review, nearest_id, nearest_review, cast(similarity as decimal(5, 4)) as similarity"
    assert demo.difference("nearest_reviews", columns) == []
    columns = "id, nearness, user_review, similar_id, similar_review, cast(similarity as decimal(5, 4)) as similarity"
    assert demo.difference("similar_reviews", columns) == []


def test_the_same_is_shown(demo: Demo) -> None:
    """`make demo-spark` ends with the tables and the figures of `make demo`; a vector's type has Spark's name."""
    assert "82.2% of 2,012 held-out reviews" in demo.shown("duckdb")
    assert demo.shown("spark") == re.sub(r"FLOAT\[\d+\]", "array<float>", demo.shown("duckdb"))


def test_lines_of_dbt_go_to_a_log(demo: Demo) -> None:
    """The results are all that the demo shows: dbt's lines are in the log that it names; `VERBOSE=1` shows them."""
    printed, log = demo.printed["duckdb"], demo.root / "logs" / "demo.log"
    before = printed[: printed.index("\nclassified_reviews: ")]
    assert " START " not in printed
    assert re.search(r"dbt build: (\d+) of \1 models and tests, \d+ s \(.*demo\.log\)", before)
    assert len(before.splitlines()) < 6
    assert " OK created sql ml_predict model " in log.read_text("utf-8")
    assert " START " in demo.printed["spark"]


def test_says_how_to_go_on(demo: Demo) -> None:
    """What the demo says to type next works as it stands, in the folder that it names."""
    (shown,) = re.findall(r"^ +(\S*dbt show .*)$", demo.printed["duckdb"], re.MULTILINE)
    done = subprocess.run(shown, shell=True, cwd=demo.root, capture_output=True, text=True, timeout=120, check=False)  # noqa: S602
    assert done.returncode == 0, done.stdout + done.stderr
    assert "predicted_sentiment" in done.stdout


def test_models_are_the_same(demo: Demo) -> None:
    """No inference model and no predicting model of the example asks which warehouse it is on."""
    asked = [
        node["name"]
        for node in demo.nodes()
        if node["config"]["materialized"] in {"inference_model", "ml_predict"} and "target" in node["raw_code"]
    ]
    assert asked == []
