"""The inference model of a call: its metadata row, the options that win over it, and the secrets that it lacks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any

from dbt_triton.credentials import SECRET_KEYS, is_masked
from dbt_triton.ddl import Call, parse_create_model
from dbt_triton.ddl.tokens import Tokens
from dbt_triton.errors import ConfigurationError
from dbt_triton.flink_options import translated
from dbt_triton.generation_options import layered
from dbt_triton.inference_model import InferenceModel, model_from_row
from dbt_triton.inference_model.by_column import column_problems
from dbt_triton.step.options_of_step import options_of_meta, project_endpoint
from dbt_triton.warehouses import Warehouse, WarehouseError

_WRITE_REF = "write MODEL {{ ref('…') }}, of a model with materialized='inference_model'"


@dataclass(frozen=True)
class _Node:
    """An inference model in dbt's graph, as Jinja passes it."""

    unique_id: str
    name: str
    relations: tuple[str, ...]


class CalledModels:
    """The inference models that a statement calls.

    Args:
        args: of the step.
        warehouse: where their rows are.
    """

    def __init__(self, args: Mapping[str, Any], warehouse: Warehouse) -> None:
        #: The nodes whose literal secrets only dbt's graph has.
        self.needs_secrets: set[str] = set()
        self._args = args
        self._warehouse = warehouse
        self._nodes = [_Node(n["unique_id"], n["name"], tuple(n["relations"])) for n in args["models"]]

    def of(self, call: Call) -> InferenceModel:
        """Return the inference model of a call, with the options of the call.

        Raises:
            ConfigurationError: it is not built, it is none, or an option is wrong.
        """
        node = self._node(call)
        row = self._row(call, node)
        overrides = self._runtime_options(call)
        model = model_from_row(row, self._secrets(node, row, overrides))
        subject = f'inference model "{model.name}" with the options of this call'
        unknown = list(column_problems(call.config, model.all_inputs, model.outputs))
        if unknown:
            raise ConfigurationError(unknown, subject)
        return model.with_options(overrides, subject)

    def _node(self, call: Call) -> _Node | None:
        wanted = self._parts(call.model)
        for node in self._nodes:
            for relation in node.relations:
                parts = self._parts(relation)
                if parts == wanted or (len(wanted) == 1 and wanted[-1] in {parts[-1], node.name.lower()}):
                    return node
        return None

    def _row(self, call: Call, node: _Node | None) -> dict[str, Any]:
        relation = call.model
        if node is not None and "." not in call.model:
            relation = node.relations[0]
        try:
            rows = self._warehouse.first_rows(relation, 2)
        except WarehouseError as error:
            raise _not_built(node, call, relation, error) from error
        if len(rows) != 1:
            raise ConfigurationError(
                [f"it has {'more than one row' if rows else 'no row'}, so it is no inference model; {_WRITE_REF}"],
                f"MODEL {call.model}",
            )
        return rows[0]

    def _runtime_options(self, call: Call) -> dict[str, Any]:
        """Return what wins over the row: the endpoint variable, the predicting model's meta, MAP, other variables."""
        variables = self._args.get("variables") or {}
        places = (project_endpoint(self._args), options_of_meta(self._args), call.config, variables)
        return reduce(layered, places, {})

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

    def _parts(self, relation: str) -> tuple[str, ...]:
        tokens = Tokens(relation, self._warehouse.dialect.lexis)
        return tuple(part.lower() for part in tokens.dotted_name("a relation")[0])


def _not_built(node: _Node | None, call: Call, relation: str, error: WarehouseError) -> ConfigurationError:
    """Say which model is to be built first. The warehouse's guess at another table is no help, and is left out."""
    words = str(error).splitlines()[0]
    if node is None:
        return ConfigurationError(
            [f"it cannot be read: {words} To build it first, {_WRITE_REF}"], f'inference model "{call.model}"'
        )
    return ConfigurationError(
        [f"it is not built in {relation}: run `dbt build -s {node.name}`, or use --defer ({words})"],
        f'inference model "{node.name}"',
    )


def _json_object(text: object) -> dict[str, Any]:
    value = json.loads(text) if isinstance(text, str) else {}
    return value if isinstance(value, dict) else {}
