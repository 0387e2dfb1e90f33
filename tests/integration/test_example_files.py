"""The example project's models of image and sound files, in its own project and before its own model repository."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Generator

import pytest
from support.dbt import REPOSITORY, DbtProject

from dbt_triton.server import TritonServer

pytestmark = pytest.mark.duckdb_only("the models of files read them with a function of DuckDB's")

EXAMPLE = REPOSITORY / "example_project"
#: What serves files, and what it is made of.
SERVED = ("image-preprocessing", "digit-classifier", "digit-ensemble")
SERVED_SOUND = ("audio-preprocessing", "dial-tone", "dial-tone-ensemble")
MODELS = ("digits_by_ensemble", "digits_in_two_steps", "read_dial_tones")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Generator[DbtProject, None, None]:
    """The example's models of files, trained, served and built."""
    project = DbtProject(tmp_path_factory.mktemp("example") / "project")
    for folder in ("macros", "models/kinds", "model_repository", "seeds", "tests"):
        shutil.copytree(EXAMPLE / folder, project.root / folder, ignore=shutil.ignore_patterns("model.joblib"))
    shutil.copyfile(EXAMPLE / "train_kinds.py", project.root / "train_kinds.py")
    subprocess.run([sys.executable, "train_kinds.py"], cwd=project.root, check=True, timeout=120)
    loaded = [f"--load-model={name}" for name in (*SERVED, *SERVED_SOUND)]
    with TritonServer(
        project.root / "model_repository", extra_args=["--model-control-mode=explicit", *loaded]
    ) as server:
        project.environment = {"TRITON_URL": server.url}
        project.build("--select", *(f"+{model}" for model in MODELS), "--indirect-selection", "cautious")
        yield project


@pytest.mark.slow
def test_digits_are_read(built: DbtProject) -> None:
    """An ensemble reads nearly every held-out image, and two calls of ML_PREDICT read the same ones the same."""
    read = "select avg((predicted_digit = actual_digit)::int), count(*) from"
    assert built.query(f"{read} digits_by_ensemble")[0][0] > 0.95
    assert built.query(f"{read} digits_in_two_steps") == built.query(f"{read} digits_by_ensemble")
    assert built.query("select count(*) from digits_by_ensemble where label is null") == [(0,)]


@pytest.mark.slow
def test_dial_tones_are_heard(built: DbtProject) -> None:
    """Each key is heard from each format, rate and number of channels."""
    heard = built.query(
        "select count(*), count(distinct predicted_key), bool_and(predicted_key = actual_key) from read_dial_tones"
    )
    assert heard == [(36, 12, True)]
