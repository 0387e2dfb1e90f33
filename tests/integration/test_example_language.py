"""The example's models of language on a server of its models: a sentence model, and what stands in for an LLM."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Generator
from typing import Any

import httpx
import pytest
from support.dbt import REPOSITORY, DbtProject

from dbt_triton.server import TritonServer

pytestmark = pytest.mark.duckdb_only("tests/spark/test_demo.py compares what becomes of them on Spark")

EXAMPLE = REPOSITORY / "example_project"
SERVED = ("sentence-embedding", "review-writer")
REVIEW = "A slow start. The ending is wonderful and very moving - never dull."


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Generator[str, None, None]:
    """A server of both models."""
    root = tmp_path_factory.mktemp("example")
    for name in SERVED:
        shutil.copytree(EXAMPLE / "model_repository" / name, root / "model_repository" / name)
    make = (
        "from pathlib import Path; import joblib, train_kinds; joblib.dump(train_kinds._sentence_model(Path()), {!r})"
    )
    artifact = root / "model_repository" / "sentence-embedding" / "1" / "model.joblib"
    artifact.unlink(missing_ok=True)
    subprocess.run([sys.executable, "-c", make.format(str(artifact))], cwd=EXAMPLE, check=True, timeout=120)
    with TritonServer(root / "model_repository") as server:
        yield server.url


def _embed(url: str, texts: list[str]) -> list[list[float]]:
    body = {"inputs": [{"name": "TEXT", "datatype": "BYTES", "shape": [len(texts), 1], "data": texts}]}
    answer = httpx.post(f"{url}/v2/models/sentence-embedding/infer", json=body, timeout=60, trust_env=False)
    data = answer.raise_for_status().json()["outputs"][0]["data"]
    return [data[start : start + 384] for start in range(0, len(data), 384)]


def _generate(url: str, prompt: str, **inputs: Any) -> list[dict[str, Any]]:
    """Return the events of one prompt."""
    answer = httpx.post(
        f"{url}/v2/models/review-writer/generate_stream",
        json={"text_input": prompt} | inputs,
        timeout=60,
        trust_env=False,
    )
    return [json.loads(event.removeprefix("data: ")) for event in answer.text.split("\n\n") if event]


@pytest.mark.slow
def test_vectors_do_not_depend_on_the_batch(url: str) -> None:
    """A text has the same vector to the last digit alone and beside a longer one, so no build changes another's."""
    together = _embed(url, ["short", "a much longer text, which would need padding", ""])
    assert _embed(url, ["short"]) == together[:1]
    assert [len(vector) for vector in together] == [384] * 3


@pytest.mark.slow
def test_writer_has_the_interface_of_vllm(url: str) -> None:
    """The prompt is before the text unless it is excluded, flags ask for outputs, and parameters are a JSON text."""
    prompt = f"Summarise this review.\n{REVIEW}"
    assert _generate(url, prompt)[0]["text_output"] == f"{prompt}The ending is wonderful and very moving"
    (event,) = _generate(
        url,
        prompt,
        exclude_input_in_output=True,
        sampling_parameters=json.dumps({"max_tokens": 4, "temperature": 0}),
        return_finish_reason=True,
        return_num_output_tokens=True,
    )
    assert event == {
        "model_name": "review-writer",
        "model_version": "1",
        "text_output": "The ending is wonderful",
        "finish_reason": "length",
        "num_output_tokens": 4,
    }
    streamed = _generate(url, prompt, stream=True)
    assert "".join(event["text_output"] for event in streamed) == "The ending is wonderful and very moving"
    assert len(streamed) == 7
    (refused,) = _generate(url, prompt, sampling_parameters="[]")
    assert refused == {"error": "sampling_parameters: it is no JSON object"}


@pytest.mark.slow
def test_writer_writes_json(url: str) -> None:
    """A prompt that asks for JSON gets an object, by a schema where one is given."""
    inputs: dict[str, Any] = {"exclude_input_in_output": True}
    parameters: dict[str, Any] = {"max_tokens": 64}

    def answer() -> Any:
        (event,) = _generate(
            url, f"Describe it as JSON.\n{REVIEW}", sampling_parameters=json.dumps(parameters), **inputs
        )
        return json.loads(event["text_output"])

    assert answer() == {"sentiment": "positive", "score": 0.5, "topics": ["start", "ending"]}
    schema = {"properties": {"sentiment": {"enum": ["bad", "positive"]}, "words": {"type": ["integer", "null"]}}}
    parameters["structured_outputs"] = json.dumps({"json": schema})
    assert answer() == {"sentiment": "positive", "words": 12}


@pytest.fixture(scope="module")
def project(url: str, tmp_path_factory: pytest.TempPathFactory) -> DbtProject:
    """The example's models of language, built."""
    project = DbtProject(tmp_path_factory.mktemp("language") / "project")
    for folder in ("macros", "models/language", "seeds"):
        shutil.copytree(EXAMPLE / folder, project.root / folder)
    project.environment = {"TRITON_URL": url}
    project.build("--select", "+path:models/language")
    return project


@pytest.mark.slow
def test_generated_columns(project: DbtProject) -> None:
    """Prompts that are written in SQL have their answers as a column, and JSON is columns with types."""
    counted = (
        "select count(*), count(summary), min(num_output_tokens) > 0, max(num_output_tokens) from summarised_reviews"
    )
    assert project.query(counted) == [(212, 212, True, 32)]
    assert project.query("select count(*) from summarised_reviews where not contains(user_review, summary)") == [(0,)]
    assert project.query("select typeof(score), typeof(topics), count(score) from extracted_reviews group by all") == [
        ("DOUBLE", "VARCHAR[]", 212)
    ]


@pytest.mark.slow
def test_reviews_of_like_meaning(project: DbtProject) -> None:
    """The nearest review of one says the same in other words, and is found by SQL."""
    nearest = "select user_review, similar_review from similar_reviews where id = 9800 and nearness = 1"
    assert project.query(nearest) == [
        (
            "Master of Disguise runs for only 71 minutes and feels like three hours.",
            "A nearly 21/2 hours, the film is way too indulgent.",
        )
    ]
