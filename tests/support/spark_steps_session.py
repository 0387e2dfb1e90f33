"""The two materializations on a Spark session, as their macros run them, without a dbt command of several seconds."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from typing import Any

from sqlglot import exp

from dbt_triton.warehouses.spark.jobs import node_of
from support.session import Rows, Steps
from support.spark_words import parse, spark_words

_NUMBERS = itertools.count(1)


class SparkSteps(Steps):
    """A schema of a Spark session; tables without a schema are in the session's own.

    Args:
        spark: the session.
        schema: of the tables.
    """

    warehouse = "spark"

    def __init__(self, spark: Any, schema: str) -> None:
        super().__init__(schema)
        self.spark = spark

    @property
    def session(self) -> Any:
        """The Spark session."""
        return self.spark

    def query(self, text: str) -> str:
        """Return DuckDB's SQL in Spark's words."""
        return spark_words(parse(text))

    def run(self, statement: str) -> Rows:
        """Run a statement and return its rows."""
        return [tuple(row) for row in self.spark.sql(statement).collect()]

    def sql(self, text: str) -> Rows:
        """Run a statement in DuckDB's SQL and return its rows; Spark's tables are changed by making them anew."""
        statement = parse(text)
        if isinstance(statement, exp.Create) and statement.kind == "TABLE" and statement.expression is not None:
            assert statement.args.get("replace") or not self.spark.catalog.tableExists(statement.this.name)
            self.replace(statement.this.name, spark_words(statement.expression))
            return []
        if isinstance(statement, exp.Create) and statement.kind == "TABLE":
            return self.run(f"{spark_words(statement)} using parquet")
        if isinstance(statement, exp.Update | exp.Delete):
            self._change(statement)
            return []
        return self.run(spark_words(statement))

    def columns(self, relation: str) -> dict[str, str]:
        """Return the columns of a table or a view with their types."""
        fields = self.spark.table(relation).schema.fields
        return {field.name: field.dataType.simpleString() for field in fields}

    def without(self, *columns: str) -> str:
        """Return all columns but those, for a SELECT."""
        return f"* except ({', '.join(columns)})"

    def ordered(self, rows: Rows) -> Rows:
        """Return rows in the order of their first column."""
        return sorted(rows, key=lambda row: (row[0] is None, row[0]))

    def read(self, rows: Sequence[tuple[Any, ...]]) -> Rows:
        """Return expected rows as they are read: fixed arrays are lists."""
        return [tuple(_lists(value) for value in row) for row in rows]

    def replace(self, name: str, query: str) -> None:
        """Make a table of the rows of a query, whatever is there."""
        staged = f"{name}__staged_{next(_NUMBERS)}"
        self.run(f"create table {staged} using parquet as {query}")
        self.run(f"drop table if exists {name}")
        self.run(f"alter table {staged} rename to {name}")

    def take_result(self, unique_id: str) -> dict[str, Any]:
        """Return what a step left for dbt."""
        view = f"dbt_triton_result_{node_of(unique_id)}"
        result: dict[str, Any] = json.loads(self.run(f"select result from {view}")[0][0])
        self.spark.catalog.dropTempView(view)
        return result

    def _change(self, statement: exp.Update | exp.Delete) -> None:
        """Do what parquet tables cannot: change rows, or delete some."""
        name = statement.this.name
        where = statement.args.get("where")
        chosen = f"coalesce({spark_words(where.this)}, false)" if where is not None else "true"
        if isinstance(statement, exp.Delete):
            self.replace(name, f"select * from {name} where not {chosen}")
            return
        new = {one.this.name: spark_words(one.expression) for one in statement.expressions}
        changed = [
            f"cast(if({chosen}, {new[column]}, {column}) as {kind}) as {column}" if column in new else column
            for column, kind in self.columns(name).items()
        ]
        self.replace(name, f"select {', '.join(changed)} from {name}")


def _lists(value: Any) -> Any:
    return [_lists(one) for one in value] if isinstance(value, tuple | list) else value
