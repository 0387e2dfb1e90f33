"""Language models: prompts of a table by generate_stream, and what comes of each answer, with a real Triton."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import httpx
import pytest
from support.session import Rows, StepError, Steps
from support.triton import Triton

SCHEMA = "INPUT (prompt STRING) OUTPUT (answer STRING)"
#: A bad prompt, and what its row says.
BAD = {
    "two": "the model gave 2 answers to one row",
    "none": "the model gave the row no answer",
    "error": "a bad prompt",
    "late": "in the middle",
    "twice as much": "output text_output has 2 values, and answer takes one",
}


@pytest.fixture(scope="module")
def model(serve: Callable[[str], str]) -> str:
    """The name of a decoupled model that does what a prompt says."""
    return serve("parrot")


def build(
    session: Steps, triton: Triton, model: str, prompts: Sequence[str | None], schema: str = SCHEMA, **options: str
) -> Rows:
    """Build a table with what comes of prompts, in their order."""
    values = ", ".join(
        f"({place}, {'null' if text is None else chr(39) + text.replace(chr(39), chr(39) * 2) + chr(39)})"
        for place, text in enumerate(prompts)
    )
    session.table("t", f"select * from (values {values}) as v(id, p)")
    given = {"endpoint": triton.url, "model-name": model} | {key.replace("_", "-"): v for key, v in options.items()}
    session.create_model("m", schema, given)
    select = "select * from ML_PREDICT(TABLE t, MODEL m, DESCRIPTOR(p)) order by id"
    return session.ordered(session.build("out", select, ["m"]))


def prompts_sent(triton: Triton, model: str) -> int:
    """Return how many prompts the server has run."""
    stats = httpx.get(f"{triton.url}/v2/models/{model}/stats", trust_env=False).raise_for_status().json()
    return int(sum(version["inference_count"] for version in stats["model_stats"]))


def test_each_prompt_gets_its_answer(session: Steps, triton: Triton, model: str) -> None:
    """Every text comes back as it was sent, whatever is in it; a prompt that is NULL is not sent, equal ones once."""
    texts = [
        "hello",
        "",
        'a "quoted" \\ text',
        "some lines\n\n\ndata: {}\r\n",
        "Grüße \U0001f600",
        "a\u2028b\u2029c\u0085d",
    ]
    before = prompts_sent(triton, model)
    rows = build(session, triton, model, [*texts, None, "hello"])
    assert [row[-1] for row in rows] == [*texts, None, "hello"]
    assert prompts_sent(triton, model) - before == len(texts)


def test_a_bad_prompt_fails_alone(session: Steps, triton: Triton, model: str) -> None:
    """No answer, two answers and errors are their own row's; all others get theirs, and each row says why."""
    prompts = [*BAD, *(f"good {number}" for number in range(20))]
    rows = build(session, triton, model, prompts, on_error="null", max_retries="0")
    by_prompt = {row[1]: row[2:] for row in rows}
    for prompt, why in BAD.items():
        answer, error = by_prompt[prompt]
        assert answer is None
        assert why in error
    assert all(by_prompt[prompt] == (prompt, None) for prompt in prompts if prompt not in BAD)


def test_parts_of_an_answer_are_joined(session: Steps, triton: Triton, model: str) -> None:
    """With responses = concat texts are joined, counters summed, and of the rest the last one holds."""
    schema = "INPUT (prompt STRING) OUTPUT (answer STRING, finish_reason STRING, num_output_tokens INT, score FLOAT)"
    schema = schema.replace("num_output_tokens INT", "num_output_tokens BIGINT")
    rows = build(session, triton, model, ["two", "one part only"], schema, responses="concat")
    assert [row[2:] for row in rows] == [("one two", "stop", 2, 0.5), ("one part only", "stop", 3, 0.5)]


def test_several_answers_to_a_prompt_are_an_array(session: Steps, triton: Triton, model: str) -> None:
    """What a model answers n times to one prompt is an array; one answer is an array of one."""
    schema = "INPUT (prompt STRING) OUTPUT (answer ARRAY<STRING>, num_output_tokens ARRAY<BIGINT>)"
    rows = build(session, triton, model, ["twice", "once"], schema)
    assert [row[2:] for row in rows] == [(["twice", "TWICE"], [1, 1]), (["once"], [1])]


def test_numbers_without_a_json_form(session: Steps, triton: Triton, model: str) -> None:
    """NaN and Infinity, which Triton writes into its JSON as they are, come as they are."""
    schema = "INPUT (prompt STRING) OUTPUT (answer STRING, score FLOAT)"
    rows = build(session, triton, model, ["nan", "infinity", "x"], schema)
    assert [str(row[-1]) for row in rows] == ["nan", "inf", "0.5"]


def test_json_becomes_typed_columns(session: Steps, triton: Triton, model: str) -> None:
    """Keys of the answer's JSON are columns by their types; a text that is none fails its row, and says why."""
    schema = "INPUT (prompt STRING) OUTPUT (mood STRING, level DOUBLE, topics ARRAY<STRING>, finish_reason STRING)"
    answers = [
        '{"mood": "good", "level": 0.5, "topics": ["a", "b"]}',
        '```json\n{"level": 1, "more": {}}\n```',
        "good, I think",
        '{"mood": 5}',
        '{"level": "high"}',
    ]
    before = prompts_sent(triton, model)
    options = {"response_format": "json", "on_error": "null", "guided": "false", "cache": "persistent"}
    prompts = [*(f"say {answer}" for answer in answers), "cut"]
    rows = [row[2:] for row in build(session, triton, model, prompts, schema, **options)]
    assert [row[:4] for row in rows[:2]] == [("good", 0.5, ["a", "b"], "stop"), (None, 1.0, None, "stop")]
    assert all(row[:4] == (None, None, None, None) for row in rows[2:])
    assert "is not JSON" in rows[2][4]
    assert "finish_reason stop" in rows[2][4]
    assert "mood of the answer's text is no VARCHAR: it is 5" in rows[3][4]
    assert "level of the answer's text is no DOUBLE" in rows[4][4]
    assert "cut off by max_tokens (finish_reason length)" in rows[5][4]
    again = [row[2:] for row in build(session, triton, model, prompts, schema, **options)]
    assert again == rows
    assert prompts_sent(triton, model) - before == len(prompts)


def test_a_text_that_is_no_json_says_what_to_do(session: Steps, triton: Triton, model: str) -> None:
    """A build that fails by the texts of a model advises on these, not on the values of the table."""
    options = {"response_format": "json", "guided": "false"}
    with pytest.raises(StepError, match=r"is not JSON.*(?s:.*)Say in the prompt which JSON is wanted.*retry-errors"):
        build(session, triton, model, ["hello"], "INPUT (prompt STRING) OUTPUT (mood STRING)", **options)


def test_parameters_reach_the_model(session: Steps, triton: Triton, model: str) -> None:
    """What is said of all rows, and of each row, is in the one text that the model reads; NULL leaves a key out."""
    session.sql(
        "create table t as select * from (values (1, 'parameters', 5, 0.5), (2, 'parameters', null, 1)) v(id, p, n, x)"
    )
    schema = "INPUT (prompt STRING, max_tokens INT, top_p DOUBLE) OUTPUT (answer STRING)"
    options = {"parameters": '{"temperature": 0, "stop": ["\\n"]}', "request-parameters": '{"team": "a", "share": 1.0}'}
    session.create_model("m", schema, {"endpoint": triton.url, "model-name": model, **options})
    select = "select id, answer from ML_PREDICT(TABLE t, MODEL m, DESCRIPTOR(p, n, x)) order by id"
    answers = [row[1].split("|")[0] for row in session.ordered(session.build("out", select, ["m"]))]
    fixed = '{"stop":["\\n"],"temperature":0'
    assert answers == [f'{fixed},"max_tokens":5,"top_p":0.5}}', f'{fixed},"top_p":1}}']
    sent = [json.loads(row[0]) for row in session.sql("select split_part(answer, '|', 2) from out")]
    assert [(one["team"], one["share"]) for one in sent] == [("a", 1.0)] * 2


def test_a_queue_timeout_is_not_the_rows_fault(session: Steps, triton: Triton, model: str) -> None:
    """A request that waited too long before the model is one of a server that is busy: the run ends, no row fails."""
    with pytest.raises(StepError, match="Request timeout expired"):
        build(
            session,
            triton,
            model,
            ["expired"],
            on_error="null",
            circuit_breaker_timeout="1s",
            timeout="2s",
            max_retries="0",
        )


def test_a_request_that_is_not_answered_is_sent_once_more(session: Steps, triton: Triton, model: str) -> None:
    """The server computes on after a timeout, so that a row is sent twice at most, and says so."""
    rows = build(session, triton, model, ["sleep 3", "x"], on_error="null", timeout="400ms", max_retries="5")
    assert rows[1][2:] == ("x", None)
    assert "did not answer within 400 ms; a server goes on" in rows[0][3]


def test_thousands_are_in_flight(session: Steps, triton: Triton, model: str) -> None:
    """As many requests are open at once as is said, each for a second."""
    prompts = [f"sleep 1 {number}" for number in range(1500)]
    rows: list[Any] = build(session, triton, model, prompts, max_concurrent_operations="1500")
    assert [row[2] for row in rows] == prompts
    assert session.figures["seconds"] < 1500 / 10
