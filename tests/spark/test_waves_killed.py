"""What a killed driver leaves, and what two runs at once do to each other."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from support.waves import UPPER, Call, FakeTriton, define, texts

from dbt_triton.errors import DbtTritonError

_OPTIONS = {"model-name": "m", "batch-size": "16", "max-concurrent-operations": "2"}

_DRIVER = textwrap.dedent(
    """
    import json
    import sys
    from pathlib import Path
    from support.spark import spark_session
    from support.waves import UPPER, Call, define, texts

    folder, url, rows = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    with spark_session(folder) as spark:
        model = define(UPPER, {"endpoint": url} | json.loads(sys.argv[4]))
        call = Call(spark, "out", model, texts(spark, rows))
        stats = call.run(tasks=2, wave_rows=500)
        tables = [row.tableName for row in spark.sql("show tables").collect() if not row.isTemporary]
        found = call.rows()
        right = sum(row.upper == row.text.upper() for row in found)
        print("RESULT", call.known, stats.rows, len(found), right, *sorted(tables), flush=True)
    """
)


def _driver(folder: Path, url: str, rows: int) -> subprocess.Popen[str]:
    tests = Path(__file__).parents[1]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tests), str(tests.parent)])}
    environment |= {"PYSPARK_PYTHON": sys.executable}
    return subprocess.Popen(
        [sys.executable, "-c", _DRIVER, str(folder), url, str(rows), json.dumps(_OPTIONS)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )


@pytest.mark.spark_slow
def test_a_killed_run_is_resumed(tmp_path: Path) -> None:
    """After kill -9 of the driver and its JVM in mid-wave the next run pays again for the wave under way only."""

    def judge(_rows: list[str], _number: int) -> None:
        time.sleep(0.03)

    fake = FakeTriton(judge)
    with fake.serving() as url:
        with _driver(tmp_path / "spark", url, 3000) as first:
            deadline = time.monotonic() + 240
            while len(fake.answered) < 1700 and time.monotonic() < deadline and first.poll() is None:
                time.sleep(0.1)
            os.killpg(first.pid, signal.SIGKILL)
        assert len(fake.answered) >= 1700
        time.sleep(5)
        paid = len(fake.answered)
        fake.judge = lambda _rows, _n: None
        with _driver(tmp_path / "spark", url, 3000) as second:
            said, _ = second.communicate(timeout=280)
    result = next(line for line in said.splitlines() if line.startswith("RESULT")).split()
    known, sent, rows, right = map(int, result[1:5])
    assert known > 0
    assert (known + sent, rows, right) == (3000, 3000, 3000)
    assert len(fake.answered) - paid == sent
    assert paid - known <= 700
    assert result[5:] == ["out__ml_predictions"]


@pytest.mark.usefixtures("schema")
def test_two_runs_at_once(spark: Any) -> None:
    """Of two runs that begin together one fills the store, the other one says so, and no row is doubled."""

    def judge(_rows: list[str], _number: int) -> None:
        time.sleep(0.01)

    fake = FakeTriton(judge)
    ended: list[object] = []
    with fake.serving() as url:
        source = texts(spark, 1500)
        calls = [Call(spark, "out", define(UPPER, {"endpoint": url} | _OPTIONS), source) for _ in range(2)]

        def run(call: Call) -> None:
            try:
                ended.append(call.run(tasks=2))
            except DbtTritonError as error:
                ended.append(error)

        threads = [threading.Thread(target=run, args=[call]) for call in calls]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    refused = [one for one in ended if isinstance(one, DbtTritonError)]
    assert len(refused) == 1
    assert "is filling the prediction store" in str(refused[0])
    assert len(calls[0].rows()) == 1500
    assert calls[0].stored() == {"ok": 1500}
    assert len(fake.answered) == 1500
