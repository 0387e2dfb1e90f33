"""The plan of a predicting model: everything that can be known, and go wrong, before a row is sent."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dbt_triton.credentials import SECRET_KEYS, is_masked
from dbt_triton.ddl import Call, Statement, parse_create_model, parse_ml_predict
from dbt_triton.ddl.calls import Span
from dbt_triton.ddl.tokens import Tokens
from dbt_triton.errors import ConfigurationError, DbtTritonError
from dbt_triton.flink_options import translated
from dbt_triton.inference_model import InferenceModel, model_from_row
from dbt_triton.inference_model.by_column import column_problems
from dbt_triton.inference_model.input_columns import sent_as_nan
from dbt_triton.inference_model.model import TypedColumn
from dbt_triton.inference_model.served_columns import GivenColumn
from dbt_triton.inference_model.served_schema import for_descriptor
from dbt_triton.options import STUB_PREFIX
from dbt_triton.warehouses import Value, WarehouseError
from dbt_triton.warehouses.columns import ERROR
from dbt_triton.warehouses.duckdb.dialect import literal, quote, table_type
from dbt_triton.warehouses.duckdb.session import DuckDBWarehouse
from dbt_triton.warehouses.duckdb.source_types import parse_source_type
from dbt_triton.warehouses.duckdb.store import refusal
from dbt_triton.warehouses.duckdb.stub import stub_values
from dbt_triton.warehouses.duckdb.values import value_of
from dbt_triton.warehouses.planned_call import PlannedCall, output_names
from dbt_triton.warehouses.sequence_order import read_term, sequence_key

_WRITE_REF = "write MODEL {{ ref('…') }}, of a model with materialized='inference_model'"


@dataclass(frozen=True)
class Plan:
    """A statement with its planned calls, those that others depend on first."""

    statement: Statement
    calls: tuple[PlannedCall, ...]
    check_sql: str
    needs_secrets: list[str]


@dataclass(frozen=True)
class _Node:
    """An inference model in dbt's graph, as Jinja passes it."""

    unique_id: str
    name: str
    relations: tuple[str, ...]


def make_plan(args: Mapping[str, Any], warehouse: DuckDBWarehouse) -> Plan:
    """Resolve every call of a predicting model.

    Raises:
        SqlSyntaxError: a call does not follow the grammar.
        ConfigurationError: with every problem of every call.
    """
    statement = parse_ml_predict(str(args["sql"]))
    options_of_meta(args)
    if not statement.calls:
        raise DbtTritonError(
            "it is materialized as ml_predict, but its SQL has no ML_PREDICT(TABLE …, MODEL …, DESCRIPTOR(…))"
        )
    planner = _Planner(args, warehouse, statement)
    for number, call in enumerate(statement.calls, start=1):
        planner.add(call, number)
    if planner.problems:
        raise ConfigurationError(planner.problems, "ML_PREDICT")
    return Plan(statement, tuple(planner.calls), statement.render(planner.check_forms), sorted(planner.needs_secrets))


class _Planner:
    """Collects planned calls, and the problems of all of them."""

    def __init__(self, args: Mapping[str, Any], warehouse: DuckDBWarehouse, statement: Statement) -> None:
        self.problems: list[str] = []
        self.calls: list[PlannedCall] = []
        self.check_forms: dict[Span, str] = {}
        self.needs_secrets: set[str] = set()
        self._args = args
        self._warehouse = warehouse
        self._statement = statement
        self._nodes = [_Node(n["unique_id"], n["name"], tuple(n["relations"])) for n in args["models"]]

    def add(self, call: Call, number: int) -> None:
        """Plan one call; what is wrong with it goes to the problems."""
        where = f"line {call.line}"
        try:
            model = self._model(call)
        except ConfigurationError as error:
            self.problems += [f"{where}, {error.subject}: {problem}" for problem in error.problems]
            model = None
        source = self._statement.input_query(call, self.check_forms)
        try:
            columns = self._warehouse.describe(source)
        except WarehouseError as error:
            # Later calls may read this one; what they would say is only a consequence.
            self.problems.append(f"{where}: the input cannot be read: {error}")
            raise ConfigurationError(self.problems, "ML_PREDICT") from error
        if model is None:
            raise ConfigurationError(self.problems, "ML_PREDICT")
        names = [name for name, _ in columns]
        types = dict(columns)
        chosen = [self._column(column, names, where) for column in call.descriptor]
        model = self._with_inputs(model, chosen, types, where)
        values = self._values(chosen, types, model, where)
        added = [column.name for column in model.outputs]
        routed = model.options.on_error == "null"
        outputs = output_names(names, [*added, ERROR] if routed else added)
        self._check_values(model, where)
        store = self._store(number)
        refused = None if model.is_stub else refusal(store, self._warehouse)
        if refused is not None:
            self.problems.append(f"{where}: {refused}")
        nan_values = self._nan_values(chosen, types, model)
        planned = PlannedCall(
            call=call,
            model=model,
            columns=names,
            values=[value.sql for value in values],
            key_values=[value.key for value in values],
            given=[f"{quote(name)} is not null" for name in chosen],
            wide=tuple(value.wide for value in values),
            output_names=outputs[: len(added)],
            error_name=outputs[-1] if routed else None,
            # The first rows of a table are not the same however often it is read.
            is_table=call.relation is not None
            and model.options.sample is None
            and self._warehouse.is_table(call.relation),
            store=store,
            salt_variable=f"dbt_triton_salt_{number}",
            sequence_by=tuple(
                sequence_key(name, types.get(name, ""))
                for name, _ in self._terms("sequence-by", model.options.sequence_by, names, where)
            ),
            order_by=tuple(
                f"{quote(name)} {direction}"
                for name, direction in self._terms("order-by", model.options.order_by, names, where)
            ),
            nan_values=nan_values,
        )
        if model.is_stub:
            planned = planned.with_nan(nan_values)
        self.calls.append(planned)
        # In its place it sees the CTEs; with them in it, one call behind another would double its text each time.
        self.check_forms[call.span] = planned.check_form(self._statement.operand_query(call, self.check_forms))

    def _values(
        self, chosen: Sequence[str], types: Mapping[str, str], model: InferenceModel, where: str
    ) -> list[Value]:
        """Return the DESCRIPTOR columns in the types of INPUT; types that cannot be these go to the problems."""
        bound = zip(chosen, model.inputs, strict=False)
        found = [value_of(name, types[name], column.type) for name, column in bound if name in types]
        self.problems += [f"{where}: {value}" for value in found if isinstance(value, str)]
        return [value for value in found if not isinstance(value, str)]

    @staticmethod
    def _nan_values(chosen: Sequence[str], types: Mapping[str, str], model: InferenceModel) -> dict[int, Value]:
        """Return what is sent of the columns of numbers where their NULL is NaN; the server says for which it is."""
        if model.options.null_as is None:
            return {}
        found = {}
        for place, (name, column) in enumerate(zip(chosen, model.inputs, strict=False)):
            sent = sent_as_nan(column.type)
            value = value_of(name, types[name], column.type, sent=sent) if sent and name in types else None
            if isinstance(value, Value):
                found[place] = value
        return found

    def _check_values(self, model: InferenceModel, where: str) -> None:
        """Refuse a default-value or a stub's value that an OUTPUT column cannot hold, before a row needs it."""
        default = model.options.default_value
        for column in model.outputs:
            said = [("default-value", default)] if default is not None else []
            said += [(f"{STUB_PREFIX}{column.name}", value) for value in stub_values(model, column)]
            for option, value in said:
                if not self._is_exactly(value, column):
                    self.problems.append(f"{where}: {option} {value!r} is no {column.sql_type} ({column.name})")

    def _is_exactly(self, text: str, column: TypedColumn) -> bool:
        """Tell whether a text is a value of a column's type; DuckDB's cast alone would round it."""
        exact = value_of("written", "VARCHAR", column.type)
        fits = f"{exact.sql} is not null" if isinstance(exact, Value) else "false"
        written = f"(select {literal(text, 'VARCHAR')} as written)"
        try:
            rows = self._warehouse.rows(
                f"select {fits} as fits, {literal(text, table_type(column.type))} from {written}"
            )
        except WarehouseError:
            return False
        return bool(rows[0]["fits"])

    def _store(self, number: int) -> str:
        store = self._args["store"]
        identifier = store["identifier"] + (f"_{number}" if number > 1 else "")
        return ".".join(quote(part) for part in (store["database"], store["schema"], identifier) if part)

    def _model(self, call: Call) -> InferenceModel:
        node = self._node(call)
        relation = call.model
        if node is not None and "." not in call.model:
            relation = node.relations[0]
        try:
            rows = self._warehouse.rows(f"select * from {relation} limit 2")
        except WarehouseError as error:
            raise _not_built(node, call, relation, error) from error
        if len(rows) != 1:
            raise ConfigurationError(
                [f"it has {'more than one row' if rows else 'no row'}, so it is no inference model; {_WRITE_REF}"],
                f"MODEL {call.model}",
            )
        overrides = self._runtime_options(call)
        model = model_from_row(rows[0] | {}, self._secrets(node, rows[0], overrides))
        subject = f'inference model "{model.name}" with the options of this call'
        unknown = list(column_problems(call.config, model.all_inputs, model.outputs))
        if unknown:
            raise ConfigurationError(unknown, subject)
        return model.with_options(overrides, subject)

    def _runtime_options(self, call: Call) -> dict[str, Any]:
        """Return what wins over the row: the endpoint variable, the predicting model's meta, MAP, other variables."""
        variables = self._args.get("variables") or {}
        return project_endpoint(self._args) | options_of_meta(self._args) | dict(call.config) | dict(variables)

    def _secrets(self, node: _Node | None, row: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
        """Return the literal secrets that the row lacks, from dbt's graph once Jinja has passed them."""
        raw = _json_object(row.get("options"))
        overridden = translated(overrides)
        lacking = {key: value for key, value in raw.items() if key not in overridden}
        if node is None or not is_masked(lacking):
            return {}
        self.needs_secrets.add(node.unique_id)
        passed = (self._args.get("secrets") or {}).get(node.unique_id)
        if passed is None:
            return {}  # the plan sends nothing; a mask is as good as a token here
        options = translated(passed.get("meta") or parse_create_model(str(passed["sql"])).options)
        return {key: options[key] for key in SECRET_KEYS if key in options}

    def _node(self, call: Call) -> _Node | None:
        wanted = _parts(call.model)
        for node in self._nodes:
            for relation in node.relations:
                parts = _parts(relation)
                if parts == wanted or (len(wanted) == 1 and wanted[-1] in {parts[-1], node.name.lower()}):
                    return node
        return None

    def _with_inputs(
        self, model: InferenceModel, chosen: Sequence[str], types: Mapping[str, str], where: str
    ) -> InferenceModel:
        """Return the model with the INPUT of this call; a DESCRIPTOR that is none of it goes to the problems."""
        if model.served_inputs:
            if not all(name in types for name in chosen):
                return model  # which is said already
            kinds = [(name, parse_source_type(types[name])) for name in chosen]
            found = for_descriptor(model, [GivenColumn(name, kind.kind, len(kind.dims)) for name, kind in kinds])
            if isinstance(found, InferenceModel):
                return found
            self.problems.append(f"{where}, {model.name}: {found}")
        elif len(chosen) != len(model.inputs):
            declared = ", ".join(column.name for column in model.inputs)
            self.problems.append(
                f"{where}: DESCRIPTOR has {len(chosen)} columns, but INPUT of {model.name} has "
                f"{len(model.inputs)} ({declared}){_of_one_array(chosen, model)}"
            )
        return model

    def _terms(self, option: str, columns: Sequence[str], names: Sequence[str], where: str) -> list[tuple[str, str]]:
        """Return the columns that an option names, each with its direction."""
        terms = [read_term(column, names) for column in columns]
        return [(self._column(name, names, f"{where}, {option}"), direction) for name, direction in terms]

    def _column(self, column: str, names: Sequence[str], where: str) -> str:
        """Return a column of the input as it is written there; one that is not there goes to the problems."""
        by_name = {name.lower(): name for name in names}
        if column.lower() in by_name:
            return by_name[column.lower()]
        near = difflib.get_close_matches(column.lower(), by_name, n=1, cutoff=0.5)
        hint = f"; did you mean {by_name[near[0]]}?" if near else "."
        self.problems.append(f"{where}: the input has no column {column}{hint} It has {', '.join(names)}")
        return column


def _of_one_array(chosen: Sequence[str], model: InferenceModel) -> str:
    """Say what to do about a DESCRIPTOR that names the elements of an array."""
    if len(model.inputs) != 1 or len(model.inputs[0].type.dims) != 1:
        return ""
    column = model.inputs[0]
    return (
        f"; give it [{', '.join(chosen)}], as one column of the TABLE operand, or declare a column of INPUT "
        f"for each in place of {column.name} {column.sql_type}"
    )


def options_of_meta(args: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that a predicting model's own meta names, or the ``config`` of a dbt Python model.

    Raises:
        ConfigurationError: there is something else than a map.
    """
    meta = args.get("meta")
    if meta is None:
        return {}
    if not isinstance(meta, Mapping):
        raise ConfigurationError(
            ["it must be a map of options, such as {'on-error': 'null'}, with a colon between key and value"],
            "meta.ml_predict",
        )
    return {str(key): value for key, value in meta.items()}


def project_endpoint(args: Mapping[str, Any]) -> dict[str, Any]:
    """Return the endpoint that the project variable names for every model."""
    return {"endpoint": args["endpoint"]} if args.get("endpoint") else {}


def _not_built(node: _Node | None, call: Call, relation: str, error: WarehouseError) -> ConfigurationError:
    """Say which model is to be built first. DuckDB's guess at another table is no help, and is left out."""
    words = str(error).splitlines()[0]
    if node is None:
        return ConfigurationError(
            [f"it cannot be read: {words} To build it first, {_WRITE_REF}"], f'inference model "{call.model}"'
        )
    return ConfigurationError(
        [f"it is not built in {relation}: run `dbt build -s {node.name}`, or use --defer ({words})"],
        f'inference model "{node.name}"',
    )


def _parts(relation: str) -> tuple[str, ...]:
    tokens = Tokens(relation)
    return tuple(part.lower() for part in tokens.dotted_name("a relation")[0])


def _json_object(text: object) -> dict[str, Any]:
    value = json.loads(text) if isinstance(text, str) else {}
    return value if isinstance(value, dict) else {}
