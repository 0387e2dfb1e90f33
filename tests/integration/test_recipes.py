"""Every recipe of docs/recipes.md ("recipes.md"), as it stands, against models with exactly the interfaces it shows."""

from __future__ import annotations

import json
from collections.abc import Generator
from pathlib import Path

import pytest
from support.dbt import REPOSITORY, DbtProject, DbtResult
from support.formulas import FormulaModel, serving_formulas
from support.recipes import COPIES, NO_RECIPES, RECIPES, Recipe, sections, write_files
from support.triton import Triton

pytestmark = pytest.mark.duckdb_only("the recipes are written for DuckDB")

EXAMPLES = REPOSITORY / "example_project" / "model_repository"
SECTIONS = sections()


def _models(name: str, recipe: Recipe) -> list[FormulaModel]:
    return [
        FormulaModel(
            model,
            config,
            recipe.formulas.get(model, {}),
            labels=recipe.labels.get(model, ""),
            copy_of=EXAMPLES / COPIES[model] if model in COPIES else None,
        )
        for model, config in SECTIONS[name].configs.items()
    ]


@pytest.fixture(scope="module")
def built(
    triton: Triton, tmp_path_factory: pytest.TempPathFactory
) -> Generator[tuple[DbtProject, DbtResult], None, None]:
    """One project of all recipes, built once."""
    project = DbtProject(tmp_path_factory.mktemp("recipes") / "project")
    write_files(project.root)
    for name in RECIPES:
        for table, query in RECIPES[name].tables.items():
            project.model(table, query)
        for file, text in SECTIONS[name].files.items():
            assert not (project.root / file).exists(), f"{file} is there twice"
            project.write(file, text)
    with serving_formulas(triton, [model for name in RECIPES for model in _models(name, RECIPES[name])]):
        yield project, project.dbt("build", "--vars", json.dumps({"dbt_triton_endpoint": triton.url}))


def test_every_section_is_a_recipe() -> None:
    """A section of the page has a test here, which knows its models, and the page has every recipe of the test."""
    assert SECTIONS.keys() - NO_RECIPES == RECIPES.keys()
    for name in NO_RECIPES:
        assert not SECTIONS[name].files
    for name, recipe in RECIPES.items():
        assert SECTIONS[name].files, name
        formulas = {
            model
            for model, config in SECTIONS[name].configs.items()
            if "platform" not in config and model not in COPIES
        }
        assert formulas == recipe.formulas.keys(), name


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES)
def test_recipe(built: tuple[DbtProject, DbtResult], name: str) -> None:
    """The files of a recipe build, and the tables hold what the page says."""
    recipe = RECIPES[name]
    project, result = built
    for file in SECTIONS[name].files:
        assert result.status(Path(file).stem) == "success", result.message(Path(file).stem)
    assert project.query(recipe.query) == recipe.rows
