"""Every file of docs/language-models.md ("language-models.md"), on models with the interfaces that it speaks of."""

from __future__ import annotations

import json
import re
from collections.abc import Generator
from pathlib import Path

import pytest
from support.dbt import REPOSITORY, DbtProject, DbtResult
from support.formulas import FormulaModel, serving_formulas
from support.interfaces import tensors
from support.triton import Triton

from dbt_triton.server import TritonServer

pytestmark = pytest.mark.duckdb_only("the page is written for DuckDB")

PAGE = (REPOSITORY / "docs" / "language-models.md").read_text(encoding="utf-8")
WRITER = REPOSITORY / "example_project" / "model_repository" / "review-writer"
FILE = re.compile(r"^```sql\n-- (\S+\.sql)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
#: What is left out here has no part in the page.
ENSEMBLE = tensors(
    64,
    "text_input BYTES 1; max_tokens INT32 1; stop_words BYTES -1 optional; temperature FP32 1 optional; "
    "exclude_input_in_output BOOL 1 optional; return_num_output_tokens BOOL 1 optional",
    "text_output BYTES -1",
)
LLMAPI = tensors(
    64,
    "text_input BYTES -1; streaming BOOL 1 optional; sampling_param_max_tokens INT32 1 optional; "
    "sampling_param_temperature FP32 1 optional; sampling_param_exclude_input_from_output BOOL 1 optional",
    "text_output BYTES -1",
)
ENSEMBLE_TEXT = (
    "np.array([[b'%d %s %g %d' % (limit, b'|'.join(stops), heat, apart)] for limit, stops, heat, apart in zip("
    "max_tokens.ravel(), stop_words, temperature.ravel(), exclude_input_in_output.ravel())], dtype=object)"
)
LLMAPI_TEXT = (
    "np.array([[b'%d %g %d' % (limit, heat, apart)] for limit, heat, apart in zip("
    "sampling_param_max_tokens.ravel(), sampling_param_temperature.ravel(), "
    "sampling_param_exclude_input_from_output.ravel())], dtype=object)"
)
VLLM = WRITER.joinpath("config.pbtxt").read_text(encoding="utf-8").replace(WRITER.name, "vllm_model")
MODELS = [
    FormulaModel("vllm_model", VLLM, copy_of=WRITER),
    FormulaModel("ensemble", ENSEMBLE, {"text_output": ENSEMBLE_TEXT}),
    FormulaModel("tensorrt_llm", LLMAPI, {"text_output": LLMAPI_TEXT}),
]
REVIEWS = """id,movie_name,user_review,actual_sentiment
1,Alien,"A wonderful and touching film. It is slow at times, but never dull.",positive
2,Alien,awful,negative
3,Heat,,neutral
"""
CHAT = (
    "<|im_start|>system\nYou label movie reviews.<|im_end|>\n"
    "<|im_start|>user\nIs this review positive? {}<|im_end|>\n"
    "<|im_start|>assistant\n"
)
#: What each table of the page holds, but for the columns that come from the seed.
ROWS: dict[str, tuple[str, list[tuple[object, ...]]]] = {
    "judged_reviews": ("id, answer", [(1, "yes"), (2, "no"), (3, None)]),
    "labelled_reviews": ("id, label", [(1, "positive"), (2, "negative"), (3, None)]),
    "extracted_reviews": (
        "id, sentiment, score, topics, ml_error",
        [(1, "positive", 0.5, ["times"], None), (2, "negative", -1.0, [], None), (3, None, None, None, None)],
    ),
    "summarised_movies": ("*", [("Alien", "A wonderful and touching film", False, 5)]),
    "translated_reviews": (
        "*",
        [
            (1, "German", "A wonderful and touching film"),
            (1, "Spanish", "A wonderful and touching film"),
            (2, "German", "awful"),
            (2, "Spanish", "awful"),
            (3, "German", None),
            (3, "Spanish", None),
        ],
    ),
    "told_reviews": ("*", [(1, "A wonderful and"), (2, "awful"), (3, None)]),
    "chatted_reviews": (
        "id, prompt",
        [
            (1, CHAT.format("A wonderful and touching film. It is slow at times, but never dull.")),
            (2, CHAT.format("awful")),
            (3, None),
        ],
    ),
    "written_by_ensemble": ("*", [(1, "64 </s> 0 1"), (2, "64 </s> 0 1"), (3, None)]),
    "written_by_llmapi": ("*", [(1, "64 0 1"), (2, "64 0 1"), (3, None)]),
    "nightly_labels": ("*", [(1, "yes"), (2, "no"), (3, None)]),
}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Generator[tuple[DbtProject, DbtResult], None, None]:
    """A project of all files of the page, built once, on a server whose models have the names of the page."""
    root = tmp_path_factory.mktemp("language_models")
    repository = root / "model_repository"
    repository.mkdir()
    project = DbtProject(root / "project")
    project.write("seeds/movie_reviews.csv", REVIEWS)
    for file, text in FILE.findall(PAGE):
        project.write(file, text)
    with TritonServer(repository, extra_args=["--model-control-mode=explicit"]) as server:
        triton = Triton(server.url, server.metrics_url, repository)
        with serving_formulas(triton, MODELS):
            yield project, project.dbt("build", "--vars", json.dumps({"dbt_triton_endpoint": server.url}))


def test_every_snippet_is_a_file() -> None:
    """Every snippet of SQL has the name of its file, so that it is built, and each predicting model has a test here."""
    assert len(FILE.findall(PAGE)) == len(re.findall(r"^```sql$", PAGE, re.MULTILINE))
    predicting = {Path(file).stem for file, text in FILE.findall(PAGE) if "ML_PREDICT" in text}
    assert predicting == ROWS.keys()


@pytest.mark.slow
@pytest.mark.parametrize("table", ROWS)
def test_table(built: tuple[DbtProject, DbtResult], table: str) -> None:
    """A file of the page builds as it stands, and its table holds what the page says."""
    project, result = built
    assert result.status(table) == "success", result.message(table)
    columns, rows = ROWS[table]
    assert project.query(f"select {columns} from {table} order by all") == rows
