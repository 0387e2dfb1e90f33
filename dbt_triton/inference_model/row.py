"""The metadata row of an inference model: what ``select * from {{ ref('the_model') }}`` shows."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from dbt_triton import __version__
from dbt_triton.client.served import ServedModel, ServedTensor
from dbt_triton.client.served import listed as tensors_of
from dbt_triton.credentials import mask_options
from dbt_triton.ddl import Column, ModelDefinition
from dbt_triton.errors import ConfigurationError
from dbt_triton.foreign_text import shown
from dbt_triton.inference_model.binding import Binding, fingerprint
from dbt_triton.inference_model.model import InferenceModel, TypedColumn
from dbt_triton.inference_model.served_columns import ServedColumn
from dbt_triton.tensors.sql_types import SqlType

_TEXT = SqlType("VARCHAR")
#: The columns of the row and their SQL types.
COLUMNS: dict[str, SqlType] = {
    "name": _TEXT,
    "provider": _TEXT,
    "endpoint": _TEXT,
    "model_name": _TEXT,
    "model_version": _TEXT,
    "input_schema": _TEXT,
    "output_schema": _TEXT,
    "options": _TEXT,
    "comment": _TEXT,
    "served_version": _TEXT,
    "served_inputs": _TEXT,
    "served_outputs": _TEXT,
    "max_batch_size": SqlType("INTEGER"),
    "server_version": _TEXT,
    "fingerprint": _TEXT,
    "checked_at": SqlType("TIMESTAMP"),
    "dbt_triton_version": _TEXT,
}
_LISTS = ("input_schema", "output_schema", "options")


def metadata_row(model: InferenceModel, served: ServedModel | None, binding: Binding | None = None) -> dict[str, Any]:
    """Return the row, by column; schemas and options are JSON texts, and hold no literal secret.

    Args:
        model: the validated definition.
        served: what the server said, or None with ``'preflight' = 'false'``.
        binding: of the two; without it, the fingerprint is that of a model to which columns alone are sent.
    """
    options = model.options
    version = served.version if served else ""
    hashed = fingerprint(model, version) if binding is None else binding.fingerprint
    return {
        "name": model.name,
        "provider": options.provider,
        "endpoint": options.endpoint,
        "model_name": options.model_name,
        "model_version": options.model_version,
        "input_schema": _schema(model.inputs, model.served_inputs),
        "output_schema": _schema(model.outputs, model.served_outputs),
        "options": json.dumps(mask_options(options), ensure_ascii=False),
        "comment": model.comment,
        "served_version": served.shown_version if served else None,
        "served_inputs": _tensors(served.inputs) if served else None,
        "served_outputs": _tensors(served.outputs) if served else None,
        "max_batch_size": served.max_batch_size if served else None,
        "server_version": served.server_version if served else None,
        "fingerprint": hashed if served else None,
        "checked_at": datetime.now(UTC).replace(tzinfo=None).isoformat(sep=" ", timespec="seconds") if served else None,
        "dbt_triton_version": __version__,
    }


def description(model: InferenceModel, served: ServedModel | None, binding: Binding | None = None) -> str:
    """Describe a model in a few lines, as the comment of its table: what is declared, what is served, the options.

    It holds no literal secret.

    Args:
        model: the validated definition.
        served: what the server said, if it was asked.
        binding: of the two, which says what is sent beside the columns.
    """
    options = model.options

    def listed(columns: Sequence[TypedColumn]) -> str:
        return ", ".join(f"{column.name} {column.sql_type}" for column in columns)

    where = (
        "a stub" if model.is_stub else f"{options.model_name} at {options.endpoint}, version {options.model_version}"
    )
    lines = [f"Inference model {model.name}: {where}"]
    sides = {"INPUT": model.inputs, "OUTPUT": model.outputs}
    lines.append(" ".join(f"{side} ({listed(columns)})" for side, columns in sides.items() if columns))
    if optional := ", ".join(f"{column.name} {column.sql_type}" for column in model.served_inputs if column.optional):
        lines.append(f"Optional inputs: {optional}")
    if asked_for := [*model.from_server, *model.left_out]:
        lines.append(f"Taken from the server: {', '.join(asked_for)}")
    if served:
        lines.append(
            f"Served by Triton {served.server_version}: version {served.shown_version}, "
            f"inputs {tensors_of(served.inputs)}; outputs {tensors_of(served.outputs)}; "
            f"max_batch_size {served.max_batch_size}"
        )
    shown_options = mask_options(options)
    if binding is not None:
        lines += _beside_columns(binding)
        shown_options["timeout"] = options.by_route(binding.route).timeout
    lines.append("Options: " + json.dumps(shown_options, ensure_ascii=False))
    return "\n".join(([model.comment] if model.comment else []) + lines)


def _beside_columns(binding: Binding) -> list[str]:
    """Say by which route a model is asked, and what each request has beside its columns, where that is anything."""
    lines = ["Asked by generate_stream, one row a request"] if binding.route == "generate" else []
    sent = {constant.spec.name: constant.value for constant in binding.constants}
    text = binding.text_parameters
    if text is not None:
        by_row = {column.key: f"the column {column.column}" for column in text.columns}
        sent[text.tensor] = {**text.fixed, **by_row}
    if sent:
        lines.append(f"Sent with each row: {json.dumps(sent, ensure_ascii=False)}")
    if binding.request_parameters:
        lines.append(f"Parameters of requests: {json.dumps(dict(binding.request_parameters), ensure_ascii=False)}")
    if binding.structured is not None:
        text_name = binding.outputs[binding.structured.text].name
        keys = [column.key for column in binding.structured.columns if column.key is not None]
        lines.append(f"Keys of the JSON of {shown(text_name)}: {', '.join(keys)}")
    return lines


def model_from_row(row: Mapping[str, Any], secrets: Mapping[str, Any] | None = None) -> InferenceModel:
    """Read a model back from its metadata row.

    Args:
        row: the row, by column.
        secrets: literal secrets by option, which the row does not hold.

    Raises:
        ConfigurationError: the row is not one of an inference model.
    """
    missing = [column for column in (*_LISTS, "name") if not isinstance(row.get(column), str)]
    if missing:
        raise ConfigurationError(
            [f"it has no {', '.join(missing)}; it must be built with materialized='inference_model'"],
            "the MODEL operand of ML_PREDICT",
        )
    raw = json.loads(str(row["options"])) | dict(secrets or {})
    schemas = [json.loads(str(row[column])) for column in ("input_schema", "output_schema")]
    served_inputs, served_outputs = (
        [ServedColumn.from_json(item, output=output) for item in items if "datatype" in item]
        for items, output in zip(schemas, (False, True), strict=True)
    )
    inputs, outputs = (
        tuple(Column(item["name"], item["type"]) for item in items if not item.get("optional")) for items in schemas
    )
    definition = ModelDefinition((str(row["name"]),), inputs, outputs, raw, row.get("comment"))
    return InferenceModel.from_definition(definition, served_inputs=served_inputs, served_outputs=served_outputs)


def _schema(columns: Sequence[TypedColumn], served: Sequence[ServedColumn]) -> str:
    declared = [{"name": column.name, "type": column.sql_type} for column in columns]
    return json.dumps([column.as_json() for column in served] or declared, ensure_ascii=False)


def _tensors(tensors: Sequence[ServedTensor]) -> str:
    said = [asdict(tensor) | {"name": shown(tensor.name), "datatype": shown(tensor.datatype)} for tensor in tensors]
    return json.dumps(said, ensure_ascii=False)
