"""Where the files go: into a folder that dbt reads, under names that nothing else has, and over nothing."""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from dbt_triton.errors import DbtTritonError
from dbt_triton.warehouses.example_values import ExampleValues, example_values

#: What dbt can refer to by a name, and where it is by default.
_NAMED = {"model-paths": ("models", {".sql", ".py"}), "seed-paths": ("seeds", {".csv"})}
_NAMED_ALSO = {"snapshot-paths": ("snapshots", {".sql"})}


@dataclass(frozen=True)
class Place:
    """Where the files of a project go.

    Args:
        project: its folder.
        folder: where the files go.
        settings: of dbt_project.yml.
    """

    project: Path
    folder: Path
    settings: Mapping[str, Any]

    @classmethod
    def of(cls, project: Path, wanted: str | None) -> Place:
        """Find the place.

        Args:
            project: the folder of the project.
            wanted: the folder for the files, which is relative to the project; None for the first of ``model-paths``.

        Raises:
            DbtTritonError: dbt would not read models there.
        """
        file = project / "dbt_project.yml"
        try:
            settings = yaml.safe_load(file.read_text(encoding="utf-8"))
        except yaml.YAMLError as error:
            raise DbtTritonError(f"{file} is no YAML: {' '.join(str(error).split())}") from error
        if not isinstance(settings, dict):
            raise DbtTritonError(f"{file} has no settings")
        listed = _paths(settings, "model-paths", "models")
        is_known = not any("{{" in path for path in listed)
        if wanted is None and not is_known:
            raise DbtTritonError(f"model-paths of {file} are for dbt to read; say the folder with --models-path")
        paths = [(project / path).resolve() for path in listed]
        folder = (project / wanted).resolve() if wanted is not None else paths[0]
        if is_known and not any(folder.is_relative_to(path) for path in paths):
            raise DbtTritonError(f"dbt reads no models in {folder}: model-paths of {file} is {', '.join(listed)}")
        return cls(project, folder, settings)

    def shown(self, file: Path) -> str:
        """Return a file's path as a user of the project would write it."""
        return os.path.relpath(file, self.project)

    def check(self, names: Iterator[str] | list[str], files: Mapping[Path, str], *, force: bool) -> None:
        """Refuse to replace a file, and to give a name that another file of the project has.

        Args:
            names: of the models to come.
            files: what is to be written.
            force: whether files of these paths may be replaced.

        Raises:
            DbtTritonError: naming each file.
        """
        there = [self.shown(file) for file in files if file.exists() or file.is_symlink()]
        if there and not force:
            verb = "is" if len(there) == 1 else "are"
            raise DbtTritonError(
                f"{', '.join(there)} {verb} there already, and nothing was written; --force replaces what is there, "
                "and --name NAME gives the model another name"
            )
        wanted = {name.lower(): name for name in names}
        for file in self._named():
            if file.stem.lower() in wanted and file not in files:
                raise DbtTritonError(
                    f"{self.shown(file)} has the name {wanted[file.stem.lower()]} already, and dbt wants each name "
                    "once; nothing was written. --name NAME gives the model another name"
                )

    def _named(self) -> Iterator[Path]:
        """Yield the files that dbt calls after their names."""
        for key, (default, suffixes) in (_NAMED | _NAMED_ALSO).items():
            for path in _paths(self.settings, key, default):
                for file in (self.project / path).resolve().rglob("*"):
                    if file.suffix in suffixes:
                        yield file


def write_all(files: Mapping[Path, str]) -> None:
    """Write the files, and make their folder."""
    for file, text in files.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.unlink(missing_ok=True)  # a link would lead elsewhere
        with file.open("x", encoding="utf-8", newline="\n") as opened:
            opened.write(text)


def values_of_profile(place: Place, arguments: Namespace) -> ExampleValues:
    """Return how examples are written for the warehouse of a project's profile; DuckDB's where that cannot be told.

    Args:
        place: of the project.
        arguments: ``profiles_dir``, ``profile`` and ``target`` of the command line.
    """
    wanted = arguments.profile or place.settings.get("profile")
    folders = [arguments.profiles_dir, os.environ.get("DBT_PROFILES_DIR")]
    folders = [folder for folder in folders if folder] or [".", place.project, Path.home() / ".dbt"]
    for folder in folders:
        file = Path(folder) / "profiles.yml"
        if file.is_file():
            return example_values("spark" if _is_spark(file, wanted, arguments.target) else "duckdb")
    return example_values("duckdb")


def _is_spark(file: Path, profile: object, target: str | None) -> bool:
    try:
        profiles = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError):
        return False  # dbt says what is wrong with it
    found = profiles.get(profile) if isinstance(profiles, dict) else None
    outputs = found.get("outputs") if isinstance(found, dict) else None
    if not isinstance(found, dict) or not isinstance(outputs, dict) or not outputs:
        return False
    name = target or found.get("target", "default")
    # A target that Jinja names may be any of them.
    chosen = [outputs[name]] if name in outputs else list(outputs.values())
    return all(isinstance(one, dict) and one.get("type") == "spark" for one in chosen)


def _paths(settings: Mapping[str, Any], key: str, default: str) -> list[str]:
    listed = settings.get(key)
    paths = [path for path in listed if isinstance(path, str)] if isinstance(listed, list) else []
    return paths or [default]
