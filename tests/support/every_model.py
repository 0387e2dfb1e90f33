"""One folder with every model of the test repositories, to serve them all at once."""

from __future__ import annotations

import shutil
from pathlib import Path

from support.dbt import REPOSITORY
from support.formulas import FormulaModel
from support.interfaces import INTERFACES
from support.llms import LanguageModel, bls, ensemble, llmapi, vllm
from support.triton import MODELS

_FORMULAS = MODELS / "formulas" / "1"
_FOLDERS = (MODELS, REPOSITORY / "tests" / "faults" / "model_repository")
_EXAMPLES = REPOSITORY / "example_project" / "model_repository"
_ZEROS = Path(__file__).with_name("zeros.py")
#: What is trained by `make demo`, and imported by it: another code takes its place, and answers with as many zeros.
_TRAINED = ("joblib", "minilm", "snownlp")


def language_models() -> list[LanguageModel]:
    """Return each interface of a language model."""
    return [
        vllm("vllm_24"),
        vllm("vllm_25"),
        ensemble("ensemble", decoupled=False),
        ensemble("ensemble_decoupled", decoupled=True),
        bls("bls"),
        llmapi("llmapi"),
        llmapi("llmapi_decoupled", decoupled=True),
    ]


def write_every_model(repository: Path) -> list[str]:
    """Write them into a folder, and return their names."""
    for folder in (one for place in _FOLDERS for one in sorted(place.iterdir()) if one.is_dir()):
        shutil.copytree(folder, repository / folder.name, ignore=shutil.ignore_patterns("__pycache__"))
    for folder in sorted(_EXAMPLES.iterdir()):
        shutil.copytree(folder, repository / folder.name, ignore=shutil.ignore_patterns("__pycache__", "*.joblib"))
        code = folder / "1" / "model.py"
        if code.exists() and any(word in code.read_text() for word in _TRAINED):
            shutil.copy(_ZEROS, repository / folder.name / "1" / "model.py")
    for model in language_models():
        model.write(repository)
    interfaces = {model.name: model for one in INTERFACES.values() for model in (*one.before, one.model)}
    for interface in interfaces.values():
        write_formulas(interface, repository)
    return sorted(folder.name for folder in repository.iterdir())


def write_formulas(model: FormulaModel, repository: Path) -> None:
    """Write one model of formulas into a model repository."""
    folder = repository / model.name
    shutil.copytree((model.copy_of / "1") if model.copy_of else _FORMULAS, folder / "1")
    (folder / "config.pbtxt").write_text(model.config)
    if model.labels:
        (folder / "labels.txt").write_text(model.labels)
