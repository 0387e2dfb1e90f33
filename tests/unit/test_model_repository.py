"""What is wrong with the folders of a model repository, before and after Triton has looked at them."""

from __future__ import annotations

from pathlib import Path

import pytest

from dbt_triton.model_repository import model_folders, reasons_of_log, without_file, without_version


def _write(repository: Path, *files: str, config: str = 'backend: "python"\n') -> None:
    for file in files:
        path = repository / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(config if path.name == "config.pbtxt" else "x")


def test_folder_without_a_version(tmp_path: Path) -> None:
    """A folder without a version folder is told, whatever else is in it; what is no folder, or hidden, is no model."""
    _write(
        tmp_path, "good/config.pbtxt", "good/1/model.py", "bare/config.pbtxt", "named/v1/model.py", ".git/x", "README"
    )
    (tmp_path / "empty").mkdir()
    assert [path.name for path in model_folders(tmp_path)] == ["bare", "empty", "good", "named"]
    assert without_version(tmp_path) == {
        name: f"it has no version folder: put the model's files into {name}/1" for name in ("bare", "empty", "named")
    }


@pytest.mark.parametrize(
    ("config", "files", "lacking"),
    [
        ('backend: "python"', ["1/other.py"], "it has no 1/model.py"),
        ("  backend : 'python'", ["1/other.py"], "it has no 1/model.py"),
        ('backend: "python"', ["1/other.py", "2/model.py"], None),
        ('backend: "python"', ["2/model.py", "10/other.py"], "it has no 10/model.py"),
        ('backend: "python"\nversion_policy: { all { }}', ["1/other.py", "2/model.py"], "it has no 1/model.py"),
        ('backend: "python"\ndefault_model_filename: "other.py"', ["1/other.py"], None),
        ('backend: "onnxruntime"', ["1/other.py"], None),
        ('backend: "python"', ["v1/other.py"], None),
    ],
)
def test_python_model_without_its_file(tmp_path: Path, config: str, files: list[str], lacking: str | None) -> None:
    """A Python model, for whose missing file Triton would wait, is found by the files of the versions it would load."""
    _write(tmp_path, "m/config.pbtxt", *(f"m/{file}" for file in files), config=config)
    assert without_file(tmp_path) == ({"m": lacking} if lacking else {})


def test_reasons_of_the_log() -> None:
    """Triton's log has the reasons that its index has not."""
    log = """
[libprotobuf ERROR text_format.cc:337] Error parsing text-format inference.ModelConfig: 1:17: Message type has no field.
E1126 m.cc:1460] "Poll failed for model directory 'broken': failed to read text proto from /models/broken/config.pbtxt"
E1126 m.cc:1460] "Poll failed for model directory 'm': unexpected directory name 'm' for model 'n', it must be equal"
E1126 m.cc:724] "failed to load model 'bare': at least one version must be available under the policy of model 'bare'"
I1126 m.cc:839] "successfully loaded 'good'"
"""
    assert reasons_of_log(log) == {
        "broken": "its config.pbtxt cannot be read: 1:17: Message type has no field.",
        "m": "unexpected directory name 'm' for model 'n', it must be equal",
        "bare": "at least one version must be available under the policy of model 'bare'",
    }
