"""Prompts through the engine: what of an answer is whose fault, what is paid for twice, and what is counted."""

import asyncio
import itertools
from collections.abc import Callable
from typing import Any

import httpx
import orjson
import pytest
from unit.kserve import Kept, batches_of, spec

from dbt_triton.client import TritonClient
from dbt_triton.engine import Engine, Progress, RunError
from dbt_triton.errors import Reason
from dbt_triton.options import parse_options
from dbt_triton.tensors import GenerateFormat, TensorSpec, datatype_of_tensor, parse_sql_type
from dbt_triton.tensors.generation import AnswerColumn, Structured

PROMPTS = [f"prompt {number}" for number in range(100)]
STREAM = {"Content-Type": "text/event-stream"}
#: Given a prompt: the events to answer, as (status, objects).
Answers = Callable[[str], tuple[int, list[dict[str, Any]]]]


def answer_of(text: str, **more: Any) -> dict[str, Any]:
    """Make an event of an answer."""
    return {"model_name": "m", "model_version": "1", "UPPER": text, **more}


class Model:
    """Answers prompts as a test says, and keeps them."""

    def __init__(self, answers: Answers = lambda prompt: (200, [answer_of(prompt.upper())])) -> None:
        self.prompts: list[str] = []
        self._answers = answers

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answer one request."""
        assert request.url.path == "/v2/models/m/generate_stream"
        body = orjson.loads(request.content)
        assert set(body) == {"TEXT"}  # no id, which the model would take for a parameter
        await asyncio.sleep(0)
        self.prompts.append(body["TEXT"])
        status, events = self._answers(body["TEXT"])
        content = b"".join(b"data: " + orjson.dumps(event) + b"\n\n" for event in events)
        return httpx.Response(status, headers=STREAM | {"Content-Length": str(len(content))}, content=content)


def run(
    model: Model, *more: TensorSpec, structured: Structured | None = None, **options: str
) -> tuple[Kept, Any, list[Progress]]:
    """Send the prompts. Returns what came of them, the error that ended the run, and how far it said that it was."""
    required = {"provider": "triton", "endpoint": "http://nowhere.invalid", "model-name": "m", "max-retries": "0"}
    parsed = parse_options(required | {key.replace("_", "-"): value for key, value in options.items()}, "m")
    form = GenerateFormat([spec("text", "STRING")], [spec("upper", "STRING"), *more], structured=structured)
    sink, told, error = Kept(), [], None

    async def send() -> None:
        async with TritonClient(parsed, transport=httpx.MockTransport(model), route="generate") as client:
            engine = Engine(client, form, batch_size=1, key_columns=1, sink=sink, shared_batches=False, version="1")
            await engine.run(batches_of(PROMPTS, [7, 50]))
            told.append(engine._so_far())

    try:
        asyncio.run(send())
    except RunError as caught:
        error = caught
    return sink, error, told


def test_every_prompt_is_sent_once() -> None:
    """Each row gets the answer to its own prompt."""
    model = Model()
    sink, error, _ = run(model)
    assert error is None
    assert sink.predictions_by_key == {key: (prompt.upper(),) for key, prompt in enumerate(PROMPTS)}
    assert sorted(model.prompts) == sorted(PROMPTS)


BAD: dict[str, tuple[int, list[dict[str, Any]], Reason]] = {
    "no event": (200, [], Reason.MODEL_ERROR),
    "no outputs": (200, [{"model_name": "m", "model_version": "1"}], Reason.MODEL_ERROR),
    "two answers": (200, [answer_of("A"), answer_of("B")], Reason.WRONG_ANSWER),
    "an error": (400, [{"error": "bad"}], Reason.MODEL_ERROR),
    "an error with 200": (200, [{"error": "bad"}], Reason.MODEL_ERROR),
    "an error after an answer": (200, [answer_of("A"), {"error": "bad"}], Reason.MODEL_ERROR),
    "an answer after an error": (400, [{"error": "bad"}, answer_of("A")], Reason.MODEL_ERROR),
    "no such output": (200, [{"model_name": "m", "OTHER": "A"}], Reason.WRONG_ANSWER),
    "another type": (200, [answer_of("A") | {"UPPER": 5}], Reason.WRONG_ANSWER),
    "a list": (200, [answer_of("A") | {"UPPER": ["A", "B"]}], Reason.WRONG_ANSWER),
}


@pytest.mark.parametrize(("name", "retries"), list(itertools.product(BAD, ["0", "2"])))
def test_a_bad_prompt_fails_alone(name: str, retries: str) -> None:
    """Whatever is wrong with an answer, its row fails and says why, and every other prompt is sent exactly once."""
    status, events, reason = BAD[name]
    bad = {"prompt 3", "prompt 60"}
    model = Model(lambda prompt: (status, events) if prompt in bad else (200, [answer_of(prompt.upper())]))
    sink, error, _ = run(model, max_retries=retries, retry_initial_backoff="1ms", retry_max_backoff="1ms")
    assert error is None
    assert sink.failed_keys == [3, 60]
    assert {failed.error.reason for _, failed in sink.failed} == {reason}
    assert len(sink.predictions_by_key) == 98
    again = int(retries) if any("error" in event for event in events) else 0
    assert sorted(model.prompts) == sorted([*PROMPTS, *(sorted(bad) * again)])


def test_another_version_ends_the_run() -> None:
    """A table holds the answers of one version of a model."""
    model = Model(lambda prompt: (200, [answer_of("A", model_version="2" if prompt == "prompt 9" else "1")]))
    _, error, _ = run(model)
    assert error.reason == Reason.REJECTED
    assert "answers with version 2" in error.message


def _structured() -> Structured:
    kind = parse_sql_type("INT")
    assert not isinstance(kind, str)
    return Structured(0, None, (AnswerColumn(None, "a", kind),))


def test_a_text_that_is_not_as_declared_is_not_paid_for_again() -> None:
    """Its row fails for good; its prompt is sent once, and so are all others."""
    model = Model(lambda prompt: (200, [answer_of("no" if prompt.endswith("7") else '{"a": 5}')]))
    sink, error, told = run(model, structured=_structured(), max_retries="5")
    assert error is None
    assert sorted(model.prompts) == sorted(PROMPTS)
    assert sink.failed_keys == list(range(7, 100, 10))
    assert all(failed.permanent and failed.error.reason == Reason.UNFIT_TEXT for _, failed in sink.failed)
    assert set(sink.predictions_by_key.values()) == {(5,)}
    assert (told[0].rows, told[0].rows_failed) == (100, 10)


def test_texts_none_of_which_is_as_declared_end_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that was not told to write JSON is not paid for every row."""
    monkeypatch.setattr("dbt_triton.engine.failed_requests.BREAKER_FAILURES", 10)
    sink, error, _ = run(Model(), structured=_structured())
    assert error.reason == Reason.UNFIT_TEXT
    assert "rows in a row failed by their text" in error.message
    assert len(sink.failed) >= 10


def test_tokens_are_counted() -> None:
    """Where OUTPUT has the number of tokens, a run says how many were written."""
    found, kind = datatype_of_tensor("UINT32"), parse_sql_type("BIGINT")
    assert found is not None
    assert not isinstance(kind, str)
    tokens = TensorSpec("tokens", "num_output_tokens", found, (1,), kind)
    _, error, told = run(Model(lambda _: (200, [answer_of("A", num_output_tokens=3)])), tokens)
    assert error is None
    assert told[0].tokens == 3 * len(PROMPTS)
