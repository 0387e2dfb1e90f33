"""What dbt runs, without dbt's start-up: the step's own entry points on a DuckDB file, and a check of what they leave.

The statements are those of macros/materializations and macros/internal.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb

from dbt_triton import __version__
from dbt_triton.engine.concurrency import MAX
from dbt_triton.step import build_inference_model, plan, predict

#: No dbt adds anything to it; ``id`` tells the rows apart.
REVIEWS = "create table reviews as select i as id, printf('review number %07d', i) as review from range({rows}) t(i)"
STORE = "classified__ml_predictions"
MODEL_SQL = """
CREATE MODEL faulty INPUT (`text` STRING) OUTPUT (`upper` STRING, `length` BIGINT, `score` DOUBLE)
WITH ({options})
"""
PREDICT_SQL = """
SELECT * FROM ML_PREDICT(TABLE "main"."reviews", MODEL "main"."faulty", DESCRIPTOR(review))
"""
#: A row is right if its outputs are the right ones and nothing is said of an error.
RIGHT = (
    "upper is not distinct from upper(review) and length is not distinct from strlen(review) "
    "and score is not distinct from strlen(review) / 2"
)
MARKED = "upper is null and length is null and score is null and ml_error is not null"

Query = Callable[[str], list[tuple[Any, ...]]]


@dataclass(frozen=True)
class Ran:
    """What one run left.

    ``error`` and ``warnings`` are what dbt would print; ``marked`` holds the reviews of rows with an ml_error.
    """

    error: str | None
    figures: dict[str, Any] = field(default_factory=dict)
    rows: int = 0
    marked: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    @property
    def right(self) -> int:
        """How many rows have the right predictions; the others are marked, which was checked."""
        return self.rows - len(self.marked)


class Pipeline:
    """A table of reviews, an inference model and a predicting model, in a DuckDB file of their own.

    Args:
        folder: where the file is.
        endpoint: of the server.
        rows: how many reviews there are, all distinct.
        options: of the inference model, over some that make faults quick to test.
    """

    def __init__(self, folder: Path, endpoint: str, rows: int, options: Mapping[str, str] | None = None) -> None:
        self.database = folder / "warehouse.duckdb"
        self.rows = rows
        chosen = {
            "provider": "triton",
            "endpoint": endpoint,
            "model-name": "faulty",
            "timeout": "20s",
            "batch-size": "32",
            "max-concurrent-operations": "4",
            "on-error": "null",
            **(options or {}),
        }
        self.batch_size = int(chosen["batch-size"])
        in_flight = chosen["max-concurrent-operations"]
        self.in_flight = (MAX if in_flight == "auto" else int(in_flight)) * self.batch_size
        pairs = ", ".join(f"'{key}' = '{value}'" for key, value in chosen.items())
        self._session = duckdb.connect(str(self.database))
        self.execute(REVIEWS.format(rows=rows))
        built = self._step(build_inference_model, sql=MODEL_SQL.format(options=pairs), meta=None)
        #: Why the inference model cannot be built; None where it is.
        self.refused: str | None = built.get("error")
        if self.refused is None:
            self.execute(f"create or replace table faulty as {built['build_sql']}")

    def close(self) -> None:
        """Close the file."""
        self._session.close()

    def execute(self, sql: str) -> list[tuple[Any, ...]]:
        """Run a statement in the session."""
        return self._session.execute(sql).fetchall()

    def put(self, place: int, text: str) -> None:
        """Replace the review of one row."""
        self.execute(f"update reviews set review = '{text}' where id = {place}")

    def run(self) -> Ran:
        """Do what the materialization does, and check everything that must be true whatever happened."""
        assert self.refused is None, self.refused
        checked = self._predicting(plan)
        assert "error" not in checked, checked
        self.execute(f"describe {checked['check_sql']}")
        result = self._predicting(predict)
        check_store(self.execute)
        if "error" in result:
            return Ran(result["error"])
        self.execute("begin")
        self.execute(f"create or replace table classified as ({result['build_sql']})")
        self.execute("commit")
        for statement in result["clean_up"]:
            self.execute(statement)
        return self._checked(result["figures"], result["warnings"])

    def kept(self) -> int:
        """Return how many predictions the store holds."""
        return int(self.execute(f"select count(*) from {STORE} where ml_error is null")[0][0])

    def _predicting(self, entry: Any) -> dict[str, Any]:
        return self._step(
            entry,
            sql=PREDICT_SQL,
            store={"database": "warehouse", "schema": "main", "identifier": STORE},
            models=[{"unique_id": "model.faults.faulty", "name": "faulty", "relations": ['"main"."faulty"']}],
            meta=None,
            full_refresh=False,
            secrets={},
        )

    def _step(self, entry: Any, **arguments: Any) -> dict[str, Any]:
        known = {"package_version": __version__, "name": "faulty", "alias": "faulty", "endpoint": None, "debug": False}
        cursor = self._session
        entry(json.dumps(known | arguments), cursor)
        result: dict[str, Any] = json.loads(self.execute("select getvariable('dbt_triton_result')")[0][0])
        assert "unexpected" not in result.get("error", ""), result["error"]
        assert "Traceback" not in result.get("error", ""), result["error"]
        return result

    def _checked(self, figures: dict[str, Any], warnings: list[str]) -> Ran:
        """Check that each input row is there once, right or marked."""
        check_table(self.execute, self.rows)
        marked = dict(self.execute("select review, ml_error from checked where ml_error <> ''"))
        return Ran(None, figures, self.rows, marked, warnings)


def check_store(query: Query) -> None:
    """Check that the store holds no prediction twice, and none that is wrong."""
    if not query(f"select 1 from duckdb_tables() where table_name = '{STORE}'"):
        return
    twice = query(f"select ml_key from {STORE} group by ml_key, ml_fingerprint having count(*) > 1")
    assert not twice, f"{len(twice)} inputs are in the store twice"
    # As a literal: with a subquery among its conditions the join compares every row with every other.
    [(salt,)] = query(f"select any_value(ml_salt)::varchar from {STORE}")
    wrong = query(
        f"select review, {STORE}.* exclude (ml_key) from reviews "
        f"join {STORE} on ml_key = md5_number('{salt}' || review) "
        f"where not (({RIGHT} and ml_error is null) or ({MARKED}))"
    )
    assert not wrong, f"{len(wrong)} wrong predictions in the store, such as {wrong[0]}"


def check_table(query: Query, rows: int) -> None:
    """Check that the final table has exactly one row for each input row, each right or marked."""
    # With on-error = fail there is no ml_error.
    query(
        "create or replace temp view checked as select * from (select null::varchar as ml_error) "
        "union all by name select * from classified limit all offset 1"
    )
    assert query("select count(*), count(distinct id) from checked") == [(rows, rows)]
    missing = query("select id, review from reviews except select id, review from checked")
    assert missing == []
    wrong = query(f"select * from checked where not (({RIGHT} and ml_error is null) or ({MARKED})) limit 3")
    assert wrong == []


@contextmanager
def meanwhile(work: Callable[[], None]) -> Generator[None, None, None]:
    """Do something in another thread; what goes wrong there goes wrong here."""
    with ThreadPoolExecutor(1, "meanwhile") as executor:
        done = executor.submit(work)
        yield
        done.result(timeout=120)


def wait_until(condition: Callable[[], bool], seconds: float = 30) -> None:
    """Wait for something that only asking again can tell."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.02)
