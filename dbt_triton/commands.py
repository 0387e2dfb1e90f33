"""The commands of ``dbt-triton`` within a dbt project: check, describe and init."""

from __future__ import annotations

import asyncio
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dbt_triton.errors import ConfigurationError, DbtTritonError, InferenceError, Reason, told_problems
from dbt_triton.foreign_text import NAME_LENGTH, harmless, shown
from dbt_triton.known_names import did_you_mean, listed_names
from dbt_triton.project import (
    ProjectModel,
    git_entry,
    inference_models,
    is_project,
    listed_entry,
    local_entry,
    models_called,
    with_dispatch,
    with_package,
)

if TYPE_CHECKING:
    from dbt_triton.inference_model import Binding, InferenceModel

_REFUSALS = (401, 403, 407)
_HEADINGS = ("model", "endpoint", "model-name", "version", "status")


@dataclass(frozen=True)
class Checked:
    """One inference model compared with its servers: the cells of its row, what is wrong, served, and away."""

    cells: tuple[str, str, str, str, str]
    problems: tuple[str, ...] = ()
    description: str = ""
    notes: tuple[str, ...] = ()


def check(arguments: Namespace, say: Callable[[str], None]) -> int:
    """Compare every inference model of the project with its server. Returns 1 when one does not fit."""
    checked = [_checked(model) for model in inference_models(dbt_arguments(arguments))]
    if not checked:
        say("there is no inference model in this project")
        return 0
    for line in table([_HEADINGS, *(one.cells for one in checked)]):
        say(line)
    for one in checked:
        for problem in one.problems:
            say(f"\n{one.cells[0]}: {problem}")
        for note in one.notes:
            say(f"\n{one.cells[0]}: {note}")
    failed = sum(bool(one.problems) for one in checked)
    say(f"\n{len(checked)} inference model{'' if len(checked) == 1 else 's'}, {failed} with problems")
    return 1 if failed else 0


def describe(arguments: Namespace, say: Callable[[str], None]) -> int:
    """Say what one inference model declares, what its server serves, and how they are bound."""
    models = inference_models(dbt_arguments(arguments))
    called = models_called(models, arguments.model)
    if len(called) != 1:
        names = [one.name for one in called or models]
        known = listed_names(names) or "none"
        raise DbtTritonError(
            f"{arguments.model} is the name or alias of several inference models: {known}"
            if called
            else f"no inference model is called {shown(arguments.model, NAME_LENGTH)}"
            f"{did_you_mean(arguments.model, names) or '.'} This project has {known}"
        )
    checked = _checked(called[0])
    if checked.description:
        say(checked.description)
    for problem in checked.problems:
        say(problem)
    return 1 if checked.problems else 0


def init(arguments: Namespace, say: Callable[[str], None], package: Path) -> int:
    """List the package in the project, and say what to do next."""
    list_package(arguments, say, package)
    say(
        "next: run `dbt deps`, write a model with materialized='inference_model', and run `dbt-triton check`"
        + ("" if arguments.dispatch else "\n(`dbt-triton init --dispatch` also lets unit tests read ML_PREDICT in SQL)")
    )
    return 0


def list_package(arguments: Namespace, say: Callable[[str], None], package: Path) -> None:
    """List the package in the project, and add the dispatch line where it is wanted."""
    folder = Path(arguments.project_dir or ".").resolve()
    if not is_project(folder):
        raise DbtTritonError(f"{folder} is not the folder of a dbt project: it has no dbt_project.yml")
    entry = git_entry(arguments.git) if arguments.git else local_entry(folder, package)
    listed = listed_entry(folder, entry)
    # Both are made before either is written: a file that is left to the user leaves the other one as it is, too.
    packages = with_package(folder, entry)
    dispatch = with_dispatch(folder) if arguments.dispatch else None
    file, changed = packages.write()
    say(f"added to {file.name}:\n{entry}" if changed else f"already in {file.name}:\n{listed or entry}")
    if listed and listed != entry:
        say(f"it is left as it is; in its place, this version would be\n{entry}")
    if dispatch:
        file, changed = dispatch.write()
        say(f"{'added to' if changed else 'already in'} {file.name}: dispatch of dbt to dbt_triton")


def _checked(project_model: ProjectModel) -> Checked:
    # Not at the top: `init` does without them.
    from dbt_triton.inference_model import (  # noqa: PLC0415
        bind,
        description,
        require_schema,
        with_served_schema,
    )
    from dbt_triton.step.run import asked_all, defined_model  # noqa: PLC0415

    name = project_model.name
    try:
        model = defined_model(project_model.arguments)
        if model.is_stub:
            require_schema(model)
    except DbtTritonError as error:
        return Checked((name, "", "", "", "invalid"), _problems(error))
    options = model.options
    if model.is_stub:
        return Checked((name, "", "", "", "stub"), description=description(model, None))
    asked = (name, options.endpoint, options.model_name, options.model_version)
    try:
        fleet = asyncio.run(asked_all(model))
    except DbtTritonError as error:
        return Checked((*asked, _status(error)), _problems(error), description(model, None))
    served = fleet.served
    try:
        model = with_served_schema(model, served)
        binding = bind(model, served)
    except DbtTritonError as error:
        said = description(model, served)
        return Checked((*asked[:3], served.shown_version, "does not fit"), _problems(error), said)
    lines = [description(model, served, binding), *_bound(model, binding), *binding.warnings, *fleet.notes]
    cells = (*asked[:3], served.shown_version, "ok")
    return Checked(cells, description="\n".join(lines), notes=tuple(map(harmless, fleet.notes)))


def _bound(model: InferenceModel, binding: Binding) -> Iterator[str]:
    """Say which column is which tensor, or a part of it."""
    for place, spec in enumerate(binding.inputs):
        tensor = f"{shown(spec.name)} {spec.datatype.name}"
        several = len(spec.parts) > 1
        for number, part in enumerate(spec.parts):
            column = model.inputs[part.position]
            is_length = spec.lengths is not None and number > 0
            how = "says a length of" if is_length else "is a part of" if several and not spec.lengths else "is bound to"
            yield f"{column.name} {column.sql_type} {how} {tensor}"
        if not spec.parts:
            yield f"{model.inputs[place].name} {model.inputs[place].sql_type} is bound to {tensor}"
    text = binding.text_parameters
    if text is not None:
        for key in text.columns:
            yield f"{key.column} {model.inputs[key.position].sql_type} is {shown(key.key)} of {shown(text.tensor)}"
    for place, column in enumerate(model.outputs):
        answered = None if binding.structured is None else binding.structured.columns[place]
        spec = binding.outputs[place if answered is None else answered.output or 0]
        if answered is not None and answered.output is None:
            yield f"{column.name} {column.sql_type} is a key of the JSON that an answer is"
        else:
            yield f"{column.name} {column.sql_type} is bound to {shown(spec.name)} {spec.datatype.name}"
    for one in binding.made:
        yield f"{shown(one.spec.name)} {one.spec.datatype.name} is made of the lengths of {one.spec.column}"


def _status(error: DbtTritonError) -> str:
    """Say in two words what came of asking a server about its model."""
    cause = error if isinstance(error, InferenceError) else error.__cause__
    if not isinstance(cause, InferenceError):
        return "invalid" if isinstance(error, ConfigurationError) else "no answer"
    words, status = str(cause).lower(), cause.status
    kinds = {
        "not ready": "no available versions" in words or "not ready" in words,
        "not served": "unknown model" in words,
        "refused": status in _REFUSALS,
        "no Triton": cause.reason == Reason.WRONG_ANSWER or "is not json" in words,
        "timeout": status is None and (cause.reason == Reason.TIMEOUT or "did not answer" in words),
        "no answer": status is None,
        f"status {status}": True,
    }
    return next(kind for kind, holds in kinds.items() if holds)


def _problems(error: DbtTritonError) -> tuple[str, ...]:
    problems = told_problems(error.problems) if isinstance(error, ConfigurationError) else [str(error)]
    return tuple(map(harmless, problems))


def dbt_arguments(arguments: Namespace) -> list[str]:
    """Return the arguments that are passed on to dbt."""
    passed = []
    for name in ("project_dir", "profiles_dir", "profile", "target", "vars"):
        value = getattr(arguments, name)
        if value is not None:
            passed += [f"--{name.replace('_', '-')}", value]
    return passed


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lay rows of cells out in columns."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
