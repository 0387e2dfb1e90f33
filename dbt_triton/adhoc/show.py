"""`dbt show` of SQL with ML_PREDICT: rows are predicted into a database in memory, and nothing is written to the file.

dbt runs one SELECT of it, on the session that the step has been given.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Mapping
from typing import Any

from dbt_triton.errors import DbtTritonError, SqlSyntaxError
from dbt_triton.foreign_text import harmless, shown
from dbt_triton.step.dry_run import reads_predictions
from dbt_triton.step.plan import Plan, make_plan
from dbt_triton.step.predict import run_plan
from dbt_triton.warehouses.duckdb.alone import ASIDE, set_aside  # noqa: TID251 - Spark has no place in memory
from dbt_triton.warehouses.duckdb.warehouse import DuckDBWarehouse  # noqa: TID251 - as above

logger = logging.getLogger("dbt_triton")

#: Whoever shows a few rows does not mean to send a table.
MOST_ROWS = 1_000


def show(args: Mapping[str, Any], session: Any) -> dict[str, str]:  # noqa: ANN401 - of dbt's adapter
    """Predict for the calls of a SELECT.

    Args:
        args: of a step: ``sql``, ``models``, ``secrets``, ``endpoint`` and ``variables``.
        session: of dbt's adapter.

    Returns:
        ``sql``, the SELECT that shows the rows; or ``error``, what is to be said.
    """
    warehouse = DuckDBWarehouse(session)
    try:
        warehouse.end_transaction()
        set_aside(warehouse)
        store = {"database": ASIDE, "schema": "main", "identifier": "predictions"}
        plan = make_plan({**args, "store": store, "meta": None}, warehouse)
        _refuse_many_rows(plan, warehouse)
        return {"sql": str(run_plan(plan, warehouse, name="dbt show", keeps=False)["build_sql"])}
    except SqlSyntaxError as error:
        return {"error": harmless(f"dbt-triton cannot read the SQL, {error}")}
    except DbtTritonError as error:
        return {"error": harmless(f"dbt-triton: {error}")}
    except Exception as error:  # noqa: BLE001 - as a step of a build has it
        logger.debug("unexpected error\n%s", harmless(traceback.format_exc()))
        return {"error": harmless(f"dbt-triton: unexpected {type(error).__name__}: {shown(error)}. This is a bug")}


def _refuse_many_rows(plan: Plan, warehouse: DuckDBWarehouse) -> None:
    """Refuse an input of many rows; that of a call which reads another's predictions is of about as many."""
    for planned in plan.calls:
        if planned.model.is_stub or reads_predictions(plan, planned):
            continue
        query = plan.operand(planned, {}).query
        counted = f"select count(*) as n from (select 1 from ({query}) limit {MOST_ROWS + 1})"
        if int(warehouse.rows(counted)[0]["n"]) > MOST_ROWS:
            raise DbtTritonError(
                f"dbt show predicts for at most {MOST_ROWS:,} rows, and the input of ML_PREDICT has more: --limit "
                "bounds what is shown, not what is sent. Write TABLE (select … limit 10), or build a model of it"
            )
