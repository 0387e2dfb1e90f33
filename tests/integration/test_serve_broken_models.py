"""`dbt-triton serve` on a repository in which hardly a model is right, with the real server."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from support.dbt import REPOSITORY

from dbt_triton.server import TritonServer

pytestmark = [pytest.mark.slow, pytest.mark.duckdb_only("no warehouse takes part")]
UPPER = REPOSITORY / "tests" / "support" / "model_repository" / "upper"
#: As `dbt-triton serve` starts it.
LENIENT = ("--exit-on-error=false", "--strict-readiness=false")


def test_every_folder_that_is_not_served_is_told_with_the_reason(tmp_path: Path) -> None:
    """What is wrong is said of each folder, and the good model is served; a missing file does not stop the server."""
    names = ("good", "no_version", "word_version", "no_file", "broken", "other_name")
    for name in names:
        shutil.copytree(UPPER, tmp_path / name)
    shutil.rmtree(tmp_path / "no_version" / "1")
    (tmp_path / "word_version" / "1").rename(tmp_path / "word_version" / "v1")
    (tmp_path / "no_file" / "1" / "model.py").unlink()
    (tmp_path / "broken" / "config.pbtxt").write_text('backend: "python')
    (tmp_path / "other_name" / "config.pbtxt").write_text('name: "another"\nbackend: "python"')
    (tmp_path / ".git").mkdir()
    with TritonServer(tmp_path, extra_args=LENIENT) as server:
        told = server.not_loaded()
    assert set(told) == set(names) - {"good"}
    assert told["no_version"] == "it has no version folder: put the model's files into no_version/1"
    assert told["word_version"] == "it has no version folder: put the model's files into word_version/1"
    assert told["no_file"] == "it has no 1/model.py"
    assert told["broken"].startswith("its config.pbtxt cannot be read: 1:")
    assert "directory name must equal model name" in told["other_name"]
