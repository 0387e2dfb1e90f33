"""A user's dbt project, as the command ``dbt-triton`` sees it: its inference models, and its YAML files."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, takewhile
from pathlib import Path
from typing import Any

import yaml

from dbt_triton import __version__
from dbt_triton.errors import DbtTritonError

_MARK = "dbt_triton_models "
#: What dbt calls the event of its print().
_PRINTED = "PrintEvent"
_QUIET = ("--quiet", "--no-debug", "--log-format", "text")
_PACKAGES = re.compile(r"^packages:[ \t]*(#.*)?(?=\r?$)", re.MULTILINE)
#: What dbt says where it finds no profiles.yml, or not the profile.
_NO_PROFILES = re.compile(r"^Path '.*' does not exist|[Cc]ould not find profile|profiles\.yml")
_DISPATCH = re.compile(r"^dispatch:[ \t]*(#.*)?(?=\r?$)", re.MULTILINE)
#: What a repository of the package is called, and the package itself.
_NAMES = ("dbt-triton", "dbt_triton")


class NoProjectError(DbtTritonError):
    """There is no dbt project where it is looked for."""


@dataclass(frozen=True)
class ProjectModel:
    """One inference model of a project: what the step that builds it would be told."""

    arguments: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Its name in lists, with the version where it has several: ``m.v1``."""
        version = self.arguments.get("version")
        return str(self.arguments["name"]) + ("" if version is None else f".v{version}")

    @property
    def underscored(self) -> str:
        """The name of a version's file and table, as dbt has it without more said: ``m_v1``."""
        return f"{self.arguments['name']}_v{self.arguments['version']}"


def models_called(models: Sequence[ProjectModel], name: str) -> list[ProjectModel]:
    """Return the models that a user's word means, as the macro ``nodes_called`` does.

    By the name, which is that of the latest version; else by a version (``m.v1``, ``m_v1``); else by the alias.
    """
    wanted = name.strip().lower()

    def is_called(model: ProjectModel, *keys: str) -> bool:
        return wanted in {str(model.arguments[key]).lower() for key in keys}

    by_name = [model for model in models if model.arguments["is_latest"] and is_called(model, "name")]
    by_version = [
        model
        for model in models
        if model.arguments.get("version") is not None and wanted in {model.name.lower(), model.underscored.lower()}
    ]
    return by_name or by_version or [model for model in models if is_called(model, "alias")]


def inference_models(dbt_arguments: Sequence[str]) -> list[ProjectModel]:
    """Ask dbt for the inference models of a project, with Jinja rendered. Nothing is built.

    Args:
        dbt_arguments: such as ``--project-dir`` and ``--target``, passed on to dbt.

    Raises:
        DbtTritonError: dbt cannot read the project, or the package is not in it; with dbt's own words.
    """
    return project_models(dbt_arguments)[0]


def project_models(dbt_arguments: Sequence[str]) -> tuple[list[ProjectModel], Mapping[str, Sequence[str]]]:
    """Ask dbt for the inference models, and, by the name of each predicting model, those that it predicts with.

    Raises:
        DbtTritonError: as `inference_models`.
    """
    found, said = _ask_dbt("{{ dbt_triton.print_inference_models() }}", dbt_arguments)
    if found is None:
        raise not_read("dbt cannot list the inference models of this project", said, dbt_arguments)
    told = json.loads(found)
    if told["package_version"] != __version__:
        raise DbtTritonError(
            f"the dbt package dbt_triton is {told['package_version']}, but this is dbt-triton {__version__}; "
            "run `dbt-triton init` and `dbt deps`"
        )
    common = {key: told[key] for key in ("endpoint", "variables")}
    return [ProjectModel(model | common) for model in told["models"]], told["callers"]


def not_read(what: str, said: str, dbt_arguments: Sequence[str]) -> DbtTritonError:
    """Return the error that dbt cannot read a project, with what to do where dbt's words do not say it.

    Args:
        what: cannot be done.
        said: dbt's words.
        dbt_arguments: such as ``--project-dir``.
    """
    folder = Path(dict(pairwise(dbt_arguments)).get("--project-dir") or os.environ.get("DBT_PROJECT_DIR") or ".")
    if not any(is_project(one) for one in (folder.absolute(), *folder.absolute().parents)):
        return NoProjectError(
            f"{folder.absolute()} is not the folder of a dbt project: it has no dbt_project.yml. "
            "Run it where that is, or with --project-dir"
        )
    advice = ""
    if "'dbt_triton' is undefined" in said:
        advice = "\n`dbt-triton init` adds the package to the project, and `dbt deps` installs it"
    elif _NO_PROFILES.search(said):
        advice = "\nWrite profiles.yml beside dbt_project.yml, or name its folder with --profiles-dir"
    return DbtTritonError(f"{what}: {said}{advice}")


def _ask_dbt(template: str, dbt_arguments: Sequence[str]) -> tuple[str | None, str]:
    """Let dbt render a template, and return the line that it prints with our mark, and else what dbt says.

    The warehouse is not opened: another process may use it.
    """
    printed, said = printed_by_dbt(template, dbt_arguments, "--no-introspect")
    return next((text.removeprefix(_MARK) for text in printed if text.startswith(_MARK)), None), said


def printed_by_dbt(template: str, dbt_arguments: Sequence[str], *options: str) -> tuple[list[str], str]:
    """Let dbt render a template, and return the texts that it prints, and what dbt says besides.

    The texts may hold literal tokens, so they are taken from dbt's events: no log, of whatever level or format, is
    written, and what dbt leaves besides goes into a folder that is deleted.

    Args:
        template: Jinja. Its queries are run.
        dbt_arguments: such as ``--project-dir`` and ``--target``, passed on to dbt.
        options: of `dbt compile`, such as ``--no-introspect``, with which no query is run.
    """
    printed: list[str] = []

    def listen(event: Any) -> None:  # noqa: ANN401 - dbt's own, made by protobuf
        if event.info.name == _PRINTED:
            printed.append(str(event.data.msg))

    # Not run-operation, which always opens the warehouse. `dbt retry` reads run_results.json.
    ask = ["compile", "--inline", template, "--no-populate-cache", *options]
    arguments = [*_QUIET, "--no-write-json", *ask]
    _, said = invoke_dbt(arguments, [*_partial_parse(dbt_arguments), *dbt_arguments], callbacks=[listen])
    return printed, said


def invoke_dbt(arguments: Sequence[str], more: Sequence[str] = (), **of_runner: Any) -> tuple[Any, str]:  # noqa: ANN401 - dbt's own
    """Call dbt in this process, which prints nothing and leaves no file.

    Args:
        arguments: of dbt's command line.
        more: of them, which win over where we let dbt write.
        of_runner: what dbt's runner is made with.

    Returns:
        The result, and what dbt says besides.
    """
    from dbt.cli.main import dbtRunner  # noqa: PLC0415 - seconds of imports that other commands do without

    with tempfile.TemporaryDirectory(prefix="dbt-triton-") as folder:
        nowhere = ["--log-level-file", "none", "--log-path", folder, "--target-path", folder]
        with contextlib.redirect_stdout(io.StringIO()) as console:
            invoked = dbtRunner(**of_runner).invoke([*arguments, *nowhere, *more])
    return invoked.result, str(invoked.exception or "") or words_of_dbt(console.getvalue())


def quiet_dbt(dbt_arguments: Sequence[str]) -> list[str]:
    """Return the arguments by which dbt prints nothing but errors, and reads what an earlier command has parsed."""
    return [*_QUIET, *_partial_parse(dbt_arguments)]


def _partial_parse(dbt_arguments: Sequence[str]) -> list[str]:
    """Let dbt read what an earlier command has parsed, which saves minutes in a large project. It is not written."""
    folder = dict(pairwise(dbt_arguments)).get("--project-dir") or os.environ.get("DBT_PROJECT_DIR", ".")
    parsed = Path(folder) / os.environ.get("DBT_TARGET_PATH", "target") / "partial_parse.msgpack"
    return ["--partial-parse-file-path", str(parsed.resolve())] if parsed.is_file() else []


@dataclass(frozen=True)
class Edit:
    """What is to become of one file of a project: nothing is written until `write`."""

    file: Path
    before: str
    after: str

    def write(self) -> tuple[Path, bool]:
        """Write the file with the line ends that it has; return it, and whether it was changed."""
        if self.after == self.before:
            return self.file, False
        after = re.sub("\r?\n", "\r\n", self.after) if "\r\n" in self.before else self.after
        self.file.write_bytes(after.encode("utf-8"))
        return self.file, True


def with_package(folder: Path, entry: str) -> Edit:
    """Return packages.yml with an entry more (or dependencies.yml, where packages are listed there).

    An entry of ours that is already there stays, wherever it leads.

    Args:
        folder: of the project.
        entry: the YAML of one list item, without indentation, such as ``- local: ../dbt-triton``.

    Raises:
        DbtTritonError: the file is no YAML, or its ``packages:`` is no list in block style, which is left to the user.
    """
    file = _packages_file(folder)
    text = _read(file)
    if listed_entry(folder, entry):
        return Edit(file, text, text)
    return Edit(file, text, _with_item(text, "packages", _PACKAGES, entry, file))


def listed_entry(folder: Path, entry: str) -> str | None:
    """Return the entry of our dbt package that a project lists already, as the YAML of one item.

    Args:
        folder: of the project.
        entry: the one that is wanted.
    """
    (wanted,) = yaml.safe_load(entry)
    file = _packages_file(folder)
    listed = _parsed(file, _read(file))
    packages = listed.get("packages") if isinstance(listed, dict) else None
    for package in packages if isinstance(packages, list) else []:
        if isinstance(package, dict) and (package == wanted or _is_ours(package, folder, wanted.get("git"))):
            lines = [f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in package.items()]
            return "- " + "\n  ".join(lines)
    return None


def _packages_file(folder: Path) -> Path:
    file = folder / "packages.yml"
    dependencies = folder / "dependencies.yml"
    if not file.exists() and dependencies.exists() and _PACKAGES.search(_read(dependencies)):
        return dependencies
    return file


def _is_ours(package: Mapping[str, Any], folder: Path, url: str | None) -> bool:
    """Tell whether an entry leads to the dbt package: a folder that holds it, or a repository of its name or URL."""
    local, git, hub = (package.get(key) for key in ("local", "git", "package"))
    if isinstance(local, str):
        settings = folder / local / "dbt_project.yml"
        project = _parsed(settings, _read(settings))
        return isinstance(project, dict) and project.get("name") == "dbt_triton"
    if isinstance(git, str):
        return _repository(git) == _repository(url or "") or _repository(git).rpartition("/")[2] in _NAMES
    return isinstance(hub, str) and hub.rpartition("/")[2] in _NAMES


def _repository(url: str) -> str:
    return url.strip().rstrip("/").removesuffix(".git").lower()


def with_dispatch(folder: Path) -> Edit:
    """Return dbt_project.yml with what unit tests of verbatim SQL and ``dbt show`` need.

    Raises:
        DbtTritonError: the file is no YAML, or has a ``dispatch`` of dbt without our package, or with ours behind dbt.
    """
    file = folder / "dbt_project.yml"
    text = _read(file)
    settings = _parsed(file, text)
    if not isinstance(settings, dict) or not settings.get("name"):
        raise DbtTritonError(f"{file} names no project")
    entry = f"- macro_namespace: dbt\n  search_order: [{settings['name']}, dbt_triton, dbt]"
    dispatch = settings.get("dispatch")
    for listed in dispatch if isinstance(dispatch, list) else []:
        if isinstance(listed, dict) and listed.get("macro_namespace") == "dbt":
            order = listed.get("search_order")
            # Behind dbt it would never be looked at: dbt takes the first package that has the macro.
            if isinstance(order, list) and "dbt_triton" in takewhile(lambda one: one != "dbt", order):
                return Edit(file, text, text)
            raise DbtTritonError(
                f"{file} has a dispatch of dbt already: write dbt_triton before dbt in its search_order"
            )
    return Edit(file, text, _with_item(text, "dispatch", _DISPATCH, entry, file))


def is_project(folder: Path) -> bool:
    """Tell whether a folder is that of a dbt project."""
    return (folder / "dbt_project.yml").is_file()


def local_entry(folder: Path, package: Path) -> str:
    """Return the entry of the package that is installed here; relative to a project in whose reach it is."""
    relative = os.path.relpath(package, folder)
    path = relative if relative.count("..") <= 1 else str(package)
    return f"- local: {json.dumps(path, ensure_ascii=False)}"


def git_entry(url: str) -> str:
    """Return the entry of this version in a git repository."""
    return f"- git: {json.dumps(url, ensure_ascii=False)}\n  revision: v{__version__}"


def _with_item(text: str, key: str, pattern: re.Pattern[str], entry: str, file: Path) -> str:
    """Return the text with an item more in the list of a key; the rest stays as it was written."""
    found = pattern.search(text)
    if found is None:
        if re.search(rf"^{key}:", text, re.MULTILINE):
            raise DbtTritonError(f"{file} has {key}: in a form that is left to you; add this to it:\n{entry}")
        before = text.rstrip("\n") + "\n\n" if text.strip() else ""
        return f"{before}{key}:\n{_indented(entry, '  ')}\n"
    after = re.search(r"^([ \t]*)-", text[found.end() :], re.MULTILINE)
    indentation = after[1] if after else "  "
    return f"{text[: found.end()]}\n{_indented(entry, indentation)}{text[found.end() :]}"


def _indented(entry: str, by: str) -> str:
    return "\n".join(by + line for line in entry.split("\n"))


def _read(file: Path) -> str:
    """Return the text of a file as it is, with its own line ends; that of one which is not there is empty."""
    return file.read_bytes().decode("utf-8") if file.is_file() else ""


def _parsed(file: Path, text: str) -> Any:  # noqa: ANN401 - whatever YAML holds
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise DbtTritonError(f"{file} is no YAML: {' '.join(str(error).split())}") from error


def words_of_dbt(output: str) -> str:
    """Return what dbt has printed, in one line without times."""
    lines = [re.sub(r"^(\x1b\[0m)?\d\d:\d\d:\d\d\s*", "", line).strip() for line in output.splitlines()]
    return " ".join(line for line in lines if line) or "dbt said nothing"
