"""The prediction store: a table beside the model, in which predictions are kept, chunk by chunk.

A prediction is found by a hash of its inputs (``ml_key``) and the fingerprint of the inference model that made it
(``ml_fingerprint``). A failed run leaves the table for the next one; a finished run drops it after its commit, unless
``cache`` is persistent. A failed row has NULL outputs and says why: ``ml_error``, ``ml_reason``, ``ml_http_status``
(the HTTP code) and ``ml_attempts``.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Sequence

import pyarrow as pa

from dbt_triton.engine import FailedRows
from dbt_triton.errors import PERMANENT_REASONS, DbtTritonError, Reason
from dbt_triton.inference_model.model import InferenceModel
from dbt_triton.warehouses import WarehouseError
from dbt_triton.warehouses.columns import ATTEMPTS, ERROR, FINGERPRINT, HTTP_STATUS, KEY, REASON, SALT
from dbt_triton.warehouses.duckdb.dialect import checksum, quote, same_relation, table_type
from dbt_triton.warehouses.duckdb.distinct_inputs import distinct_texts, first_of_each, first_rows
from dbt_triton.warehouses.duckdb.keys import WHOLE, Part, key_expression, key_halves, key_of_halves
from dbt_triton.warehouses.duckdb.session import DuckDBSession, TableWriter

_FAILURE_COLUMNS = (
    (ERROR, "VARCHAR"),
    (REASON, "VARCHAR"),
    (HTTP_STATUS, "INTEGER"),
    (ATTEMPTS, "INTEGER"),
)
_ARROW_VIEW = "dbt_triton_chunk"
#: So many values of a row DuckDB's aggregates take along without much ado.
_FEW_VALUES = 8
#: DuckDB works on so many rows at once. Of predictions of more bytes than these they are too much.
_VECTOR_ROWS, _LARGE_PREDICTION = 2_048, 16 * 2**10
#: As a number a salt costs a quarter of what a text would; nobody can try so many.
_SALT_BITS = 64
#: A table is ours if these columns are its first and its last ones.
_FIRST = (KEY, FINGERPRINT)
_OURS = (*_FIRST, *(name for name, _ in _FAILURE_COLUMNS))


def refusal(relation: str, warehouse: DuckDBSession) -> str | None:
    """Say why a relation cannot be a prediction store: another table of that name is never touched.

    Args:
        relation: the quoted name.
        warehouse: the session.

    Returns:
        A sentence, or None where there is no such relation, or one of ours.
    """
    try:
        names = [name for name, _ in warehouse.describe(f"select * from {relation}")]
    except WarehouseError:
        return _refused(relation, "it is a view that cannot be read") if warehouse.is_view(relation) else None
    lacking = [name for name in _OURS if name not in names]
    others = [name for name in (*names[: len(_FIRST)], *names[-len(_FAILURE_COLUMNS) :]) if name not in _OURS]
    if lacking:
        why = f"it has no {', '.join(lacking)}"
    elif others:
        why = f"it has columns of its own ({', '.join(others)})"
    elif not warehouse.is_base_table(relation):
        why = "it is a view"
    else:
        return None
    return _refused(relation, why)


def _refused(relation: str, why: str) -> str:
    return (
        f"predictions are kept in {relation}, but what is there is no prediction store: {why}. Rename it, or give the "
        "predicting model another alias"
    )


class PredictionStore:
    """The store of one ML_PREDICT call.

    Args:
        relation: the quoted name of the table.
        model: whose OUTPUT columns the table has.
        fingerprint: of the inference model as it is served.
    """

    def __init__(self, relation: str, model: InferenceModel, fingerprint: str) -> None:
        self.relation = relation
        self.fingerprint = fingerprint
        self.salt = ""
        self._model = model
        self._lock = threading.Lock()

    def unlock(self, warehouse: DuckDBSession, variable: str) -> None:
        """Put the salt of this fingerprint's keys into a variable of the session; without stored keys, a new one."""
        self.salt = self.salt or self._stored_salt(warehouse) or str(secrets.randbits(_SALT_BITS))
        warehouse.set_variable(variable, self.salt)

    def _stored_salt(self, warehouse: DuckDBSession) -> str | None:
        try:
            found = warehouse.rows(
                f"select {SALT} as salt from {self.relation} where {self._ours} and {SALT} is not null limit 1"
            )
        except WarehouseError:
            return None  # there is no store yet, or one of another shape
        return str(found[0]["salt"]) if found else None

    def check_keys(self, warehouse: DuckDBSession, model: str) -> None:
        """Check that no key is there twice, since a join would then multiply rows.

        Args:
            warehouse: the session.
            model: the name of the predicting model, for the error.

        Raises:
            DbtTritonError: one is.
        """
        counted = f"select count(*) - count(distinct {KEY}) as more from {self.current}"
        if int(warehouse.rows(counted)[0]["more"]):
            raise DbtTritonError(
                f"the prediction store {self.relation} has more than one prediction for an input. Somebody else has "
                "written to it: drop it with `dbt run-operation dbt_triton.clear_predictions --args "
                f"'{{name: {model}}}'`, or by itself with `drop table {self.relation}` in DuckDB, and build again"
            )

    def prepare(self, warehouse: DuckDBSession, writer: TableWriter, *, retry_errors: bool) -> int:
        """Create the table, or keep the one that an earlier run left if its columns still fit.

        Rows that failed for a passing reason are forgotten, so that they are sent again.

        Args:
            warehouse: the session.
            writer: the cursor to write with.
            retry_errors: forget rows that failed for good, too.

        Returns:
            How many rows of this fingerprint it holds that need not be sent again.
        """
        columns = [(KEY, "UHUGEINT"), (FINGERPRINT, "VARCHAR"), (SALT, "UBIGINT")]
        columns += [(column.name, table_type(column.type)) for column in self._model.outputs]
        columns += _FAILURE_COLUMNS
        definition = ", ".join(f"{quote(name)} {kind}" for name, kind in columns)
        writer.execute(f"create table if not exists {self.relation} ({definition})")
        if warehouse.describe(f"select * from {self.relation}") != columns:
            writer.execute(f"create or replace table {self.relation} ({definition})")
            return 0
        permanent = ", ".join(f"'{reason}'" for reason in sorted(PERMANENT_REASONS))
        kept = "" if retry_errors else f" and {REASON} not in ({permanent})"
        writer.execute(f"delete from {self.relation} where {self._ours} and {ERROR} is not null{kept}")
        return int(writer.execute(f"select count(*) from {self.relation} where {self._ours}")[0][0])

    @property
    def _ours(self) -> str:
        return f"{FINGERPRINT} = '{self.fingerprint}'"

    @property
    def current(self) -> str:
        """A FROM clause with the rows of this fingerprint."""
        return f"(select * from {self.relation} where {self._ours})"

    @property
    def failed_keys(self) -> str:
        """A query for the keys of failed rows."""
        return f"select {KEY} from {self.relation} where {self._ours} and {ERROR} is not null"

    @property
    def known_halves(self) -> str:
        """A query for the halves of all keys."""
        return f"select {key_halves(KEY)} from {self.relation} where {self._ours}"

    @property
    def checksum(self) -> str:
        """The SQL of the number of rows of this fingerprint, and of a checksum of them."""
        columns = [KEY, *(quote(column.name) for column in self._model.outputs), ERROR]
        return checksum(self.current, columns)

    def comment(self, warehouse: DuckDBSession) -> str | None:
        """Return the comment of the table."""
        found = warehouse.rows(f"select comment from duckdb_tables() where {same_relation(self.relation)}")
        return found[0]["comment"] if found else None

    @property
    def forget_comment(self) -> str:
        """The statement that takes the comment away."""
        return f"comment on table {self.relation} is null"

    @property
    def forget_others(self) -> str:
        """The statement that deletes what other fingerprints have left."""
        return f"delete from {self.relation} where {FINGERPRINT} <> '{self.fingerprint}'"

    def absolve(self, writer: TableWriter) -> None:
        """Forget rows that failed in the model: a run that ended early may have blamed them for a broken model."""
        reasons = f"'{Reason.MODEL_ERROR}', '{Reason.WRONG_ANSWER}'"
        writer.execute(f"delete from {self.relation} where {self._ours} and {REASON} in ({reasons})")

    def disown(self, writer: TableWriter) -> None:
        """Forget every prediction of this fingerprint."""
        writer.execute(f"delete from {self.relation} where {self._ours}")

    def clear(self, writer: TableWriter) -> None:
        """Forget every prediction."""
        writer.execute(f"delete from {self.relation}")

    def append(self, writer: TableWriter, keys: Sequence[pa.Array], outputs: Sequence[pa.Array]) -> None:
        """Add a chunk of predictions and commit it.

        Args:
            writer: the cursor to write with.
            keys: the high and the low halves of the keys.
            outputs: one array an OUTPUT column.
        """
        names = [f"output_{position}" for position in range(len(outputs))]
        table = pa.table([*keys, *outputs], names=["high", "low", *names])
        nothing = ["null"] * len(_FAILURE_COLUMNS)
        self._insert(writer, table, [*names, *nothing])

    def append_failures(self, writer: TableWriter, failed: Sequence[FailedRows]) -> None:
        """Add failed rows and commit them."""
        pieces = [
            pa.table(
                [
                    *rows.keys,
                    *(pa.repeat(value, len(rows.keys[0])) for value in (rows.error.message, rows.error.reason.value)),
                    pa.repeat(pa.scalar(rows.error.status, pa.int32()), len(rows.keys[0])),
                    pa.repeat(pa.scalar(rows.error.attempts, pa.int32()), len(rows.keys[0])),
                ],
                names=["high", "low", *(name for name, _ in _FAILURE_COLUMNS)],
            )
            for rows in failed
        ]
        nothing = ["null"] * len(self._model.outputs)
        self._insert(writer, pa.concat_tables(pieces), [*nothing, *(name for name, _ in _FAILURE_COLUMNS)])

    def _insert(self, writer: TableWriter, table: pa.Table, values: Sequence[str]) -> None:
        constant = [f"'{self.fingerprint}'", f"{self.salt}::ubigint"]
        selected = ", ".join([key_of_halves("high", "low"), *constant, *values])
        query, filler = f"select {selected} from {_ARROW_VIEW}", _filler(table)
        if filler:
            nothing = ", ".join(["null", "''", "null", *["null"] * len(values)])
            query = f"select * from ({query}) union all select {nothing} from range({filler})"
        with self._lock:
            writer.append(f"insert into {self.relation} {query}", _ARROW_VIEW, table)
            if filler:
                writer.execute(f"delete from {self.relation} where {FINGERPRINT} = ''")

    def pending_query(  # noqa: PLR0913 - what is looked for, and where
        self,
        source: str,
        values: Sequence[str],
        key: str,
        *,
        salt: str,
        anything_known: bool,
        filled: str | None = None,
        part: Part = WHOLE,
        has_rowid: bool = True,
    ) -> str:
        """Return the query for the distinct inputs that have no prediction yet: the key's halves, then the values.

        Args:
            source: the FROM clause of the input.
            values: SQL expressions of the inputs, cast to the types of INPUT.
            key: the SQL of the key.
            salt: the SQL of its salt.
            anything_known: whether the store has rows of this fingerprint.
            filled: the SQL that is true where the key is not NULL; without it, keys are made twice.
            part: which of the inputs. Finding the distinct ones takes memory for all that are looked at.
            has_rowid: whether the input has DuckDB's own ``rowid``, and no column of that name.
        """
        within = part.condition(values)
        types = [table_type(column.type) for column in self._model.inputs]
        # A key of something else than the value is that of a value which is none of its type, and must be told so.
        if types == ["VARCHAR"] and key == key_expression(values, salt):
            return (
                self._unknown_texts(source, values[0], salt, within)
                if anything_known
                else distinct_texts(source, values[0], salt, within)
            )
        columns = ", ".join(f"{value} as value_{position}" for position, value in enumerate(values))
        firsts = ", ".join(f"any_value(value_{position})" for position in range(len(values)))
        unknown = self._unknown if anything_known else "true"
        if filled is None:
            unknown = f"pending.{KEY} is not null and {unknown}"
        else:
            within = f"{within} and {filled}"
        has_arrays = any(column.type.dims for column in self._model.inputs)
        if has_rowid and (has_arrays or len(values) > _FEW_VALUES):
            return first_rows(source, values, key, within, unknown)
        values_and_keys = f"select {key} as {KEY}, {columns} from {source} where {within}"
        if has_arrays:
            return first_of_each(values_and_keys, unknown, len(values))
        return (
            f"select {key_halves(f'pending.{KEY}')}, {firsts} from ({values_and_keys}) as pending "
            f"where {unknown} group by pending.{KEY}"
        )

    @property
    def _unknown(self) -> str:
        """The SQL that is true for a row of ``pending`` that has no prediction."""
        return (
            f"not exists (select 1 from {self.relation} as known "
            f"where known.{self._ours} and known.{KEY} = pending.{KEY})"
        )

    def _unknown_texts(self, source: str, value: str, salt: str, within: str) -> str:
        """Return the query for distinct texts without a prediction: most have one, so that is looked at first."""
        return (
            f"select {key_halves(KEY)}, value_0 from (select distinct pending.{KEY}, value_0 "
            f"from (select md5_number(encode({salt}) || encode({value})) as {KEY}, encode({value}) as value_0 "
            f"from {source} where {value} is not null and {within}) as pending where {self._unknown})"
        )


def _filler(table: pa.Table) -> int:
    """Return how many empty rows, which are deleted at once, are to follow a chunk of predictions.

    DuckDB puts lists into memory by 2,048 rows in place, at each commit that adds to them, too: without these, each
    chunk of large predictions would cost as much as all chunks before it, and the table as much memory to read.
    """
    is_large = table.nbytes > _LARGE_PREDICTION * table.num_rows
    return -table.num_rows % _VECTOR_ROWS if is_large and any(map(pa.types.is_nested, table.schema.types)) else 0
