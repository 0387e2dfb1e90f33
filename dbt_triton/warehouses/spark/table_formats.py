"""Which format a table of Spark really has.

What ``using`` says is not always what is made: where the current catalog is one of Iceberg's own, every table is an
Iceberg table, and parquet is what its files are.
"""

from __future__ import annotations

from typing import Any

ICEBERG = "iceberg"
#: Formats whose partitions are dropped as such; the others delete rows.
PARTITIONED_FILES = frozenset({"parquet", "orc"})
_SESSION_CATALOG, _OF_ICEBERG = "spark.sql.catalog.spark_catalog", "org.apache.iceberg.spark.SparkSessionCatalog"


def format_of(spark: Any, relation: str) -> str | None:
    """Return the format of a table; None where there is no such table, or where Spark does not say.

    Args:
        spark: the session, classic or Connect.
        relation: its quoted name.
    """
    try:
        rows = spark.sql(f"describe table extended {relation}").collect()
    except Exception:  # noqa: BLE001 - of many kinds: there is none, or it cannot be read
        return None
    # The columns come first, and one of them may have that name.
    return next((str(row[1]).lower() for row in reversed(rows) if row[0] == "Provider"), None)


def drop_statement(spark: Any, relation: str) -> str:
    """Return the statement that drops a table with its files.

    Iceberg keeps them unless it is told; and so does its session catalog with a table of another format, where the
    next table of that name could not be made.

    Args:
        spark: the session, classic or Connect.
        relation: its quoted name.
    """
    keeps_files = spark.conf.get(_SESSION_CATALOG, "") == _OF_ICEBERG or format_of(spark, relation) == ICEBERG
    return f"drop table if exists {relation}{' purge' if keeps_files else ''}"


def files_of_partition(spark: Any, relation: str, **values: str) -> int:
    """Count the files of one partition of an Iceberg table.

    Args:
        spark: the session, classic or Connect.
        relation: its quoted name.
        values: of the partition, by the columns' names.
    """
    where = " and ".join(f"partition.{name} = '{value}'" for name, value in values.items())
    return int(spark.sql(f"select count(*) as n from {relation}.files where {where}").collect()[0].n)
