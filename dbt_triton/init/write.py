"""Writing the files of served models into a dbt project."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Sequence
from pathlib import Path

from dbt_triton import commands
from dbt_triton.errors import DbtTritonError, InferenceError
from dbt_triton.foreign_text import harmless
from dbt_triton.init.draft import Draft, asked_draft
from dbt_triton.init.names import MAX_MODEL_NAME, dbt_name, is_dbt_name
from dbt_triton.init.place import Place, values_of_profile, write_all
from dbt_triton.init.said import said_options
from dbt_triton.init.texts import create_model, predicting_model, unit_test
from dbt_triton.project import is_project

#: What the predicting model is called after its inference model.
_PREDICTING = "_predicted"
#: What a server answers that does not serve a model, or not yet.
_NOT_SERVED = {400, 404}


def write_models(arguments: Namespace, say: Callable[[str], None], package: Path) -> int:
    """Ask the server, and write three files for each model. Nothing is changed unless all of it can be.

    Raises:
        DbtTritonError: the server does not serve a model, or serves one that has no CREATE MODEL; or a file or a name
            is there already.
    """
    project = Path(arguments.project_dir or ".").resolve()
    if not is_project(project):
        raise DbtTritonError(f"{project} is not the folder of a dbt project: it has no dbt_project.yml")
    place = Place.of(project, arguments.models_path)
    names = _names(arguments)
    models = [one for name in names.values() for one in (name, name + _PREDICTING)]
    if len(set(models)) < len(models):
        raise DbtTritonError("two of these models would have one name in dbt; write them one by one, with --name")
    sql = values_of_profile(place, arguments)
    drafts: list[Draft] = []
    files: dict[Path, str] = {}
    for served, name in names.items():
        draft = _drafted(arguments, served, name)
        drafts.append(draft)
        predicting = name + _PREDICTING
        files |= {
            place.folder / f"{name}.sql": create_model(draft),
            place.folder / f"{predicting}.sql": predicting_model(draft, sql),
            place.folder / f"{predicting}.yml": unit_test(draft, predicting, sql),
        }
    place.check(models, files, force=arguments.force)
    commands.list_package(arguments, say, package)
    write_all(files)
    _say_written(say, place, drafts)
    return 0


def _names(arguments: Namespace) -> dict[str, str]:
    """Return what each served model is called in dbt."""
    models: Sequence[str] = list(dict.fromkeys(arguments.model))
    if arguments.name is not None:
        if len(models) > 1:
            raise DbtTritonError("--name is for one --model")
        if not is_dbt_name(arguments.name):
            raise DbtTritonError(
                f"--name: a model's name in dbt is made of letters, digits and _, up to {MAX_MODEL_NAME} of them, and "
                "does not begin with a digit"
            )
        return {models[0]: arguments.name}
    return {served: dbt_name(served) for served in models}


def _drafted(arguments: Namespace, served: str, name: str) -> Draft:
    try:
        return asked_draft(name, said_options(arguments, served))
    except DbtTritonError as error:
        cause = error.__cause__
        is_unknown = isinstance(cause, InferenceError) and cause.status in _NOT_SERVED
        more = (
            f"; `dbt-triton init --all --endpoint {arguments.endpoint[0]}` lists what is served" if is_unknown else ""
        )
        raise DbtTritonError(f"{harmless(str(error))}\nnothing was written{more}") from error


def _say_written(say: Callable[[str], None], place: Place, drafts: Sequence[Draft]) -> None:
    for draft in drafts:
        predicting = draft.name + _PREDICTING
        written = {
            f"{draft.name}.sql": f"what is served as {draft.model.options.model_name}",
            f"{predicting}.sql": "predicts two example rows; put a table of yours in their place",
            f"{predicting}.yml": "a unit test, which needs no server",
        }
        width = max(len(place.shown(place.folder / file)) for file in written)
        for file, what in written.items():
            say(f"wrote {place.shown(place.folder / file).ljust(width)}  {what}")
        for note in draft.notes:
            say(harmless(f"  {note}"))
    selected = " ".join(f"+{draft.name}{_PREDICTING}" for draft in drafts)
    installed = place.project / str(place.settings.get("packages-install-path", "dbt_packages")) / "dbt_triton"
    deps = "" if installed.exists() else "`dbt deps`, then "
    say(f"next: {deps}`dbt build --select {selected}`")
