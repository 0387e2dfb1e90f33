"""Faults of the way to a language model, of its server, and of dbt: prompts are dear, so that few are sent twice."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Generator
from functools import partial

import pytest
from support.dbt import DbtProject
from support.llms import Served, vllm
from support.llms.asking import answers, ask, literal, prepare
from support.session import StepError, Steps

from faults import faults
from faults.faults import first, status, with_text
from faults.harness import meanwhile, wait_until
from faults.proxy import Exchange, Fault, FaultProxy
from faults.server import MortalServer

ROWS = 60
IN_FLIGHT = 8
PROMPTS = [f"prompt number {number}" for number in range(ROWS)]
RIGHT = [(prompt.upper(), None) for prompt in PROMPTS]
OPTIONS = {
    "max_tokens": "64",
    "on_error": "null",
    "timeout": "5s",
    "max_concurrent_operations": str(IN_FLIGHT),
    "retry_initial_backoff": "20ms",
}


async def _without_its_end(exchange: Exchange) -> None:
    """Send all events, and close before the chunk that says that there are no more."""
    reply = await exchange.forward()
    del reply.headers["content-length"]
    reply.headers["transfer-encoding"] = "chunked"
    await exchange.send(reply.head() + b"%x\r\n%s\r\n" % (len(reply.body), reply.body))
    exchange.close()


async def _twice_in_one(exchange: Exchange) -> None:
    reply = await exchange.forward()
    await exchange.send(reply.with_body(reply.body * 2).to_bytes())


async def _as_html(exchange: Exchange) -> None:
    reply = await exchange.forward()
    reply.headers["content-type"] = "text/html"
    await exchange.send(reply.with_body(b"<html>" + reply.body + b"</html>").to_bytes())


PASSING = [
    faults.RESET_AFTER_BODY,
    faults.RESET_WITHIN_ANSWER,
    faults.CLOSE_UNANSWERED,
    faults.TRUNCATED,
    Fault("stream without its end", _without_its_end),
    status(408),
    status(429),
    status(429, retry_after="1"),
    status(500, "a failure that passes"),
    status(502),
    status(503, "[request id: <id_unknown>] Exceeds maximum queue size"),
    status(504),
    faults.GATEWAY_HTML,
    faults.slow_first_byte(0.3),
    faults.slow_drip(0.3),
]
WRONG = [
    faults.HTML_WITH_200,
    faults.SHORTENED,
    faults.INVALID_JSON,
    Fault("events twice", _twice_in_one),
    Fault("events in HTML", _as_html),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[MortalServer]:
    """A server that a test may kill, with a language model."""
    server = MortalServer(tmp_path_factory.mktemp("server"))
    vllm("reader").write(server.repository)
    with server:
        yield server


@pytest.fixture
def llm(server: MortalServer) -> Generator[Served]:
    """The language model, to which nothing has been said."""
    served = Served(server.url, server.repository, vllm("reader"))
    served.forget()
    yield served
    served.take(0)


@pytest.fixture
def way(server: MortalServer) -> Generator[FaultProxy]:
    """A proxy in front of the server."""
    with FaultProxy(server.port) as proxy:
        yield proxy


@pytest.mark.parametrize("fault", PASSING, ids=lambda fault: fault.name)
def test_a_fault_that_passes_costs_no_prompt(fault: Fault, session: Steps, llm: Served, way: FaultProxy) -> None:
    """Four requests in a row meet a fault: each prompt is answered, and sent again only where its answer was lost."""
    way.plan = first(4, fault)
    assert ask(session, llm, PROMPTS, endpoint=way.url, **OPTIONS) == RIGHT
    assert way.ledger.faults == {fault.name: 4}
    assert len(llm.prompts) - ROWS <= way.ledger.rows_lost <= 4


@pytest.mark.parametrize("fault", WRONG, ids=lambda fault: fault.name)
def test_a_wrong_answer_is_its_own_rows_until_the_next_run(
    fault: Fault, session: Steps, llm: Served, way: FaultProxy
) -> None:
    """What is no answer is not believed: those rows alone are marked, and the next run sends them again."""
    way.plan = first(4, fault)
    rows = ask(session, llm, PROMPTS, endpoint=way.url, cache="persistent", **OPTIONS)
    marked = [prompt for prompt, (answer, _) in zip(PROMPTS, rows, strict=True) if answer is None]
    assert len(marked) <= 4
    assert [row for row in rows if row[0]] == [
        right for prompt, right in zip(PROMPTS, RIGHT, strict=True) if prompt not in marked
    ]
    assert all(why for answer, why in rows if answer is None)
    llm.forget()
    assert answers(session) == RIGHT
    assert sorted(llm.prompts) == sorted(marked)


@pytest.mark.parametrize("fault", [faults.RESET_BEFORE_BODY, faults.RESET_WITHIN_BODY], ids=lambda fault: fault.name)
def test_a_prompt_that_does_not_arrive_is_paid_once(fault: Fault, session: Steps, llm: Served, way: FaultProxy) -> None:
    """A connection that breaks before the server has the prompt: it is sent again, and run once."""
    way.head_plan = first(4, fault)
    assert ask(session, llm, PROMPTS, endpoint=way.url, **OPTIONS) == RIGHT
    assert sorted(llm.prompts) == sorted(PROMPTS)


def test_an_answer_that_comes_twice_is_not_taken_for_the_next_one(session: Steps, llm: Served, way: FaultProxy) -> None:
    """A gateway that repeats an answer puts its connection out of step: no prompt gets the answer to another."""
    way.plan = first(20, faults.ANSWERED_TWICE)
    assert ask(session, llm, PROMPTS, endpoint=way.url, **OPTIONS) == RIGHT
    assert len(llm.prompts) - ROWS <= 20


@pytest.mark.parametrize(
    "fault",
    [
        *WRONG,
        faults.EMPTY,
        status(400, "a text is too long"),
        status(413, "too large"),
        status(500, "ValueError: boom"),
    ],
    ids=lambda fault: fault.name,
)
def test_a_fault_that_stays_with_a_prompt_marks_it_alone(
    fault: Fault, session: Steps, llm: Served, way: FaultProxy
) -> None:
    """An answer that is wrong however often the prompt is sent: its row says so, and all others are answered."""
    way.plan = with_text(b"number 30", fault)
    rows = ask(session, llm, PROMPTS, endpoint=way.url, **OPTIONS | {"max_retries": "1"})
    assert rows[:30] + rows[31:] == RIGHT[:30] + RIGHT[31:]
    assert rows[30][0] is None
    assert rows[30][1]
    assert sum(way.ledger.faults.values()) <= 2


def test_a_server_that_is_killed_and_comes_back_is_waited_for(
    session: Steps, llm: Served, server: MortalServer
) -> None:
    """SIGKILL of the server in mid-run, and a restart: every prompt is answered, and sent again only if in flight."""
    llm.take(0.2)

    def restart() -> None:
        wait_until(lambda: len(llm.prompts) > ROWS / 3)
        server.kill()
        server.restart()

    with meanwhile(restart):
        assert ask(session, llm, PROMPTS, **OPTIONS) == RIGHT
    assert len(llm.prompts) - ROWS <= IN_FLIGHT


def test_a_model_that_dies_ends_the_run_and_the_next_one_goes_on(
    session: Steps, llm: Served, server: MortalServer
) -> None:
    """Prompts in flight get no answer, later ones an error that is no row's: the run ends, and keeps what it has."""
    llm.take(0.15)
    options = OPTIONS | {"timeout": "1s", "circuit_breaker_timeout": "2s", "on_error": "fail", "max_retries": "1"}

    def die() -> None:
        wait_until(lambda: len(llm.prompts) > ROWS / 3)
        llm.die()

    with meanwhile(die), pytest.raises(StepError, match=r"healthy|did not answer|cannot connect") as failed:
        ask(session, llm, PROMPTS, **options)
    assert "redictions made so far are kept" in str(failed.value)
    kept = session.sql("select count(*) from answered__ml_predictions where ml_error is null")[0][0]
    assert 0 < kept < ROWS
    # Those in flight when it died, and each of them once more at most.
    assert len(llm.prompts) <= kept + 2 * IN_FLIGHT
    server.kill()
    llm.live()
    server.restart()
    llm.forget()
    prepare(session, PROMPTS)
    assert [row[0] for row in answers(session)] == [answer for answer, _ in RIGHT]
    assert len(llm.prompts) == ROWS - kept


@pytest.mark.slow
def test_a_build_that_is_killed_goes_on_where_it_was(llm: Served, project: DbtProject) -> None:
    """SIGKILL of dbt in mid-run: the next build pays for what was under way, and the bad prompt fails alone."""
    rows, seconds, in_flight = 240, 0.3, 16
    prompts = [*(f"prompt number {number}" for number in range(rows - 1)), "/zero"]
    written = {
        "provider": "triton",
        "endpoint": llm.url,
        "model-name": llm.name,
        "on-error": "null",
        "timeout": "20s",
        "max-concurrent-operations": str(in_flight),
        "max-retries": "0",
        "parameters": '{"max_tokens": 64}',
    }
    pairs = ", ".join(f"'{key}' = '{value}'" for key, value in written.items())
    project.model(
        "reader",
        "{{ config(materialized='inference_model') }}\n"
        f"CREATE MODEL reader INPUT (prompt STRING) OUTPUT (answer STRING) WITH ({pairs})",
    )
    listed = ", ".join(map(literal, prompts))
    project.model("prompts", f"{{{{ config(materialized='table') }}}} select unnest([{listed}]) as prompt")
    project.model(
        "answered",
        "{{ config(materialized='ml_predict') }} SELECT * FROM ML_PREDICT("
        "TABLE {{ ref('prompts') }}, MODEL {{ ref('reader') }}, DESCRIPTOR(prompt))",
    )
    llm.take(seconds)
    dbt = _start(project)
    wait_until(partial(_has_come, llm, rows / 2, dbt), 90)
    dbt.send_signal(signal.SIGKILL)
    dbt.communicate(timeout=60)
    ran = len(llm.prompts)
    kept = project.query("select count(*) from answered__ml_predictions")[0][0]
    # Lost is what was in flight, and what was not committed yet: about the last second's.
    assert 0 < ran - kept <= in_flight + (1.5 / seconds) * in_flight
    llm.take(0)
    llm.forget()
    assert project.build().figures("answered")["rows_reused"] == kept
    assert len(llm.prompts) == rows - kept
    found = dict(project.query("select prompt, answer from answered"))
    assert found == {prompt: None if prompt == "/zero" else prompt.upper() for prompt in prompts}
    why = project.query("select ml_error from answered where ml_error is not null")
    assert [("no answer" in text) for (text,) in why] == [True]


def _start(project: DbtProject) -> subprocess.Popen[str]:
    command, environment = project.command("build")
    return subprocess.Popen(
        command,
        cwd=project.root,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def _has_come(llm: Served, count: float, dbt: subprocess.Popen[str]) -> bool:
    """Tell whether the model has got so many prompts; dbt must still be at it."""
    assert dbt.poll() is None, dbt.communicate()[0]
    return len(llm.prompts) >= count
