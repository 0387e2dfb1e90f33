"""The columns of a prediction store that only Spark's has, and the kinds of its rows."""

from __future__ import annotations

from dbt_triton.warehouses.columns import ATTEMPTS, ERROR, HTTP_STATUS, REASON

FAILURES = ((ERROR, "STRING"), (REASON, "STRING"), (HTTP_STATUS, "INT"), (ATTEMPTS, "INT"))

#: A prediction.
OK = "ok"
#: A row that would fail again.
PERMANENT = "permanent"
#: A row that failed for a passing reason.
PASSING = "passing"
#: What the tasks of one run have counted; the name of the run follows.
FIGURES = "figures"
