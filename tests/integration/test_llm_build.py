"""Language models in a real dbt project: the statements that users write, the three places of parameters, each door."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator
from dataclasses import dataclass

import pytest
from support.dbt import DbtProject, DbtResult
from support.llms import Served, ensemble, serving_llms, vllm
from support.triton import Triton

pytestmark = pytest.mark.duckdb_only(
    "requests and answers are the same on each warehouse; test_generate.py asks on both"
)

REVIEWS = {
    1: "I loved it",
    2: "",
    3: 'It\'s "fine"\nand long',
}
#: What a model says of a review, and the columns that it becomes, or why it becomes none.
LABELS = {
    '{"sentiment": "good", "score": 0.75, "topics": ["plot", "cast"]}': ("good", 0.75, ["plot", "cast"]),
    '```json\n{"sentiment": null, "score": 1}\n```': (None, 1.0, None),
    '{"sentiment": "good", "score": "high", "topics": []}': "score of the answer's text is no DOUBLE",
    '{"sentiment": "good", "score": 1, "topics": "plot"}': "topics of the answer's text",
    '["good"]': "is JSON, but no object",
    "It is good.": "is not JSON",
    '{"sentiment": "one two three four five six seven eight nine ten", "score": 1}': "cut off by max_tokens",
}


@dataclass
class Built:
    """Two builds, one after the other, and what reached each model in them."""

    project: DbtProject
    first: DbtResult
    again: DbtResult
    reader: Served
    batches: Served
    sent_first: int
    sent_again: int

    def parameters(self, mark: str) -> list[dict[str, object]]:
        """Return the parameters of the prompts that begin with a mark, each of them once."""
        texts = {one["inputs"]["sampling_parameters"] for one in self.reader.came if one["prompt"].startswith(mark)}
        return [json.loads(text) for text in texts]


@pytest.fixture(scope="module")
def built(triton: Triton, module_project: Callable[..., DbtProject]) -> Generator[Built]:
    """Build everything, twice."""
    with serving_llms(triton, vllm("review_reads"), ensemble("review_batches", decoupled=False)) as (reader, batches):
        project = module_project()
        _write(project, reader)
        first = project.build()
        sent = len(reader.prompts) + len(batches.prompts)
        again = project.build("-s", "reviews", "review_reader", "read")
        yield Built(project, first, again, reader, batches, sent, len(reader.prompts) + len(batches.prompts) - sent)


def _write(project: DbtProject, reader: Served) -> None:
    def text(value: str) -> str:
        return "'" + value.replace("'", "''") + "'"

    rows = ", ".join(f"({number}, {text(review)})" for number, review in REVIEWS.items())
    # Jinja would read what stands between two braces.
    project.model("reviews", f"{{{{ config(materialized='table') }}}} select * from (values {rows}) v(id, user_review)")
    served = f"'provider' = 'triton', 'endpoint' = '{reader.url}', 'model-name'"
    model = "{{ config(materialized='inference_model') }}\n"
    project.model(
        "review_reader",
        f"{model}CREATE MODEL review_reader\n"
        "INPUT (prompt STRING) OUTPUT (answer STRING, finish_reason STRING, num_output_tokens INT)\n"
        f"WITH ({served} = 'review_reads', 'cache' = 'persistent',\n"
        """      'parameters' = '{"temperature": 0, "max_tokens": 64, "stop": ["\\n"]}')""",
    )
    predicting = "{{ config(materialized='ml_predict') }}\n"
    project.model(
        "read",
        predicting + "SELECT id, answer, finish_reason, num_output_tokens FROM ML_PREDICT(\n"
        "  TABLE (select id, 'Is this review positive? Answer yes or no. ' || user_review as prompt from "
        "{{ ref('reviews') }}),\n  MODEL {{ ref('review_reader') }}, DESCRIPTOR(prompt))",
    )
    values = ", ".join(f"({number}, {text('/say ' + said)})" for number, said in enumerate(LABELS))
    project.model("said", f"{{{{ config(materialized='table') }}}} select * from (values {values}) v(id, prompt)")
    project.model(
        "labeller",
        f"{model}CREATE MODEL labeller\n"
        "INPUT (prompt STRING) OUTPUT (sentiment STRING, score DOUBLE, topics ARRAY<STRING>)\n"
        f"WITH ({served} = 'review_reads', 'response-format' = 'json', 'max-tokens' = '10', 'on-error' = 'null')",
    )
    call = "DESCRIPTOR(prompt)"
    project.model(
        "labels",
        f"{predicting}SELECT * FROM ML_PREDICT(TABLE {{{{ ref('said') }}}}, MODEL {{{{ ref('labeller') }}}}, {call})",
    )
    project.model("by_yaml", "{{ dbt_triton.create_model() }}")
    definition = {
        "input": {"prompt": "STRING"},
        "output": {"answer": "STRING"},
        "provider": "triton",
        "endpoint": reader.url,
        "model-name": "review_reads",
        "parameters": {"temperature": 0, "max_tokens": 3, "stop": ["END"], "ignore_eos": True},
        "request-parameters": {"team": "reviews", "share": 0.5},
    }
    config = {"materialized": "inference_model", "meta": {"inference_model": definition}}
    project.write("models/models.yml", json.dumps({"models": [{"name": "by_yaml", "config": config}]}))
    project.model(
        "three_places",
        "{{ config(materialized='ml_predict', meta={'ml_predict': {'parameters': {'seed': 1, 'max_tokens': 2}}}) }}\n"
        "SELECT * FROM ML_PREDICT(TABLE (select 'three places are here' as prompt), MODEL {{ ref('by_yaml') }}, "
        """DESCRIPTOR(prompt), MAP['parameters', '{"max_tokens": 1, "temperature": 0.5}'])""",
    )
    project.model(
        "batch_reader",
        f"{model}CREATE MODEL batch_reader INPUT (prompt STRING, max_tokens INT, stop_words ARRAY<STRING>)\n"
        f"OUTPUT (answer STRING, num_output_tokens INT) WITH ({served} = 'review_batches')",
    )
    project.model(
        "in_batches",
        f"{predicting}SELECT * FROM ML_PREDICT(TABLE (select * from (values (1, 'a b c', 2, null), "
        "(2, 'd e f', 9, ['F']), (3, 'g h', null, ['H']), (4, null, 9, null)) v(id, prompt, max_tokens, stop_words)), "
        "MODEL {{ ref('batch_reader') }}, DESCRIPTOR(prompt, max_tokens, stop_words))",
    )
    project.model(
        "by_stub",
        f"{model}CREATE MODEL by_stub INPUT (prompt STRING) OUTPUT (sentiment STRING, topics ARRAY<STRING>)\n"
        "WITH ('provider' = 'stub', 'response-format' = 'json', 'max-tokens' = '9', 'stub.sentiment' = '[\"good\"]')",
    )
    project.model(
        "stubbed",
        f"{predicting}SELECT * FROM ML_PREDICT(TABLE {{{{ ref('said') }}}}, MODEL {{{{ ref('by_stub') }}}}, {call})",
    )


def test_the_answer_to_each_prompt(built: Built) -> None:
    """A table is read row by row: text, why it ends, how long it is, by the statements of the documentation."""
    rows = built.project.query("select id, answer, finish_reason, num_output_tokens from read order by id")
    asked = "IS THIS REVIEW POSITIVE? ANSWER YES OR NO. "
    said = {number: (asked + review.upper()).split("\n")[0] for number, review in REVIEWS.items()}
    assert rows == [(number, answer, "stop", len(answer.split())) for number, answer in said.items()]
    assert built.parameters("Is this") == [{"temperature": 0, "max_tokens": 64, "stop": ["\n"]}]


def test_each_prompt_is_paid_once(built: Built) -> None:
    """Each distinct prompt reached a model once, and a second build with a persistent cache sends nothing."""
    assert built.sent_first == len(REVIEWS) + len(LABELS) + 1 + 2
    assert built.sent_again == 0
    assert built.again.figures("read")["requests"] == 0


def test_json_becomes_typed_columns(built: Built) -> None:
    """Keys become columns by their types; a text that is none fails its own row, which says why."""
    rows = built.project.query("select sentiment, score, topics, ml_error from labels order by id")
    for said, row in zip(LABELS.values(), rows, strict=True):
        if isinstance(said, str):
            assert row[:3] == (None, None, None)
            assert said in row[3]
        else:
            assert row == (*said, None)
    types = built.project.columns("labels")
    if built.project.warehouse == "duckdb":
        assert [types[name] for name in ("sentiment", "score", "topics")] == ["VARCHAR", "DOUBLE", "VARCHAR[]"]


def test_parameters_of_three_places(built: Built) -> None:
    """YAML, meta of the predicting model and MAP of the call are merged key by key, the later one first."""
    assert built.project.query("select answer from three_places") == [("THREE",)]
    merged = {"temperature": 0.5, "max_tokens": 1, "stop": ["END"], "ignore_eos": True, "seed": 1}
    assert built.parameters("three places") == [merged]
    (came,) = [one for one in built.reader.came if one["prompt"].startswith("three places")]
    assert {key: came["parameters"][key] for key in ("team", "share")} == {"team": "reviews", "share": 0.5}


def test_rows_of_a_batch_say_their_own(built: Built) -> None:
    """Per-row parameters by infer: a NULL in an optional one leaves it out, in a required one predicts NULL."""
    rows = built.project.query("select answer, num_output_tokens from in_batches order by id")
    assert rows == [("A B", 2), ("D E ", 2), (None, None), (None, None)]


def test_a_stub_makes_what_json_would(built: Built) -> None:
    """Without a server, the columns are those of the JSON, by their types."""
    rows = built.project.query("select sentiment, topics is not null from stubbed")
    assert rows == [("good", True)] * len(LABELS)


def test_what_is_not_said_is_warned_of(built: Built) -> None:
    """Nothing is warned of where all is said; the models' own builds are quiet on the console."""
    assert "random" not in built.first.printed
    assert "max_tokens is not set" not in built.first.printed
