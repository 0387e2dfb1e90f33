"""The statements of Flink's page about Triton, both doors, and the server that `dbt-triton serve` runs."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from support.dbt import REPOSITORY, DbtProject, DbtResult

pytestmark = pytest.mark.duckdb_only(
    "the statements of Flink's page run in files of DuckDB's; test_flink_semantics is about what they mean"
)

DBT_TRITON = Path(sys.executable).parent / "dbt-triton"
MODEL = REPOSITORY / "example_project" / "model_repository" / "text-classification"
PAGE = REPOSITORY / "example_project" / "models" / "flink_page"
YAML = """
models:
  - name: classifier_of_yaml
    config:
      materialized: inference_model
      meta:
        inference_model:
          input: {input: STRING}
          output: {output: STRING}
          provider: triton
          endpoint: http://localhost:8000/v2/models
          model-name: text-classification
          model-version: 1
          timeout: 10000
          max-retries: 3
"""


@dataclass
class Page:
    """The build of this file."""

    project: DbtProject
    result: DbtResult
    url: str
    ready: str
    rows_by_server: int
    stopped: str
    code: int


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Page:
    """Serve the page's model by the command, build the page's statements and their YAML twins, stop by Ctrl-C."""
    repository = tmp_path_factory.mktemp("repository")
    shutil.copytree(MODEL, repository / MODEL.name)
    with subprocess.Popen(
        [str(DBT_TRITON), "serve", str(repository), "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as serving:
        try:
            assert serving.stdout is not None
            ready = next((line for line in serving.stdout if "ready at" in line), "it ended without being ready")
            said = re.search(r"ready at (\S+) \(metrics: (\S+)\)", ready)
            assert said, ready
            project = DbtProject(tmp_path_factory.mktemp("page") / "project")
            # As the example's own: the unit test of SQL with ML_PREDICT needs the dispatch line.
            order = {"macro_namespace": "dbt", "search_order": ["shop", "dbt_triton", "dbt"]}
            settings = {"name": "shop", "version": "1.0.0", "profile": "shop", "dispatch": [order]}
            project.write("dbt_project.yml", json.dumps(settings))
            shutil.copytree(PAGE, project.root / "models")
            project.write("models/twins.yml", YAML)
            project.model("classifier_of_yaml", "{{ dbt_triton.create_model() }}")
            project.model(
                "classified_by_macro",
                "{{ config(materialized='ml_predict') }}\n"
                "SELECT id, movie_name, output as predicted_sentiment, actual_sentiment FROM "
                "{{ dbt_triton.ml_predict(ref('movie_reviews'), ref('classifier_of_yaml'), 'user_review') }}",
            )
            result = project.dbt("build", "--vars", json.dumps({"dbt_triton_endpoint": said[1]}))
            metrics = httpx.get(said[2], trust_env=False, timeout=30).text
            counted = re.search(r'^nv_inference_count\{model="text-classification"[^}]*\} (\d+)', metrics, re.MULTILINE)
            serving.send_signal(signal.SIGINT)
            stopped, _ = serving.communicate(timeout=60)
        finally:
            if serving.poll() is None:
                serving.terminate()  # it stops Triton in order
                serving.wait(30)
    rows = int(counted[1]) if counted else 0
    return Page(project, result, said[1], ready, rows, stopped, serving.returncode)


@pytest.mark.slow
def test_statements_of_the_page_are_built(page: Page) -> None:
    """Flink's two statements, as they stand on its page, make the classified table on a real server."""
    assert page.result.code == 0, page.result.printed
    rows = page.project.query("from classified_reviews order by id")
    assert [row[0] for row in rows] == [1, 2, 3]
    assert [row[0] for row in page.project.query("describe classified_reviews")] == [
        "id",
        "movie_name",
        "predicted_sentiment",
        "actual_sentiment",
    ]
    assert rows[0] == (1, "好电影", "positive", "positive")
    assert rows[1] == (2, "无聊的电影", "negative", "negative")
    # Three reviews for each of the two doors: the server really was called.
    assert page.rows_by_server == 6


def test_both_doors_make_the_same(page: Page) -> None:
    """YAML and macro make the same table and the same metadata as the SQL statements."""
    assert page.project.query("from classified_by_macro order by id") == page.project.query(
        "from classified_reviews order by id"
    )
    columns = "* exclude (name, checked_at)"
    assert page.project.query(f"select {columns} from classifier_of_yaml") == page.project.query(
        f"select {columns} from triton_sentiment_classifier"
    )


def test_console_says_what_happened(page: Page) -> None:
    """The console line of dbt has rows, requests, retries and seconds."""
    assert re.search(r"\[ML_PREDICT 3 rows, 1 requests?, 0 retries, \d+\.\d s in", page.result.output)


def test_serve_stops_on_interrupt(page: Page) -> None:
    """`dbt-triton serve` says where it listens, and Ctrl-C stops the server and ends well."""
    assert page.ready.startswith(f"Triton is ready at {page.url}")
    assert "stopping Triton" in page.stopped
    assert page.code == 0
    with pytest.raises(httpx.ConnectError):
        httpx.get(page.url, trust_env=False)


def test_serve_explains_a_wrong_path(tmp_path: Path) -> None:
    """A path that is no folder is one sentence on standard error and exit code 1."""
    done = subprocess.run(
        [str(DBT_TRITON), "serve", str(tmp_path / "nowhere")], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 1
    assert done.stderr == f"dbt-triton: {tmp_path / 'nowhere'} is not a folder; give the path of a model repository\n"
