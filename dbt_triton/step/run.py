"""The entry points of the macros: build an inference model, plan, predict, note, and the dry run."""

from __future__ import annotations

import json
import logging
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import PurePath
from typing import Any

from dbt_triton import __version__
from dbt_triton.client.fleet import Fleet, ask_all
from dbt_triton.credentials import request_headers
from dbt_triton.ddl import ModelDefinition, parse_create_model
from dbt_triton.ddl.create_model import definition_from_yaml
from dbt_triton.errors import ConfigurationError, DbtTritonError, InferenceError, SqlSyntaxError
from dbt_triton.flink_options import reasons_not_needed
from dbt_triton.foreign_text import harmless, shown
from dbt_triton.inference_model import (
    InferenceModel,
    bind,
    description,
    metadata_row,
    require_schema,
    with_served_schema,
)
from dbt_triton.inference_model.row import COLUMNS
from dbt_triton.instrumentation import step_of
from dbt_triton.instrumentation.logs import configure_logging
from dbt_triton.instrumentation.setup import turn_on
from dbt_triton.options import KEYS
from dbt_triton.step.advice import with_advice
from dbt_triton.step.dry_run import dry_run as count_dry_run
from dbt_triton.step.not_served import what_is_there
from dbt_triton.step.options_of_step import options_of_meta, project_endpoint
from dbt_triton.step.plan import Plan, make_plan
from dbt_triton.step.predict import run_plan
from dbt_triton.step.run_log import RunLog
from dbt_triton.step.tune import tuned
from dbt_triton.warehouses import Dialect, Warehouse, open_warehouse

logger = logging.getLogger("dbt_triton")

Arguments = Mapping[str, Any]

#: Configs of dbt's own that are called as an option is.
_OF_DBT = {"batch_size"}


def build_inference_model(arguments: str, session: Any) -> None:  # noqa: ANN401 - of dbt's adapter
    """Check an inference model.

    Leaves ``build_sql``, the SELECT of its metadata row; ``message`` and ``comment``; ``warnings``; ``misplaced``,
    options among dbt's configs; and ``not_needed``, which options do nothing, and why.
    """

    def work(args: Arguments, warehouse: Warehouse) -> dict[str, Any]:
        waiting = RunLog.of_step(args, warehouse).expect(args.get("waiting") or [], inference_model=str(args["name"]))
        try:
            return build(args, warehouse)
        except DbtTritonError as error:
            waiting.failed(error)
            raise

    def build(args: Arguments, warehouse: Warehouse) -> dict[str, Any]:
        model = defined_model(args)
        asked = model.options.preflight and not model.is_stub
        if not asked:
            require_schema(model)
        fleet = warehouse.unless_interrupted(asked_all(model)) if asked else None
        served = None if fleet is None else fleet.served
        if served is not None:
            model = with_served_schema(model, served)
        binding = None if served is None else bind(model, served)
        said = f"version {served.shown_version} of Triton {served.server_version}" if served else "not checked"
        said = "stub" if model.is_stub else said
        return {
            "build_sql": warehouse.dialect.metadata_query(metadata_row(model, served, binding), COLUMNS),
            "message": f"CREATE MODEL {model.name}, {said}{_notes_on_types(model, warehouse.dialect)}",
            "comment": description(model, served, binding),
            "warnings": [] if binding is None or fleet is None else [*binding.warnings, *fleet.notes],
            "misplaced": _misplaced(args),
            "not_needed": reasons_not_needed(_definition(args).options),
        }

    _run(arguments, session, work)


def plan(arguments: str, session: Any) -> None:  # noqa: ANN401 - of dbt's adapter
    """Check a predicting model without sending a row.

    Leaves ``check_sql``, a SELECT with the columns and types of the table to come; ``needs_secrets``, the nodes of the
    inference models whose literal secrets only dbt's graph has; ``misplaced``, options among dbt's configs; and
    ``not_needed``, which options of its calls do nothing, and why.
    """

    def work(args: Arguments, warehouse: Warehouse) -> dict[str, Any]:
        names = [str(model["name"]) for model in args["models"]]
        unbegun = RunLog.of_step(args, warehouse).expect(inference_model=names[0] if len(names) == 1 else None)
        try:
            planned = make_plan(args, warehouse)
        except DbtTritonError as error:
            unbegun.failed(error)
            raise
        unbegun.planned(planned)
        return {
            "check_sql": planned.check_sql,
            "needs_secrets": planned.needs_secrets,
            "misplaced": _misplaced(args),
            "not_needed": reasons_not_needed(_options_of_calls(args, planned)),
        }

    _run(arguments, session, work)


def predict(arguments: str, session: Any) -> None:  # noqa: ANN401 - of dbt's adapter
    """Predict, and leave the SELECT of the table as ``build_sql``, the stores to drop, figures and warnings.

    ``spared`` says that `use_memory` must follow once the table is made, and ``notes`` what the run log lacks.
    """

    def work(args: Arguments, warehouse: Warehouse) -> dict[str, Any]:
        spared = _wants_memory_spared(args) and warehouse.spare_memory()
        log, started = RunLog.of_step(args, warehouse), time.perf_counter()
        try:
            planned = make_plan(args, warehouse)
            log.plan_seconds = time.perf_counter() - started
            result = run_plan(
                planned,
                warehouse,
                name=str(args["name"]),
                full_refresh=bool(args.get("full_refresh")),
                target=args.get("target"),
                log=log,
            )
        except BaseException:
            if spared:
                warehouse.use_memory()
            raise
        finally:
            log.end_unless_dbt_does()
        notes, log.notes = log.notes, []
        return result | {"spared": spared, "notes": notes}

    _run(arguments, session, work)


def use_memory(arguments: str, session: Any) -> None:  # noqa: ANN401 - of dbt's adapter
    """Give the warehouse its memory again, which `predict` has spared."""

    def work(args: Arguments, warehouse: Warehouse) -> dict[str, Any]:  # noqa: ARG001 - as every step is called
        warehouse.use_memory()
        return {}

    _run(arguments, session, work)


def _wants_memory_spared(args: Arguments) -> bool:
    """Read the variable ``dbt_triton_memory``.

    Raises:
        ConfigurationError: it has another value.
    """
    wanted = str(args.get("memory") or "half").strip().lower()
    if wanted not in {"half", "duckdb"}:
        problem = f"it is {shown(wanted)}; write half (half of DuckDB's default while rows are predicted), or duckdb"
        raise ConfigurationError([problem], "the variable dbt_triton_memory")
    return wanted == "half"


def note(arguments: str, session: Any) -> None:  # noqa: ANN401 - of dbt's adapter
    """Note what a table was built of, as `predict` has said under ``remember``."""

    def work(args: Arguments, warehouse: Warehouse) -> dict[str, Any]:
        warehouse.take_note(str(args["note"]), str(args["relation"]))
        return {}

    _run(arguments, session, work)


def dry_run(arguments: str, session: Any) -> None:  # noqa: ANN401 - of dbt's adapter
    """Count what `predict` would send, and leave it as ``figures`` and ``message``, with ``warnings``."""

    def work(args: Arguments, warehouse: Warehouse) -> dict[str, Any]:
        full_refresh = bool(args.get("full_refresh"))
        return count_dry_run(make_plan(args, warehouse), warehouse, full_refresh=full_refresh)

    _run(arguments, session, work)


def tune(arguments: str, session: Any) -> None:  # noqa: ANN401 - of dbt's adapter
    """Try options out, for `dbt-triton tune`; no row is kept."""

    def work(args: Arguments, warehouse: Warehouse) -> dict[str, Any]:
        return tuned(make_plan(args, warehouse), warehouse)

    _run(arguments, session, work)


def _run(
    arguments: str,
    session: Any,  # noqa: ANN401 - of dbt's adapter
    work: Callable[[Arguments, Warehouse], dict[str, Any]],
) -> None:
    """Do the work and leave its result, or its error, for Jinja."""
    args: Arguments = json.loads(arguments)
    warehouse = open_warehouse(session, args)
    configure_logging(debug=bool(args.get("debug")))
    with step_of(str(args.get("unique_id") or ""), str(args.get("invocation_id") or ""), str(args["name"])):
        turn_on()
        result = _result(args, warehouse, work)
    warehouse.set_result(result)


def _result(
    args: Arguments, warehouse: Warehouse, work: Callable[[Arguments, Warehouse], dict[str, Any]]
) -> dict[str, Any]:
    """Do the work, and return its result, or its error."""
    try:
        _check_versions(str(args["package_version"]))
        warehouse.end_transaction()
        result = work(args, warehouse)
    except SqlSyntaxError as error:
        result = {"error": f"dbt-triton cannot read the SQL of {args['name']}, {error}"}
    except DbtTritonError as error:
        result = {"error": f"dbt-triton, {args['name']}: {error}"}
    except Exception as error:  # noqa: BLE001 - its traceback is logged as harmless text
        # dbt-duckdb would print source lines of the generated module, and a secret may stand on one.
        # Without its text, which may quote a value; that one is in the result.
        where = "".join(traceback.format_tb(error.__traceback__))
        logger.debug("unexpected %s\n%s", type(error).__name__, harmless(where))
        result = {
            "error": f"dbt-triton, {args['name']}: unexpected {type(error).__name__}: {shown(error)}. "
            "This is a bug; run again with DBT_TRITON_LOG=debug and report the traceback"
        }
    if "error" in result:
        # Whatever words it has come from: it goes to the console, to dbt.log and to run_results.json.
        result["error"] = harmless(result["error"])
    return result


def _notes_on_types(model: InferenceModel, dialect: Dialect) -> str:
    """Say which OUTPUT columns are something else in tables than their users would expect."""
    notes = [dialect.note_on_type(column.name, column.type) for column in model.outputs]
    return "".join(f"; {note}" for note in notes if note)


def _misplaced(args: Arguments) -> list[str]:
    """Return the configs of a node that are options of ours, which are read elsewhere."""
    return [key for key in args.get("config") or () if key not in _OF_DBT and key.replace("_", "-") in KEYS]


def _options_of_calls(args: Arguments, planned: Plan) -> list[str]:
    return [*options_of_meta(args), *(key for call in planned.calls for key in call.call.config)]


def defined_model(args: Arguments) -> InferenceModel:
    """Return the inference model that a node defines, with the project variables applied.

    Args:
        args: ``name``, ``alias``, ``version``, ``file``, ``sql`` and ``meta`` of the node; ``endpoint`` and
            ``variables`` of the project.
    """
    variables = dict(args.get("variables") or {})
    overrides = project_endpoint(args) | {key: variables[key] for key in ("provider",) if key in variables}
    return InferenceModel.from_definition(_definition(args), overrides)


def _definition(args: Arguments) -> ModelDefinition:
    name, meta = str(args["name"]), args.get("meta")
    # First, since the SQL is made of it.
    definition = definition_from_yaml(name, meta) if meta else None
    written = parse_create_model(str(args["sql"]))
    names = _names(args)
    if not {written.name[-1].lower(), ".".join(written.name).lower()} & {one.lower() for one in names}:
        stem = name if args.get("version") is None else PurePath(str(args["file"])).stem
        same = "the same name" if args.get("version") is None else " or ".join(names)
        raise ConfigurationError(
            [f"CREATE MODEL names it {written.name[-1]}, but its file is {stem}.sql; write {same}"],
            f'inference model "{name}"',
        )
    if definition is None:
        return written
    if _schema(definition) != _schema(written) or definition.options.keys() != written.options.keys():
        raise ConfigurationError(
            [
                (
                    "it is defined in SQL and in meta.inference_model, and the two differ; "
                    "keep one, with {{ dbt_triton.create_model() }} as the SQL where YAML defines it"
                )
            ],
            f'inference model "{name}"',
        )
    return definition


def _names(args: Arguments) -> list[str]:
    """Return what CREATE MODEL may call a node: its name, its alias, and of several versions its file and ``m_v1``."""
    name, version = str(args["name"]), args.get("version")
    names = [name, str(args["alias"])]
    if version is not None:
        names += [f"{name}_v{version}", f"{name}.v{version}", PurePath(str(args["file"])).stem]
    return list(dict.fromkeys(names))


def _schema(definition: ModelDefinition) -> list[tuple[str, str]]:
    return [(column.name, column.type) for column in (*definition.inputs, *definition.outputs)]


async def asked_all(model: InferenceModel) -> Fleet:
    """Ask the servers of an inference model what they serve.

    Raises:
        DbtTritonError: they say nothing usable, or not the same; with what to do.
    """
    headers = request_headers(model.options, f'inference model "{model.name}"')
    try:
        return await ask_all(model.options, headers)
    except InferenceError as error:
        hint = await what_is_there(error, model.options, headers)
        raise DbtTritonError(with_advice(error, model.options, hint)) from error


def _check_versions(package_version: str) -> None:
    if package_version != __version__:
        raise DbtTritonError(
            f"the dbt package dbt_triton is {package_version}, but the Python package dbt-triton is {__version__}. "
            f"Run `pip install dbt-triton=={package_version}`, or put revision v{__version__} into packages.yml "
            "and run `dbt deps`"
        )
