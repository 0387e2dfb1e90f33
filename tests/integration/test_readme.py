"""Every SQL and YAML snippet of the README is built as it stands."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.dbt import REPOSITORY, DbtProject
from support.triton import Triton

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
FENCE = re.compile(r"^```(sql|yaml|yml)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
#: A snippet's first line may say which file it is.
FILE = re.compile(r"^(?:--|#) (\S+\.(?:sql|yml|yaml))$")
MACRO = re.compile(r"`(from \{\{ dbt_triton\.ml_predict\([^`]*)`")


@dataclass(frozen=True)
class Snippet:
    """A fenced snippet, and the file that it is where it says so."""

    language: str
    text: str
    file: str | None

    @property
    def models(self) -> list[dict[str, Any]]:
        """The models of a YAML snippet that is no file of its own."""
        content = yaml.safe_load(self.text) if self.language != "sql" and self.file is None else {}
        models: list[dict[str, Any]] = content.get("models", [])
        return models


def snippets() -> list[Snippet]:
    """Return every SQL and YAML snippet."""
    found = []
    for language, text in FENCE.findall(README):
        named = FILE.match(text.split("\n", 1)[0])
        found.append(Snippet(language, text, named[1] if named else None))
    return found


@pytest.mark.slow
def test_snippets_of_the_readme_are_built(triton: Triton, tmp_path: Path) -> None:
    """Files of the README make a project that builds, with `dbt deps` first; YAML and macro make the same table."""
    found = snippets()
    lost = [snippet.text for snippet in found if snippet.file is None and not snippet.models]
    assert lost == [], "begin it with the name of its file, or make it a list of models"
    project = DbtProject(tmp_path / "project")
    (tmp_path / "dbt-triton").symlink_to(REPOSITORY, target_is_directory=True)
    (project.root / "dbt_packages" / "dbt_triton").unlink()
    project.write(
        "seeds/movie_reviews.csv", "id,movie_name,user_review,actual_sentiment\n1,Alien,great,positive\n2,X,,bad\n"
    )
    for snippet in found:
        if snippet.file is not None:
            project.write(snippet.file, snippet.text)
    assert (project.root / "models" / "classified_reviews.sql").exists()
    assert project.dbt("deps").code == 0
    with triton.serving("upper", name="text-classification") as name:
        project.build("--vars", json.dumps({"dbt_triton_endpoint": triton.url}))
        assert triton.counters(name).rows == 1
        classified = project.query("from classified_reviews order by id")
        assert classified == [(1, "Alien", "GREAT", "positive"), (2, "X", None, "bad")]

        for number, snippet in enumerate(snippet for snippet in found if snippet.models):
            project.write(f"models/readme_{number}.yml", snippet.text)
            for model in snippet.models:
                project.model(model["name"], "{{ dbt_triton.create_model() }}")
        sql = (project.root / "models/classified_reviews.sql").read_text()
        macros = MACRO.findall(README)
        assert macros
        for macro in macros:
            project.model("classified_reviews", sql[: sql.index("FROM ML_PREDICT")] + macro)
            project.build(TRITON_URL=triton.url)
            assert project.query("from classified_reviews order by id") == classified
        assert triton.counters(name).rows == 1 + len(macros)
