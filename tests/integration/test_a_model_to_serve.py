"""docs/a-model-to-serve.md: its files, served by `dbt-triton serve`, and the commands after it."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.dbt import REPOSITORY, DbtProject

pytestmark = pytest.mark.duckdb_only("the page is about the server; what a project does with it is said elsewhere")

_SHOWN = re.compile(r"^```(?:protobuf|python)\n# (model_repository/\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FOLDER = "model_repository/word-count"
_READY = re.compile(r"Triton is ready at (\S+) \(metrics")


def test_page_is_served_and_predicts(project: DbtProject) -> None:
    """The two files of the page are a model repository, from which its commands make a table of the right counts."""
    shown = _SHOWN.findall((REPOSITORY / "docs" / "a-model-to-serve.md").read_text(encoding="utf-8"))
    assert [path for path, _ in shown] == [
        f"model_repository/word-count/{file}" for file in ("config.pbtxt", "1/model.py")
    ]
    for path, text in shown:
        project.write(path, text)
    command = [str(Path(sys.executable).with_name("dbt-triton")), "serve", "model_repository", "--port", "0"]
    with subprocess.Popen(command, cwd=project.root, stdout=subprocess.PIPE, text=True) as serving:
        try:
            assert serving.stdout is not None
            ready = next(found for line in serving.stdout if (found := _READY.match(line)))
            done = project.dbt_triton("init", "--model", "word-count", "--endpoint", ready[1])
            assert done.returncode == 0, done.stderr
            built = project.build("--select", "+word_count_predicted")
            shown_rows = project.dbt("show", "--inline", "select * from {{ ref('word_count_predicted') }}")
        finally:
            serving.send_signal(signal.SIGINT)
        assert serving.wait(60) == 0
    assert project.query("select id, WORDS, ml_error from word_count_predicted order by id") == [
        (1, 2, None),
        (2, 2, None),
    ]
    assert "PASS=3" in built.output
    assert "WORDS" in shown_rows.output
