"""Every SQL and YAML snippet of the README and of the documentation is built as it stands."""

from __future__ import annotations

import json
import re
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.dbt import REPOSITORY, DbtProject
from support.triton import Triton

pytestmark = pytest.mark.duckdb_only(
    "the snippets of the README are written for DuckDB; docs/spark.md has tests of its own"
)

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
FENCE = re.compile(r"^```(sql|yaml|yml)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
#: A snippet's first line may say which file it is.
FILE = re.compile(r"^(?:--|#) (\S+\.(?:sql|yml|yaml))$")
DOCS = REPOSITORY / "docs"
#: Pages whose snippets another file of tests builds.
BUILT_ELSEWHERE = {
    "champion-and-challenger.md": "test_dbt_still_good.py",
    "dbt.md": "test_dbt_docs.py",
    "language-models.md": "test_language_models.py",
    "recipes.md": "test_recipes.py",
    "runs.md": "test_runs.py",
    "spark.md": "../spark/test_spark_docs.py",
    "still-good.md": "test_dbt_still_good.py",
}
#: Their models are served by nobody here; their statements and options are checked all the same.
STUBBED = {"types.md"}
PAGES = sorted(page.name for page in DOCS.glob("*.md") if FENCE.search(page.read_text(encoding="utf-8")))
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


def snippets(page: str = README) -> list[Snippet]:
    """Return every SQL and YAML snippet of a page."""
    found = []
    for language, text in FENCE.findall(page):
        named = FILE.match(text.split("\n", 1)[0])
        found.append(Snippet(language, text, named[1] if named else None))
    return found


@pytest.fixture(scope="module")
def classifier(triton: Triton) -> Generator[str, None, None]:
    """The model that every page speaks of, on the server."""
    with triton.serving("upper", name="text-classification") as name:
        yield name


@pytest.mark.slow
def test_snippets_of_the_readme_are_built(triton: Triton, classifier: str, tmp_path: Path) -> None:
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
    before = triton.counters(classifier)
    project.build("--vars", json.dumps({"dbt_triton_endpoint": triton.url}))
    assert (triton.counters(classifier) - before).rows == 1
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
    assert (triton.counters(classifier) - before).rows == 1 + len(macros)


def test_pages_that_are_built_elsewhere() -> None:
    """No page of the documentation is left out."""
    for page, test in BUILT_ELSEWHERE.items():
        assert page in PAGES
        assert f'"{page}"' in (Path(__file__).parent / test).read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("name", [page for page in PAGES if page not in BUILT_ELSEWHERE])
def test_snippets_of_the_documentation_are_built(triton: Triton, classifier: str, tmp_path: Path, name: str) -> None:
    """The files of a page make a project that builds, twice, beside the reviews and the classifier of the first."""
    found = snippets((DOCS / name).read_text(encoding="utf-8"))
    lost = [snippet.text for snippet in found if snippet.file is None and not snippet.models]
    assert lost == [], "begin it with the name of its file, or make it a list of models"
    project = DbtProject(tmp_path / "project")
    project.write(
        "seeds/movie_reviews.csv", "id,movie_name,user_review,actual_sentiment\n1,Alien,great,positive\n2,X,,bad\n"
    )
    project.inference_model("triton_sentiment_classifier", triton.url, classifier)
    for snippet in found:
        if snippet.file not in {None, "packages.yml"}:
            project.write(str(snippet.file), snippet.text)
    variables = {"dbt_triton_endpoint": triton.url} | ({"dbt_triton_provider": "stub"} if name in STUBBED else {})
    for _ in range(2):
        result = project.build("--vars", json.dumps(variables))
    built = {Path(str(snippet.file)).stem for snippet in found if str(snippet.file).startswith("models/")}
    models = {model for model in built if (project.root / "models" / f"{model}.sql").exists()}
    assert models <= result.results.keys(), "a model of the page was not built"

    in_yaml = [snippet for snippet in found if snippet.models]
    for number, snippet in enumerate(in_yaml):
        project.write(f"models/snippet_{number}.yml", snippet.text)
        for model in snippet.models:
            project.model(model["name"], "{{ dbt_triton.create_model() }}")
    if in_yaml:
        project.build("--vars", json.dumps(variables))
