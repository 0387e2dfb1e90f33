"""What the source distribution and the wheel must hold, and must not."""

from __future__ import annotations

import re
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator
from email.message import Message
from email.parser import Parser
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

#: What a source distribution has besides: made by the build.
_MADE = {"PKG-INFO", ".gitignore", "pyproject.toml"}
_SOURCES = {"dbt_triton", "macros", "dbt_project.yml", "README.md", "CHANGELOG.md", "LICENSE"}
_RIGHTS = 0o644
_NEVER = re.compile(r"__pycache__|\.py[co]$|\.duckdb|(^|/)tests?/|\.egg-info|\.env$|\.(log|orig|rej|swp)$")


def versions(repository: Path) -> dict[str, str]:
    """Return the version as each file has it, by the file's name."""
    places = {
        "pyproject.toml": r'^version = "([^"]+)"$',
        "dbt_project.yml": r"^version: (\S+)$",
        "macros/internal/step.sql": r"macro package_version[\s\S]*?return\('([^']+)'\)",
        "dbt_triton/__init__.py": r'^__version__ = "([^"]+)"$',
        "CHANGELOG.md": r"^## \[(\d[^\]]*)\]",
    }
    found = {}
    for name, pattern in places.items():
        match = re.search(pattern, (repository / name).read_text("utf-8"), re.MULTILINE)
        found[name] = match[1] if match else "none"
    return found


def problems(repository: Path, source: Path, wheel: Path) -> list[str]:
    """Return what is wrong with what was built, one sentence each."""
    said = versions(repository)
    project = tomllib.loads((repository / "pyproject.toml").read_text("utf-8"))["project"]
    found = []
    if len(set(said.values())) > 1:
        found.append(f"the version is not the same everywhere: {said}")
    with zipfile.ZipFile(wheel) as archive:
        found += _of_wheel(archive, repository, project)
    with tarfile.open(source) as tar:
        found += _of_source(tar)
    return found


def _of_wheel(archive: zipfile.ZipFile, repository: Path, project: dict[str, Any]) -> Iterator[str]:
    names = set(archive.namelist())
    info = f"dbt_triton-{project['version']}.dist-info"
    yield from _forbidden(names)
    if strange := {name.partition("/")[0] for name in names} - {"dbt_triton", info}:
        yield f"the wheel puts {', '.join(sorted(strange))} beside the package"
    for path, name in _expected(repository):
        if name not in names:
            yield f"the wheel lacks {name}"
        elif archive.read(name) != path.read_bytes():
            yield f"{name} of the wheel is not {path.relative_to(repository)}"
    if f"{info}/licenses/LICENSE" not in names:
        yield "the wheel lacks its licence"
    if other := [member.filename for member in archive.infolist() if (member.external_attr >> 16) & 0o777 != _RIGHTS]:
        yield f"files of the wheel have the rights that they have on this machine: {', '.join(other)}"
    if f"{info}/METADATA" in names:
        metadata = Parser().parsestr(archive.read(f"{info}/METADATA").decode("utf-8"))
        yield from _of_metadata(metadata, project)
    if b"dbt-triton = dbt_triton.cli:main" not in archive.read(f"{info}/entry_points.txt"):
        yield "the wheel has no command dbt-triton"


def _expected(repository: Path) -> Iterator[tuple[Path, str]]:
    """Yield what the wheel carries, as it is here: the package, its types marker, and the dbt package within."""
    inside = "dbt_triton/dbt_package"
    for path in sorted((repository / "dbt_triton").rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            yield path, path.relative_to(repository).as_posix()
    for path in [*sorted((repository / "macros").rglob("*")), repository / "dbt_project.yml"]:
        if path.is_file():
            yield path, f"{inside}/{path.relative_to(repository).as_posix()}"
    yield repository / "dbt_triton" / "py.typed", "dbt_triton/py.typed"


def _of_metadata(metadata: Message, project: dict[str, Any]) -> Iterator[str]:
    expected = {
        "Name": project["name"],
        "Version": project["version"],
        "Requires-Python": project["requires-python"],
        "License-Expression": project["license"],
        "Summary": project["description"],
        "Description-Content-Type": "text/markdown",
    }
    for key, value in expected.items():
        if metadata[key] != value:
            yield f"the wheel's {key} is {metadata[key]}, and not {value}"
    extras = project["optional-dependencies"]
    if set(metadata.get_all("Provides-Extra") or []) != set(extras):
        yield "the wheel's extras are not those of pyproject.toml"
    declared = {(_without_extra(text), "") for text in project["dependencies"]}
    declared |= {(_without_extra(text), extra) for extra, texts in extras.items() for text in texts}
    if {_requirement(text) for text in metadata.get_all("Requires-Dist") or []} != declared:
        yield "the wheel's dependencies are not those of pyproject.toml"
    if "@ file:" in metadata.as_string() or "@ http" in metadata.as_string():
        yield "the wheel's dependencies name an address"


def _without_extra(text: str) -> str:
    requirement = Requirement(text)
    marker = f"; {requirement.marker}" if requirement.marker else ""
    extras = ",".join(sorted(requirement.extras))
    return f"{requirement.name}[{extras}] {requirement.specifier}{marker}"


def _requirement(text: str) -> tuple[str, str]:
    """Return a requirement of the metadata without the extra that it is of, and that extra."""
    extra = re.search(r"extra == ['\"]([^'\"]+)['\"]", text)
    plain = re.sub(r"\s*(;|\band\b)\s*extra == ['\"][^'\"]+['\"]", "", text)
    plain = re.sub(r";\s*\((.*)\)\s*$", r"; \1", plain)
    return _without_extra(plain), extra[1] if extra else ""


def _of_source(archive: tarfile.TarFile) -> Iterator[str]:
    members = archive.getmembers()
    names = {member.name.partition("/")[2] for member in members}
    yield from _forbidden(names)
    inside = {name.partition("/")[0] for name in names} - _MADE - {""}
    if inside != _SOURCES:
        yield f"the source distribution holds {', '.join(sorted(inside ^ _SOURCES))}, or lacks it"
    if {(member.uname, member.uid) for member in members} - {("", 0), ("root", 0)}:
        yield "the source distribution names the user who built it"


def _forbidden(names: set[str]) -> Iterator[str]:
    if found := sorted(name for name in names if _NEVER.search(name)):
        yield f"nobody wants {', '.join(found)}"
