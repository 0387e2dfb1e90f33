"""The prediction store on Spark: a table beside the model, partitioned by the fingerprint and the kind of its rows.

Rows are only ever added, and forgotten by whole partitions: that is all that every table format of Spark can do. A key
is 16 bytes of SHA-256 over a row's inputs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Protocol

from dbt_triton.errors import DbtTritonError
from dbt_triton.inference_model import InferenceModel
from dbt_triton.tensors.sql_types import SqlType
from dbt_triton.warehouses.columns import ERROR, FINGERPRINT, KEY, KIND
from dbt_triton.warehouses.spark.run_names import RunName
from dbt_triton.warehouses.spark.store_checks import refusal
from dbt_triton.warehouses.spark.store_columns import FAILURES, FIGURES, OK, PASSING, PERMANENT
from dbt_triton.warehouses.spark.table_formats import (
    ICEBERG,
    PARTITIONED_FILES,
    drop_statement,
    files_of_partition,
    format_of,
)

#: The condition of a row that failed.
IS_FAILED = f"{KIND} in ('{PERMANENT}', '{PASSING}')"
_OVERWRITE_MODE = "spark.sql.sources.partitionOverwriteMode"
#: What stands behind the store's name in those of tables that a run makes beside it.
_PENDING, _LOCK = "__pending_", "__lock"


class SparkTypes(Protocol):
    """What the store needs of the dialect."""

    def quote(self, identifier: str) -> str:
        """Quote an identifier."""
        ...

    def type_name(self, kind: SqlType) -> str:
        """Name the type that tables have for a declared one."""
        ...


class SparkStore:
    """The store of one ML_PREDICT call.

    Args:
        spark: the session, classic or Connect.
        relation: the parts of the table's name: ``(schema, name)``, or with a catalog before them.
        model: whose OUTPUT columns the table has.
        dialect: how names and types are written.
        fingerprint: of the inference model as it is served.
        file_format: of the table, as it is made. Which one it has then, the table itself says.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - what a table is made of
        self,
        spark: Any,
        relation: Sequence[str],
        model: InferenceModel,
        dialect: SparkTypes,
        fingerprint: str,
        file_format: str = "parquet",
    ) -> None:
        self.relation = ".".join(map(dialect.quote, relation))
        self.fingerprint = fingerprint
        self.model = model
        self.file_format = file_format
        self.has_doubles = True
        self._format: str | None = None
        self._spark = spark
        self._parts = list(relation)
        self._dialect = dialect

    @property
    def columns(self) -> list[tuple[str, str]]:
        """The columns and their types, with the quoted names of those of OUTPUT."""
        outputs = [
            (self._dialect.quote(column.name), self._dialect.type_name(column.type.in_tables))
            for column in self.model.outputs
        ]
        return [(KEY, "BINARY"), *outputs, *FAILURES, (FINGERPRINT, "STRING"), (KIND, "STRING")]

    @property
    def schema(self) -> str:
        """The columns as a schema."""
        return ", ".join(f"{name} {kind}" for name, kind in self.columns)

    def beside(self, suffix: str) -> str:
        """Quote the name of a table beside the store."""
        return ".".join(map(self._dialect.quote, [*self._parts[:-1], f"{self._parts[-1]}{suffix}"]))

    def pending_table(self, run: RunName) -> str:
        """Quote the name of the table in which the inputs of a run wait for their wave."""
        return self.beside(f"{_PENDING}{run}")

    def input_table(self, run: RunName) -> str:
        """Quote the name of the table in which the input of a run waits, where it could not be read twice."""
        return self.beside(f"{_PENDING}input_{run}")

    @property
    def lock_table(self) -> str:
        """The quoted name of the table whose being there says that a run fills the store."""
        return self.beside(_LOCK)

    def refusal(self) -> str | None:
        """Say why the relation cannot be a prediction store: another table of that name is never touched."""
        return refusal(self._spark, self.relation, self.file_format)

    @property
    def exists(self) -> bool:
        """Whether there is a relation of the name."""
        return bool(self._spark.catalog.tableExists(self.relation))

    def prepare(self, *, retry_errors: bool, start_anew: bool = False) -> int:
        """Create the table, or keep the one that an earlier run left if its columns still fit.

        Rows that failed for a passing reason are forgotten, so that they are sent again, and what killed runs left.

        Args:
            retry_errors: forget rows that failed for good, too.
            start_anew: forget every prediction.

        Returns:
            How many rows of this fingerprint it holds that need not be sent again.

        Raises:
            DbtTritonError: the relation is something else.
        """
        why = self.refusal()
        if why is not None:
            raise DbtTritonError(why)
        self._drop_leftovers()
        if self.exists and (start_anew or not self._fits):
            self._run(self.drop)
            self._format = None
        if not self.exists:
            self._create()
            self.has_doubles = False
            return 0
        # A session keeps in mind which files there were; another one may have replaced or removed them since.
        self._spark.catalog.refreshTable(self.relation)
        forgotten = [PASSING, *([PERMANENT] if retry_errors else [])]
        for fingerprint, kind in self.partitions():
            run = RunName.within(kind) if kind.startswith(FIGURES) else None
            is_ours = fingerprint == self.fingerprint and kind in forgotten
            if is_ours or (run is not None and run.is_dead):
                self._forget(fingerprint, kind)
        known = int(self._spark.sql(f"select count(*) as n from {self.relation} where {self._kept}").collect()[0].n)
        self.has_doubles = known > 0
        return known

    @property
    def _fits(self) -> bool:
        """Whether the table has our columns: outputs may have been declared anew."""
        wanted = self._spark.createDataFrame([], self.schema).schema
        found = self._spark.table(self.relation).schema
        return [(column.name, column.dataType) for column in found] == [
            (column.name, column.dataType) for column in wanted
        ]

    def _create(self) -> None:
        create = (
            f"create table {self.relation} ({self.schema}) using {self.file_format} "
            f"partitioned by ({FINGERPRINT}, {KIND})"
        )
        try:
            self._run(create)
        except Exception as error:
            if "LOCATION_ALREADY_EXISTS" not in str(error):
                raise
            # A driver that was killed while the table was dropped, or made, leaves files that no table has.
            raise DbtTritonError(
                f"the folder of {self.relation} is there although no such table is: an earlier run was killed, or "
                f"somebody else's files are there. Remove the folder, and build again. Spark says: "
                f"{str(error).splitlines()[0][:300]}"
            ) from error

    def _drop_leftovers(self) -> None:
        """Drop the tables that killed runs have left beside the store."""
        schema = ".".join(map(self._dialect.quote, self._parts[:-1]))
        within = f" in {schema}" if schema else ""
        pattern = f"{self._parts[-1]}{_PENDING}*".lower()
        for row in self._spark.sql(f"show tables{within} like '{_like(pattern)}'").collect():
            run = RunName.within(row.tableName)
            if run is not None and run.is_dead:
                with suppress(Exception):  # another run drops it as well
                    name = ".".join(filter(None, [schema, self._dialect.quote(row.tableName)]))
                    self._run(drop_statement(self._spark, name))

    @property
    def real_format(self) -> str:
        """The format that the table has, once it is there."""
        if self._format is None:
            self._format = format_of(self._spark, self.relation)
        return self._format or self.file_format

    def partitions(self) -> list[tuple[str, str]]:
        """Return the fingerprint and the kind of each partition."""
        if self.real_format not in PARTITIONED_FILES:
            query = f"select distinct {FINGERPRINT}, {KIND} from {self.relation}"
            return [(row[0], row[1]) for row in self._spark.sql(query).collect()]
        found = []
        for row in self._spark.sql(f"show partitions {self.relation}").collect():
            values = dict(part.split("=", 1) for part in row[0].split("/"))
            found.append((values[FINGERPRINT], values[KIND]))
        return found

    def _forget(self, fingerprint: str, kind: str) -> None:
        self._run(self._forgetting(fingerprint, kind))

    def _forgetting(self, fingerprint: str, kind: str) -> str:
        if self.real_format in PARTITIONED_FILES:
            partition = f"{FINGERPRINT} = '{fingerprint}', {KIND} = '{kind}'"
            return f"alter table {self.relation} drop if exists partition ({partition})"
        return f"delete from {self.relation} where {FINGERPRINT} = '{fingerprint}' and {KIND} = '{kind}'"

    @property
    def _ours(self) -> str:
        return f"{FINGERPRINT} = '{self.fingerprint}' and {KIND} in ('{OK}', '{PERMANENT}', '{PASSING}')"

    @property
    def _kept(self) -> str:
        return f"{FINGERPRINT} = '{self.fingerprint}' and {KIND} in ('{OK}', '{PERMANENT}')"

    @property
    def current(self) -> str:
        """A FROM clause with one row for each key of this fingerprint.

        Where it is not known that no key is there twice, one of its rows is chosen, always the same: a prediction
        before a failure. The aggregate costs little in a join by the key, which needs the same order of rows.
        """
        names = [name for name, _ in self.columns[1:-2]]
        if not self.has_doubles:
            return f"(select {KEY}, {', '.join(names)} from {self.relation} where {self._ours})"
        firsts = ", ".join(f"first.{name}" for name in names)
        order = f"struct({KIND}, xxhash64({', '.join(names)}))"  # "ok" comes first
        return (
            f"(select {KEY}, {firsts} from (select {KEY}, min_by(struct({', '.join(names)}), {order}) as first "
            f"from {self.relation} where {self._ours} group by {KEY}))"
        )

    @property
    def failed_keys(self) -> str:
        """A query for the keys of failed rows."""
        if self.has_doubles:
            return f"select {KEY} from {self.current} where {ERROR} is not null"
        return f"select {KEY} from {self.relation} where {self._ours} and {KIND} <> '{OK}'"

    @property
    def known_keys(self) -> str:
        """A query for the keys that need not be sent again."""
        return f"select {KEY} from {self.relation} where {self._kept}"

    def keys_to_keep(self, *, retry_errors: bool) -> str | None:
        """Return a query for the keys that `prepare` would keep; None where there is no such store."""
        if not self.exists or self.refusal() is not None or not self._fits:
            return None
        kinds = f"{KIND} = '{OK}'" if retry_errors else f"{KIND} in ('{OK}', '{PERMANENT}')"
        return f"select {KEY} from {self.relation} where {FINGERPRINT} = '{self.fingerprint}' and {kinds}"

    def pending_query(self, source: str, values: Sequence[str], key: str, *, anything_known: bool) -> str:
        """Return the query for the distinct inputs that have no prediction yet: the key, then the values.

        Args:
            source: the FROM clause of the input.
            values: SQL expressions of what is sent, cast to the types of INPUT.
            key: the SQL of the key; NULL for a row that is not sent.
            anything_known: whether the store has rows of this fingerprint.
        """
        columns = "".join(f", {value} as value_{place}" for place, value in enumerate(values))
        firsts = "".join(f", first(value_{place}) as value_{place}" for place in range(len(values)))
        distinct = (
            f"select {KEY}{firsts} from (select {key} as {KEY}{columns} from {source}) "
            f"where {KEY} is not null group by {KEY}"
        )
        if not anything_known:
            return distinct
        return f"select * from ({distinct}) as pending left anti join ({self.known_keys}) as known using ({KEY})"

    def check_keys(self, name: str) -> None:
        """Check that no key has two predictions that differ; where no key is there twice, joins are cheaper.

        Args:
            name: of the predicting model, for the error.

        Raises:
            DbtTritonError: one has.
        """
        if not self.has_doubles:
            return
        names = ", ".join(column for column, _ in self.columns[1:-2])
        found = self._spark.sql(
            f"select count(*) as doubles, count_if(answers > 1) as different from (select count(*) as found, "
            f"count(distinct case when {KIND} = '{OK}' then xxhash64({names}) end) as answers from {self.relation} "
            f"where {self._ours} group by {KEY}) where found > 1"
        ).collect()[0]
        self.has_doubles = bool(found.doubles)
        if found.different:
            raise DbtTritonError(
                f"the prediction store {self.relation} has more than one prediction for an input, and they differ. "
                "Somebody else has written to it: drop it with `dbt run-operation dbt_triton.clear_predictions --args "
                f"'{{name: {name}}}'`, or by itself with `drop table {self.relation}`, and build again"
            )

    def figures(self, run: RunName) -> list[str]:
        """Return what the tasks of a wave have said, and forget it."""
        kind = f"{FIGURES}_{run}"
        rows = self._spark.sql(
            f"select {ERROR} as said from {self.relation} where {FINGERPRINT} = '{self.fingerprint}' "
            f"and {KIND} = '{kind}'"
        ).collect()
        if rows:
            self._forget(self.fingerprint, kind)
        return [row.said for row in rows]

    def absolve(self) -> None:
        """Forget rows that failed: a run that ended early may have blamed them for a broken model."""
        self._forget(self.fingerprint, PERMANENT)

    def disown(self) -> None:
        """Forget every prediction of this fingerprint."""
        for fingerprint, kind in self.partitions():
            if fingerprint == self.fingerprint:
                self._forget(fingerprint, kind)

    def forget_others(self) -> list[str]:
        """Return the statements that forget what other fingerprints have left, and what runs have counted."""
        return [
            self._forgetting(fingerprint, kind)
            for fingerprint, kind in self.partitions()
            if fingerprint != self.fingerprint or kind.startswith(FIGURES)
        ]

    @property
    def drop(self) -> str:
        """The statement that drops the table."""
        return drop_statement(self._spark, self.relation)

    def compact(self, *, files: int = 1, more_than: int = 8) -> None:
        """Write the predictions of this fingerprint into a few files, where waves have made many.

        The files of a partition are replaced when the new ones are written. For a store that is kept.

        Args:
            files: how many are made.
            more_than: so many may be there.
        """
        if self._files <= more_than:
            return
        # Only a setting of the session lets Spark replace a partition by what is read from it, when all is written; as
        # an option of the writer it is not heeded, and every other partition would be gone. Others use this session.
        apart = self._spark.newSession()
        apart.conf.set(_OVERWRITE_MODE, "dynamic")
        names = ", ".join(name for name, _ in self.columns)
        apart.sql(
            f"insert overwrite table {self.relation} select /*+ repartition({files}) */ {names} from {self.relation} "
            f"where {FINGERPRINT} = '{self.fingerprint}' and {KIND} = '{OK}'"
        ).collect()
        self._spark.catalog.refreshTable(self.relation)

    @property
    def _files(self) -> int:
        """How many files the predictions of this fingerprint have; 0 where the format does not tell."""
        if self.real_format == ICEBERG:
            return files_of_partition(self._spark, self.relation, **{FINGERPRINT: self.fingerprint, KIND: OK})
        if self.real_format not in PARTITIONED_FILES:
            return 0
        ours = f"{FINGERPRINT} = '{self.fingerprint}' and {KIND} = '{OK}'"
        return len(self._spark.sql(f"select * from {self.relation} where {ours}").inputFiles())

    def _run(self, statement: str) -> None:
        self._spark.sql(statement).collect()


def _like(text: str) -> str:
    """Escape a name for the patterns of SHOW TABLES, where only ``*`` and ``|`` are not themselves."""
    return text.replace("\\", "\\\\").replace("'", "\\'")


def table_properties(properties: Mapping[str, str]) -> str:
    """Write the properties of a table."""
    return ", ".join(f"'{name}' = '{value}'" for name, value in properties.items())
