"""The inference model that is asked: one of the project, or what a server serves under a name."""

from __future__ import annotations

import asyncio
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from dbt_triton.client.fleet import Fleet
from dbt_triton.credentials import SECRET_KEYS
from dbt_triton.ddl import Column, ModelDefinition, parse_create_model
from dbt_triton.errors import DbtTritonError, SqlSyntaxError
from dbt_triton.flink_options import reasons_not_needed
from dbt_triton.foreign_text import NAME_LENGTH, shown
from dbt_triton.inference_model import InferenceModel, bind, require_schema, with_served_schema
from dbt_triton.known_names import did_you_mean, listed_names
from dbt_triton.project import NoProjectError, models_called, project_models
from dbt_triton.step.run import asked_all, defined_model
from dbt_triton.tensors.presence import optional_columns


@dataclass
class Asked:
    """An inference model, and what its server says once it matters.

    Args:
        model: with every option; its schema may be left out.
        notes: what a user is to know of the options.
    """

    model: InferenceModel
    notes: list[str] = field(default_factory=list)

    @cached_property
    def fleet(self) -> Fleet:
        """What the servers say; they are asked once."""
        return asyncio.run(asked_all(self.model))

    def with_schema(self) -> InferenceModel:
        """Return the model with INPUT and OUTPUT, from the server where they are left out.

        Raises:
            DbtTritonError: no server says it, or the rest does not fit.
        """
        if self.model.is_stub:
            require_schema(self.model)
        elif self.model.left_out:
            self.model = with_served_schema(self.model, self.fleet.served)
            bind(self.model, self.fleet.served)  # what is declared beside it may not fit
        return self.model

    def optional(self) -> set[str]:
        """Return the columns of INPUT that a row may lack; asks the server."""
        model = self.model
        if model.is_stub:
            return set()
        required = {column.name for column in model.inputs}
        if model.served_inputs:
            return {column.name for column in model.all_inputs} - required
        binding = bind(model, self.fleet.served)
        places = optional_columns(binding.inputs, binding.text_parameters)
        return {model.inputs[place].name for place in places}

    def at_hand(self) -> InferenceModel:
        """Return the model as it is asked here: all rows are shown, those that fail with the reason; none are kept."""
        options = self.model.options
        changed: dict[str, Any] = {"sample": None, "cache": "off", "max_error_ratio": 1.0}
        if options.sequence_id is None:  # with one, a sequence is whole or it is nothing
            changed["on_error"] = "null"
        return replace(self.model, options=options.model_copy(update=changed))

    @property
    def secrets(self) -> dict[str, Any]:
        """The literal secrets, which no metadata row holds."""
        return {key: self.model.raw_options[key] for key in SECRET_KEYS if key in self.model.raw_options}


def asked_model(arguments: Namespace, dbt_arguments: Sequence[str]) -> tuple[Asked, list[str]]:
    """Return the model that the arguments mean, and the words that are values.

    Raises:
        DbtTritonError: there is no such model, or its definition is wrong.
    """
    options: dict[str, Any] = {}
    for key, value in arguments.option:
        if key in options:
            raise DbtTritonError(f"--option {key} is given twice")
        options[key] = value
    notes = list(reasons_not_needed(options))
    if arguments.endpoint is not None:
        options = {"endpoint": arguments.endpoint} | options
    if arguments.model_name is not None:
        return Asked(_served(arguments, options), notes), list(arguments.words)
    name, *words = arguments.words
    model = _of_project(name, dbt_arguments)
    return Asked(model.with_options(options, f'inference model "{model.name}" with --option'), notes), words


def _of_project(name: str, dbt_arguments: Sequence[str]) -> InferenceModel:
    try:
        models, callers = project_models(dbt_arguments)
    except NoProjectError as error:
        raise DbtTritonError(f"{error}. Without a project, write --endpoint and --model-name") from error
    found = models_called(models, name)
    asked = next((names for caller, names in callers.items() if caller.lower() == name.lower()), None)
    if not found and asked is not None:
        raise DbtTritonError(
            f"{name} predicts with {listed_names(asked) or 'no inference model'}, of which one is asked here"
        )
    if len(found) != 1:
        names = [one.name for one in models]
        known = listed_names(one.name for one in found) if found else listed_names(names) or "none"
        raise DbtTritonError(
            f"{name} is the name or alias of several inference models: {known}"
            if found
            else f"no inference model is called {shown(name, NAME_LENGTH)}{did_you_mean(name, names) or '.'} "
            f"This project has {known}. (Without a project, write --endpoint and --model-name)"
        )
    return defined_model(found[0].arguments)


def _served(arguments: Namespace, options: dict[str, Any]) -> InferenceModel:
    of_command = {"provider": "triton", "model-name": arguments.model_name}
    inputs, outputs = (_columns(side, getattr(arguments, side)) for side in ("input", "output"))
    # The name stands in messages only; a dot in it is none between names.
    definition = ModelDefinition((arguments.model_name,), inputs, outputs, of_command | options)
    return InferenceModel.from_definition(definition)


def _columns(side: str, text: str | None) -> tuple[Column, ...]:
    """Read the columns of one side, as they stand within its parentheses."""
    if text is None:
        return ()
    written = text.strip()
    written = written if written.startswith("(") else f"({written})"
    try:
        definition = parse_create_model(f"CREATE MODEL m {side.upper()} {written} WITH ('provider' = 'triton')")
    except SqlSyntaxError as error:
        what = str(error).partition(": ")[2]
        raise DbtTritonError(f"--{side}: {what}; write names and types, such as 'a STRING, b FLOAT'") from error
    return definition.inputs or definition.outputs
