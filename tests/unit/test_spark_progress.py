"""What is told of a run while Spark's tasks send: the figures of all tasks, and of the waves before."""

from __future__ import annotations

from pathlib import Path

from dbt_triton.engine import Progress, RunStats
from dbt_triton.tensors.trim import Trimmer
from dbt_triton.warehouses.spark.figures import Findings
from dbt_triton.warehouses.spark.progress_files import ProgressFile, forget_progress, read_progress
from dbt_triton.warehouses.spark.waves import _Waves


def test_tasks_together(tmp_path: Path) -> None:
    """Every figure of every task counts, also the tokens of a language model."""
    for number in (1, 2):
        with ProgressFile(str(tmp_path), number) as file:
            file.write(Progress(*(number * 10**place for place in range(6))))
    assert read_progress(tmp_path) == Progress(3, 30, 300, 3_000, 30_000, 300_000)
    forget_progress(tmp_path)
    assert read_progress(tmp_path) == Progress(0, 0, 0, 0, 0)


def test_waves_together(tmp_path: Path) -> None:
    """What is told is that of the whole run, and not of the wave under way."""
    told: list[Progress] = []
    waves = _waves(tmp_path, told)
    with waves._watched(), ProgressFile(str(tmp_path), 0) as file:
        file.write(Progress(5, 1, 2, 16, 0, tokens=70))
    waves.findings.stats += RunStats(rows=4, rows_failed=1, retries=3)
    assert waves._so_far(Progress(2, 0, 1, 16, 1, tokens=30)) == Progress(7, 1, 1, 16, 4, tokens=100)


def _waves(folder: Path, told: list[Progress]) -> _Waves:
    """Return waves without a session."""
    waves = object.__new__(_Waves)
    waves.findings, waves._folder, waves._tokens = Findings(Trimmer([], [])), str(folder), 0
    waves._sending = type("Sending", (), {"progress": staticmethod(told.append)})()
    return waves
