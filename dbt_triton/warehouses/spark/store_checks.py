"""Whether what stands under the name of a prediction store is one: a table of somebody else's is never touched."""

from __future__ import annotations

from typing import Any

from dbt_triton.warehouses.columns import FINGERPRINT, KEY, KIND
from dbt_triton.warehouses.spark.store_columns import FAILURES
from dbt_triton.warehouses.spark.table_formats import PARTITIONED_FILES, format_of

_LAST = (*(name for name, _ in FAILURES), FINGERPRINT, KIND)
_OURS = (KEY, *_LAST)
_MANAGED_PARTITIONS = "spark.sql.hive.manageFilesourcePartitions"
_NO_PARTITIONS = (
    f"predictions are kept in a table with partitions, and with {_MANAGED_PARTITIONS}=false Spark drops none; set it "
    "to true for this session"
)


def refusal(spark: Any, relation: str, file_format: str) -> str | None:
    """Say why a relation cannot be a prediction store; None where it can, or where there is none.

    Args:
        spark: the session, classic or Connect.
        relation: the quoted name.
        file_format: in which the store would be made.
    """
    if file_format in PARTITIONED_FILES and str(spark.conf.get(_MANAGED_PARTITIONS, "true")).lower() == "false":
        return _NO_PARTITIONS
    if not spark.catalog.tableExists(relation):
        return None
    why = _unlike(spark, relation)
    if why is None:
        return None
    return (
        f"predictions are kept in {relation}, but what is there is no prediction store: {why}. Rename it, or give the "
        "predicting model another alias"
    )


def _unlike(spark: Any, relation: str) -> str | None:
    """Say what a store has, or has not, and the relation has otherwise."""
    try:
        names = spark.table(relation).columns
    except Exception as error:  # noqa: BLE001 - of many kinds: a view over a table that is gone, lost files
        return f"it cannot be read ({str(error).splitlines()[0][:200]})"
    lacking = [name for name in _OURS if name not in names]
    others = [name for name in (*names[:1], *names[-len(_LAST) :]) if name not in _OURS]
    if lacking:
        return f"it has no {', '.join(lacking)}"
    if others:
        return f"it has columns of its own ({', '.join(others)})"
    rows = spark.sql(f"describe table extended {relation}").collect()
    if any(row[0] == "Type" and row[1] == "VIEW" for row in rows):
        return "it is a view"
    if format_of(spark, relation) not in PARTITIONED_FILES:
        return None
    partitions = [column.name for column in spark.catalog.listColumns(relation) if column.isPartition]
    return None if partitions == [FINGERPRINT, KIND] else f"it is not partitioned by {FINGERPRINT} and {KIND}"
