"""What comes of each thing that a language model, or the server in front of it, can answer to a prompt."""

from __future__ import annotations

import math
from collections.abc import Generator

import pytest
from support.llms import Served, bls, ensemble, serving_llms, short_queue, vllm
from support.llms.asking import answers, ask, create, prepare
from support.session import StepError, Steps
from support.triton import Triton

pytestmark = pytest.mark.duckdb_only(
    "requests and answers are the same on each warehouse; test_generate.py asks on both"
)

GOOD = [f"word {number}" for number in range(40)]
#: What Triton knows of errors.
CODES = ["UNKNOWN", "INTERNAL", "NOT_FOUND", "INVALID_ARG", "UNAVAILABLE", "UNSUPPORTED", "ALREADY_EXISTS", "CANCELLED"]
#: A prompt, and what its row says.
BAD = {
    "/zero": "the model gave the row no answer",
    "/bare": "the model gave the row no answer",
    "/three a b c": "the model gave 3 answers to one row",
    "/list": "output text_output has 2 values, and answer takes one",
    "/partly": "no output finish_reason",
    "/error-first x": "an early error",
    "/error-late x": "a late error",
    "/raise": "boom in execute",
    "/bytes ff41": "not UTF-8",
    **{f"/error {code}": f"code {code}" for code in CODES},
}
TEXTS = [
    *("", " ", "null", "None", "NaN", "{}", "[]", '"'),
    "a\0b",
    'quotes " and \\ and \\u0041 and /',
    'lines\n\n\ndata: {"error": "x"}\r\n\tend',
    "a\u2028b\u2029c\u0085d\x0be\x7ff\ufefff",
    "Grüße 你好 \U0001f600 \U0001f469\u200d\U0001f52c",
]


@pytest.fixture(scope="module")
def models(triton: Triton) -> Generator[dict[str, Served]]:
    """The models of this file, by their names."""
    listed = [
        vllm("says"),
        ensemble("says_ensemble", decoupled=True),
        ensemble("says_batches", decoupled=False),
        bls("says_bls"),
        short_queue("says_slowly", 2),
    ]
    with serving_llms(triton, *listed) as served:
        yield {one.name: one for one in served}


@pytest.fixture
def says(models: dict[str, Served]) -> Served:
    """A model with vLLM's interface, to which nothing has been said."""
    models["says"].forget()
    return models["says"]


@pytest.mark.parametrize("name", ["says", "says_ensemble", "says_bls"])
def test_a_bad_prompt_fails_alone_and_says_why(session: Steps, models: dict[str, Served], name: str) -> None:
    """Whatever is wrong with an answer is its own row's: every other prompt is answered, and each was sent once."""
    llm = models[name]
    llm.forget()
    has_reason = name == "says"
    bad = {prompt: why for prompt, why in BAD.items() if has_reason or prompt != "/partly"}
    output = "answer STRING, finish_reason STRING" if has_reason else "answer STRING"
    prompts = [*GOOD[:20], *bad, *GOOD[20:]]
    rows = ask(session, llm, prompts, output, max_tokens="64", on_error="null", max_retries="0")
    found = dict(zip(prompts, rows, strict=True))
    whole = ("stop", None) if has_reason else (None,)
    assert {prompt: found[prompt] for prompt in GOOD} == {prompt: (prompt.upper(), *whole) for prompt in GOOD}
    assert {prompt: found[prompt][:-1] for prompt in bad} == dict.fromkeys(bad, (None,) * len(whole))
    silent = {prompt: found[prompt][-1] for prompt, why in bad.items() if why not in found[prompt][-1]}
    assert not silent
    assert sorted(llm.prompts) == sorted(prompts)


def test_answers_of_different_lengths_are_one_batch(session: Steps, models: dict[str, Served]) -> None:
    """A batch is not refused, and so not sent in parts, since one answer has more tokens than another."""
    llm = models["says_batches"]
    llm.forget()
    prompts = ["a", "b c", "d e f g"]
    rows = ask(session, llm, prompts, "answer STRING, num_output_tokens INT", max_tokens="64")
    assert rows == [("A", 1), ("B C", 2), ("D E F G", 4)]
    assert sorted(llm.prompts) == prompts


def test_a_bad_prompt_of_a_batch_fails_alone(session: Steps, models: dict[str, Served]) -> None:
    """A model with batches fails them as a whole for one prompt: they are split until the bad one is alone."""
    llm = models["says_batches"]
    llm.forget()
    bad = {"/error INTERNAL": "code INTERNAL", "/bytes ff41": "UTF-8"}
    prompts = [*GOOD[:20], *bad, *GOOD[20:]]
    rows = ask(session, llm, prompts, max_tokens="64", on_error="null", max_retries="0", batch_size="8")
    found = dict(zip(prompts, rows, strict=True))
    assert {prompt: found[prompt] for prompt in GOOD} == {prompt: (prompt.upper(), None) for prompt in GOOD}
    assert all(why in found[prompt][1] for prompt, why in bad.items())
    # Halves of a batch of eight that failed, again, for each of the bad prompts.
    assert len(llm.prompts) - len(prompts) <= 2 * (4 + 2 + 1) * 2


def test_what_a_model_says_is_tried_again_and_then_fails(session: Steps, says: Served) -> None:
    """An error of the model is sent again as often as max-retries says; an answer that is wrong in itself is final."""
    prompts = ["/error INTERNAL", "/error-late x", "fine"]
    rows = ask(session, says, prompts, max_tokens="64", on_error="null", max_retries="2", retry_initial_backoff="1ms")
    assert [row[0] for row in rows] == [None, None, "FINE"]
    assert {prompt: says.prompts.count(prompt) for prompt in prompts} == {
        "/error INTERNAL": 3,
        "/error-late x": 3,
        "fine": 1,
    }


def test_what_a_model_said_is_not_paid_for_again(session: Steps, says: Served) -> None:
    """A prompt that the model had no answer to, or failed at, is left alone by later runs, unless they are told to."""
    prompts = ["/zero", "/error INTERNAL", "/three a b c", "fine"]
    options = {"max_tokens": "64", "on_error": "null", "max_retries": "0", "cache": "persistent"}
    rows = ask(session, says, prompts, **options)
    says.forget()
    assert ask(session, says, prompts, **options) == rows
    # An answer that is none of one row's may be a better one the next time.
    assert says.prompts == ["/three a b c"]
    says.forget()
    assert ask(session, says, prompts, retry_errors="true", **options) == rows
    assert sorted(says.prompts) == sorted(prompts[:3])


def test_any_text_comes_and_goes_as_it_is(session: Steps, says: Served) -> None:
    """Quotes, control characters, NUL, line separators, emoji: the model gets the prompt, and the row the answer."""
    prompts = [f"/say {text}" for text in TEXTS]
    rows = ask(session, says, prompts, max_tokens="64")
    assert [row[0] for row in rows] == TEXTS
    assert sorted(says.prompts) == sorted(prompts)
    says.forget()
    assert [row[0] for row in ask(session, says, ["", None, "x"], max_tokens="64")] == ["", None, "X"]
    assert sorted(says.prompts) == ["", "x"]


def test_long_prompts_and_answers(session: Steps, says: Served) -> None:
    """Ten megabytes there and back are a row like any other."""
    session.sql("create table asked as select 1 as place, '/say ' || repeat('0123456789', 1000000) as prompt")
    create(session, says, max_tokens="64")
    answers(session)
    assert session.sql("select length(answer), count(*) from answered group by 1") == [(10_000_000, 1)]


def test_numbers_that_json_has_not(session: Steps, says: Served) -> None:
    """Triton writes NaN and Infinity into its answers as they are: they are values, and not a reason to fail."""
    output = "answer STRING, cumulative_logprob FLOAT"
    rows = ask(session, says, ["/nan a", "/inf b", "c"], output, max_tokens="64")
    assert [row[0] for row in rows] == ["A", "B", "C"]
    assert math.isnan(rows[0][1])
    assert [row[1] for row in rows[1:]] == [math.inf, -0.5]


@pytest.mark.parametrize("name", ["says", "says_ensemble", "says_bls"])
def test_answers_in_pieces_are_joined(session: Steps, models: dict[str, Served], name: str) -> None:
    """With responses = concat texts are joined and counters summed, of the rest the last one holds."""
    output = "answer STRING, num_output_tokens BIGINT" + (", finish_reason STRING" if name == "says" else "")
    reason = ("stop",) if name == "says" else ()
    for more in ({}, {"parameters": '{"stream": true}'}):
        rows = ask(session, models[name], ["/three a b c", "d e"], output, responses="concat", max_tokens="64", **more)
        assert rows == [("A B C", 3, *reason), ("D E", 2, *reason)]
    rows = ask(
        session,
        models[name],
        ["/zero", "/error-late x"],
        responses="concat",
        max_tokens="64",
        on_error="null",
        max_retries="0",
    )
    assert [row[0] for row in rows] == [None, None]
    assert "no answer" in rows[0][1]
    assert "a late error" in rows[1][1]


def test_a_row_that_failed_fails_a_build_that_wants_all(session: Steps, says: Served) -> None:
    """Without on-error the message names the prompt and why; the others are kept, and only it is sent again."""
    with pytest.raises(StepError, match=r"1 row\(s\) failed(.|\n)*/zero(.|\n)*gave the row no answer"):
        ask(session, says, [*GOOD, "/zero"], max_tokens="64", max_retries="0")
    says.forget()
    prepare(session, [*GOOD, "mended"])
    assert [row[0] for row in answers(session)] == [prompt.upper() for prompt in [*GOOD, "mended"]]
    assert says.prompts == ["mended"]


def test_a_queue_that_is_full_or_too_slow_costs_no_row(session: Steps, models: dict[str, Served]) -> None:
    """Refusals of a queue, at once or after a while, are no row's fault: each prompt is answered, and run once."""
    llm = models["says_slowly"]
    llm.take(0.04)
    prompts = GOOD[:30]
    rows = ask(session, llm, prompts, max_tokens="64", retry_max_backoff="500ms", max_retries="5")
    assert [row[0] for row in rows] == [prompt.upper() for prompt in prompts]
    assert sorted(llm.prompts) == sorted(prompts)


def test_a_prompt_without_an_answer_is_sent_twice_at_most(session: Steps, says: Served) -> None:
    """The server goes on with what a client has given up: two attempts, whatever max-retries says."""
    rows = ask(session, says, [*GOOD, "/never"], max_tokens="64", on_error="null", timeout="1s", max_retries="9")
    assert [row[0] for row in rows] == [*(prompt.upper() for prompt in GOOD), None]
    assert "did not answer within 1000 ms" in rows[-1][1]
    assert says.prompts.count("/never") == 2
    assert len(says.prompts) == len(GOOD) + 2


def test_requests_wait_side_by_side(session: Steps, says: Served) -> None:
    """Two hundred prompts of a second each take seconds, not minutes: the server gets them at once."""
    prompts = [f"/sleep 1 {number}" for number in range(200)]
    rows = ask(session, says, prompts, max_tokens="64", max_concurrent_operations="200")
    assert [row[0] for row in rows] == [prompt.removeprefix("/sleep ") for prompt in prompts]
    assert session.figures["seconds"] < 30
