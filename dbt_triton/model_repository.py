"""A model repository as files: what Triton would not say about a folder that it does not serve.

Triton leaves a folder without a version out of its index, lists one whose config.pbtxt it cannot read without a reason,
and waits for ever for a Python model without its file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

_PYTHON = re.compile(r"^\s*backend\s*:\s*[\"']python[\"']", re.MULTILINE)
_FILE = re.compile(r"^\s*default_model_filename\s*:\s*[\"']([^\"']+)[\"']", re.MULTILINE)
_POLICY = re.compile(r"^\s*version_policy\b", re.MULTILINE)
#: Triton's log names a folder and the reason in one line.
_FAILED = re.compile(
    r"(?:Poll failed for model directory|failed to load model|failed to load) '([^'\n]+)'[^:\n]*: ([^\n]*)"
)
_UNREADABLE = re.compile(r"Error parsing text-format inference\.ModelConfig: ([^\n]*)")

#: Triton's Python backend writes paths into the text of a shell's command, without quotes.
_SPECIAL = re.compile(r"[\s\\'\"`$&|;<>()*?#~!{}\[\]]")


def has_plain_path(path: Path) -> bool:
    """Tell whether a path can be that of a model.

    Python within Triton takes ASCII for the encoding of file names, whatever the environment says.
    """
    return str(path).isascii() and not _SPECIAL.search(str(path))


def with_special_name(repository: Path) -> dict[str, str]:
    """Return the Python models whose names Triton's Python backend cannot bear, with what to do."""
    return {
        folder.name: "Triton's Python backend cannot start a model with a space, a quote or the like in its name"
        for folder in model_folders(repository)
        if _SPECIAL.search(folder.name) and _PYTHON.search(_config(folder))
    }


def model_folders(repository: Path) -> list[Path]:
    """Return the folders of a repository that could be models."""
    return sorted(path for path in repository.iterdir() if path.is_dir() and not path.name.startswith("."))


def without_file(repository: Path) -> dict[str, str]:
    """Return the Python models that lack the file of a version that Triton would load, with what is missing."""
    lacking = {}
    for folder in model_folders(repository):
        config = _config(folder)
        if not _PYTHON.search(config):
            continue
        found = _FILE.search(config)
        file = found[1] if found else "model.py"
        versions = _versions(folder)
        loaded = versions if _POLICY.search(config) else versions[-1:]
        missing = [f"{version.name}/{file}" for version in loaded if not (version / file).is_file()]
        if missing:
            lacking[folder.name] = f"it has no {' and no '.join(missing)}"
    return lacking


def without_version(repository: Path) -> dict[str, str]:
    """Return the folders that have no version folder, with what to make."""
    return {
        folder.name: f"it has no version folder: put the model's files into {folder.name}/1"
        for folder in model_folders(repository)
        if not _versions(folder)
    }


def reasons_of_log(log: str) -> Mapping[str, str]:
    """Return why models are not loaded, by name, as Triton's log has it."""
    unreadable = _UNREADABLE.findall(log)
    reasons: dict[str, str] = {}
    for name, said in _FAILED.findall(log):
        reason = said.strip().rstrip('"')
        if "failed to read text proto" in reason and unreadable:
            reason = f"its config.pbtxt cannot be read: {unreadable.pop(0)}"
        reasons.setdefault(name, reason)
    return reasons


def _versions(folder: Path) -> list[Path]:
    """Return the folders of versions, the newest last: those whose names are whole numbers."""
    found = [path for path in folder.iterdir() if path.is_dir() and path.name.isascii() and path.name.isdigit()]
    return sorted(found, key=lambda path: int(path.name))


def _config(folder: Path) -> str:
    file = folder / "config.pbtxt"
    try:
        return file.read_text("utf-8", errors="replace") if file.is_file() else ""
    except OSError:
        return ""
