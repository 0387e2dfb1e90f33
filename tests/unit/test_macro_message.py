"""The line of the console after a predicting model."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from support.jinja_macros import Macros

MACROS = Macros("internal/message.sql")
REST = ", 0 retries, 1.2 s"


def _message(built: int, *, is_unchanged: bool = False, **figures: int | None) -> str:
    none = {"rows": built, "requests": 0, "retries": 0, "seconds": 1.25, "rows_failed": 0, "rows_reused": 0}
    return str(MACROS.predicted_message(SimpleNamespace(**none | figures), built, is_unchanged))


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (_message(2_003, requests=34), "ML_PREDICT 2,003 rows, 34 requests, 0 retries, 1.2 s"),
        (_message(1, requests=1, retries=1), "ML_PREDICT 1 row, 1 request, 1 retry, 1.2 s"),
        (_message(1, rows=600_000, requests=2_344), "ML_PREDICT 600,000 rows, 2,344 requests" + REST + ", 1 row built"),
        (_message(4, rows=None), "ML_PREDICT 4 rows, 0 requests, 0 retries, 1.2 s"),
        (_message(0, rows=3, requests=1), "ML_PREDICT 3 rows, 1 request, 0 retries, 1.2 s, 0 rows built"),
        (
            _message(3, rows_failed=1, rows_reused=1),
            "ML_PREDICT 3 rows, 0 requests" + REST + ", 1 row failed, 1 row reused",
        ),
        (_message(3, rows_reused=3, is_unchanged=True), "ML_PREDICT 3 rows, 0 requests, 0 retries, 1.2 s, nothing new"),
    ],
)  # fmt: skip
def test_rows_are_those_of_the_input(said: str, message: str) -> None:
    """Rows beside requests are those of the input; those of the table are said where they are more or fewer."""
    assert said == message
