"""The Spark session of one dbt model, classic or of Spark Connect."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, TypeVar

from dbt_triton.tensors.sql_types import SqlType
from dbt_triton.warehouses import CallRun, Given, Operand, RunContext, SampleBounds, WarehouseError
from dbt_triton.warehouses.spark.dialect import SparkDialect
from dbt_triton.warehouses.spark.features import Features
from dbt_triton.warehouses.spark.jobs import is_connect, jobs_of, node_of_arguments, tag_of
from dbt_triton.warehouses.spark.spark_words import quietly, was_cancelled, words_of
from dbt_triton.warehouses.spark.substitution import text_literal

if TYPE_CHECKING:
    import pyarrow as pa

    from dbt_triton.inference_model import Binding
    from dbt_triton.warehouses.planned_call import PlannedCall
    from dbt_triton.warehouses.run_log import RunPlace, RunTable

T = TypeVar("T")

#: The temporary view by which figures, SQL and errors reach Jinja is called this, and by its node.
RESULT_VIEW = "dbt_triton_result_"
#: The property of a table that holds what it was built of.
NOTE_PROPERTY = "dbt_triton.built_of"
#: The columns of a prediction store beside its outputs.
_OF_A_STORE = ("ml_key", "ml_error", "ml_reason", "ml_http_status", "ml_attempts", "ml_fingerprint", "ml_kind")
#: The formats of tables whose files change by a commit. Others, such as jdbc, are read from elsewhere each time.
_TABLE_FORMATS = {"parquet", "orc", "avro", "csv", "json", "text", "hive", "delta", "iceberg", "hudi", "paimon"}
_TABLES = {"MANAGED", "EXTERNAL"}
_WATCH_SECONDS = 0.2
#: Settings under which Spark reads SQL in another way than this package writes it.
_OTHER_SQL = ("spark.sql.parser.escapedStringLiterals", "spark.sql.ansi.doubleQuotedIdentifiers")


class SparkWarehouse:
    """The session of one dbt model.

    Args:
        session: a SparkSession, classic or of Spark Connect.
        arguments: of the step; ``unique_id`` is the node's.

    Raises:
        WarehouseError: the session has a setting under which it reads SQL in another way.
    """

    def __init__(self, session: Any, arguments: Mapping[str, Any]) -> None:
        self.spark = session
        self.arguments = arguments
        self.node = node_of_arguments(arguments)
        self.tag = tag_of(self.node)
        self.is_connect = is_connect(session)
        self.jobs = jobs_of(session, self.node)
        self._dialect: SparkDialect | None = None
        for setting in _OTHER_SQL:
            if str(session.conf.get(setting, "false")).lower() == "true":
                raise WarehouseError(f"dbt-triton cannot write SQL for a session with {setting}=true; set it to false")

    @property
    def system(self) -> str:
        """What kind of warehouse it is."""
        return "spark"

    @property
    def dialect(self) -> SparkDialect:
        """How Spark writes SQL."""
        if self._dialect is None:
            self._dialect = SparkDialect(self.asked(lambda: Features.of(self.spark)))
        return self._dialect

    def sql(self, text: str, arguments: Mapping[str, Any] | None = None) -> Any:
        """Run a statement, or plan a query. Returns its DataFrame.

        Spark replaces ``${…}`` in it: what is not a user's own SQL says ``$`` by `SparkDialect.text`, or comes as an
        argument, which nothing is replaced in.

        Args:
            text: the statement.
            arguments: values of its parameters, such as ``:value``.

        Raises:
            WarehouseError: Spark's own words; or the run was interrupted.
        """
        return self.asked(lambda: self.spark.sql(text, args=dict(arguments)) if arguments else self.spark.sql(text))

    def rows(self, text: str, arguments: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """Return the rows of a small query.

        Raises:
            WarehouseError: Spark's own words; or the run was interrupted.
        """
        frame = self.sql(text, arguments)
        names = frame.columns
        return [dict(zip(names, row, strict=True)) for row in self.asked(frame.collect)]

    def execute(self, text: str) -> None:
        """Run a statement."""
        self.asked(self.sql(text).collect)

    def asked(self, ask: Any) -> Any:
        """Return what a function that asks Spark for something returns.

        Raises:
            WarehouseError: Spark's own words; or the run was interrupted.
        """
        self.check()
        try:
            with quietly():
                return ask()
        except WarehouseError:
            raise
        except Exception as error:  # noqa: BLE001 - pyspark's, py4j's, grpc's and those of types, with no root in common
            raise self.error_of(error) from None

    def error_of(self, error: BaseException) -> WarehouseError:
        """Return an error of Spark's in its own words, short."""
        if self.jobs.interrupted or was_cancelled(error):
            return WarehouseError("the run was interrupted")
        return WarehouseError(words_of(error))

    def check(self) -> None:
        """Raise WarehouseError where the run was interrupted."""
        if self.jobs.interrupted:
            raise WarehouseError("the run was interrupted")

    def end_transaction(self) -> None:
        """Spark has no transactions."""

    def set_result(self, result: Mapping[str, Any]) -> None:
        """Leave a result for Jinja: a temporary view with one column, ``result``, and one row of JSON.

        It is left also where the run was interrupted, for that is an error that Jinja is to raise.
        """
        written = json.dumps(result)
        try:
            frame = self.spark.sql("select :result as result", args={"result": written})
            frame.createOrReplaceTempView(RESULT_VIEW + self.node)
        except Exception as error:  # noqa: BLE001 - as above
            raise self.error_of(error) from None

    def describe(self, query: str) -> list[tuple[str, str]]:
        """Return the columns of a query and their types, without running it."""
        fields = self.asked(lambda: self.spark.sql(query).schema.fields)
        return [(field.name, field.dataType.simpleString()) for field in fields]

    def first_rows(self, relation: str, limit: int) -> list[dict[str, Any]]:
        """Return the first rows of a relation."""
        return self.rows(f"select * from {relation} limit {limit}")

    def is_table(self, relation: Sequence[str]) -> bool:
        """Tell whether a relation is a table of files, which changes by a commit only.

        A view is not, nor a table that is read from elsewhere each time, such as one of jdbc.
        """
        kind, provider = self._kind(".".join("`" + part.replace("`", "``") + "`" for part in relation))
        return kind in _TABLES and provider in _TABLE_FORMATS

    def holds(self, text: str, kind: SqlType) -> bool:
        """Tell whether a text is exactly a value of a type."""
        return self.rows(self.dialect.holds(text, kind))[0]["holds"] is True

    def refused_store(self, relation: str) -> str | None:
        """Say why a quoted relation cannot be a prediction store; None where it can."""
        kind, _ = self._kind(relation)
        if kind is None:
            return None
        if kind not in _TABLES:
            return _refused(relation, "it is a view")
        names = {name.lower() for name, _ in self.describe(f"select * from {relation}")}
        lacking = [name for name in _OF_A_STORE if name not in names]
        return _refused(relation, f"it has no {', '.join(lacking)}") if lacking else None

    def spare_memory(self) -> bool:
        """Leave memory to Spark, which its own settings bound."""
        return False

    def use_memory(self) -> None:
        """Undo nothing."""

    def unless_interrupted(self, asking: Coroutine[None, None, T]) -> T:
        """Await something on an event loop of its own, and notice Ctrl-C meanwhile.

        Raises:
            WarehouseError: the session was interrupted.
        """

        async def ask() -> T:
            asked = asyncio.ensure_future(asking)
            while not (await asyncio.wait([asked], timeout=_WATCH_SECONDS))[0]:
                self.check()  # what it raises ends the loop, which cancels what is asked
            return asked.result()

        return asyncio.run(ask())

    def call(self, planned: PlannedCall, operand: Operand, context: RunContext) -> CallRun:
        """Begin to carry out a call."""
        from dbt_triton.warehouses.spark.call import SparkCall

        run: CallRun = SparkCall(self, planned, operand, context)
        return run

    def count(
        self, planned: PlannedCall, operand: Operand, binding: Binding, *, full_refresh: bool
    ) -> Mapping[str, int]:
        """Count what a call would send, without sending it: the figures of a dry run by their names."""
        from dbt_triton.warehouses.spark.count import count

        counted: Mapping[str, int] = count(self, planned, operand, binding, full_refresh=full_refresh)
        return counted

    def sample(self, planned: PlannedCall, operand: Operand, bounds: SampleBounds) -> list[pa.RecordBatch]:  # noqa: ARG002
        """Refuse: the requests of a run on Spark come from its executors, whose part a driver alone cannot play."""
        raise WarehouseError("dbt-triton tune works on DuckDB only so far; on Spark, try options on runs with 'sample'")

    def given(self, table: Any, model: Any) -> AbstractContextManager[Given]:
        """Take what a dbt Python model passes: DataFrames, of Spark or of pandas, Arrow tables and SELECTs."""
        from dbt_triton.warehouses.spark.python_model import given_to

        given: AbstractContextManager[Given] = given_to(self, table, model)
        return given

    def take_note(self, note: str, relation: str) -> None:
        """Keep what a table was built of in its properties; where it cannot be kept, the next run builds."""
        try:
            self.sql(f"alter table {relation} set tblproperties ({text_literal(NOTE_PROPERTY)} = {text_literal(note)})")
        except WarehouseError:
            self.check()

    def run_table(self, place: RunPlace) -> RunTable:
        """Return the table of the run log."""
        from dbt_triton.warehouses.spark.run_table import SparkRunTable

        return SparkRunTable(self, place)

    def _kind(self, relation: str) -> tuple[str | None, str]:
        """Return MANAGED, EXTERNAL, VIEW or TEMPORARY, None where there is no such relation, and the format."""
        try:
            found = self.asked(lambda: self.spark.catalog.getTable(relation))
        except WarehouseError:
            self.check()
            return None, ""
        if str(found.tableType) not in _TABLES:
            return str(found.tableType), ""
        described = self.rows(f"describe table extended {relation}")
        details = {str(row["col_name"]): str(row["data_type"]) for row in described}
        return str(found.tableType), details.get("Provider", "").lower()


def _refused(relation: str, why: str) -> str:
    return (
        f"predictions are kept in {relation}, but what is there is no prediction store: {why}. Rename it, or give the "
        "predicting model another alias"
    )
