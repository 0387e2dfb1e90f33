"""Servers that repeat tokens, flood and lie, and masks in place of tokens, in a real dbt build with --debug."""

from __future__ import annotations

import html
import json
from collections.abc import Callable, Generator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest
from support.dbt import DbtProject, DbtResult
from support.proxy import Exchange, Message, RecordingProxy, answer_message
from support.triton import Triton

pytestmark = [
    pytest.mark.slow,
    pytest.mark.duckdb_only(
        "an answer is read without a warehouse; tests/spark/test_waves_faults.py has servers at fault"
    ),
]

TOKEN = "t0ken-of-the-<environment>&more"  # noqa: S105 - a made-up one that must show up nowhere
LITERALS = ("literal-token-in-sql", "literal-key-in-sql")
PYTHON = """
    import dbt_triton

    def model(dbt, session):
        return dbt_triton.ml_predict(dbt, session, dbt.ref("reviews"), dbt.ref("with_header"), "review")
"""
#: How an inference model may be named so that dbt's graph does not know it.
DISGUISES = {
    "viewed": "MODEL {{ ref('view_of_literal') }}",
    "copied": "MODEL {{ ref('copy_of_literal') }}",
    "sourced": "MODEL {{ source('built', 'literal') }}",
}


def _repeating(exchange: Exchange) -> Message:
    """Answer everything with 200 and a page that repeats the request."""
    sent = "\n".join(f"{name}: {value}" for name, value in exchange.request.headers)
    page = f"<html><body>\x1b[31mNot here\0<pre>{html.escape(sent)}\n{sent.lower()}</pre></body></html>"
    return answer_message(200, page.encode(), {"X-Repeated": TOKEN})


def _refusing(exchange: Exchange) -> Message | None:
    """Refuse rows in megabytes of words that repeat the request."""
    if not exchange.request.start.startswith("POST"):
        return None
    words = f"bad row \x1b]0;owned\x07 for {exchange.request.all('Authorization')[0]} " + "y" * 5_000_000
    return answer_message(400, json.dumps({"error": words}).encode())


@dataclass
class Ran:
    """A build in which everything fails that can, and what it left."""

    project: DbtProject
    result: DbtResult
    requests: dict[str, int]

    @property
    def everything(self) -> list[tuple[str, bytes]]:
        """Every file of the project but its sources, and what was printed."""
        files = [path for path in self.project.root.rglob("*") if path.is_file() and not path.is_symlink()]
        kept = [path for path in files if not {"models", "dbt_packages"} & set(path.parts)]
        return [("console", self.result.printed.encode()), *((str(path), path.read_bytes()) for path in kept)]


@pytest.fixture(scope="module")
def ran(
    triton: Triton, serve: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory
) -> Generator[Ran, None, None]:
    """Build with --debug."""
    upper = serve("upper")
    with ExitStack() as stack:
        proxies = {name: stack.enter_context(RecordingProxy(triton.url)) for name in ("gateway", "refusing", "literal")}
        proxies["gateway"].hook, proxies["refusing"].hook = _repeating, _refusing
        project = DbtProject(tmp_path_factory.mktemp("hostile") / "project")
        project.model("reviews", "select 1 as id, 'good' as review")
        for name, secret in (
            ("gateway", "${SHOP_TOKEN}"),
            ("refusing", "Bearer ${SHOP_TOKEN}"),
            ("literal", LITERALS[0]),
        ):
            project.inference_model(name, proxies[name].url, upper, auth_token=secret, max_retries="0")
        project.inference_model(
            "with_header", proxies["literal"].url, upper, custom_headers=json.dumps({"X-Key": LITERALS[1]})
        )
        project.model("view_of_literal", "{{ config(materialized='view') }} select * from {{ ref('literal') }}")
        project.model("copy_of_literal", "{{ config(materialized='table') }} select * from {{ ref('literal') }}")
        sources = [{"name": "built", "schema": "main", "tables": [{"name": "literal"}]}]
        project.write("models/sources.yml", json.dumps({"sources": sources}))
        calls = DISGUISES | {"p_refusing": "MODEL {{ ref('refusing') }}"}
        for name, model in calls.items():
            call = f"ML_PREDICT(TABLE {{{{ ref('reviews') }}}}, {model}, DESCRIPTOR(review))"
            project.model(name, f"{{{{ config(materialized='ml_predict') }}}}\nselect * from {call}")
        project.write("models/door.py", PYTHON)
        before = project.build("--select", "literal with_header reviews")
        assert before.code == 0
        sent = len(proxies["literal"].exchanges)
        result = project.fails("--debug", "--exclude", "literal with_header", DBT_TRITON_LOG="debug", SHOP_TOKEN=TOKEN)
        yield Ran(project, result, {"literal": len(proxies["literal"].exchanges) - sent})


@pytest.mark.parametrize("form", [TOKEN, TOKEN.upper(), html.escape(TOKEN), "t0ken-of-the", *LITERALS])
def test_token_is_nowhere(ran: Ran, form: str) -> None:
    """No token is on the console, in a log, in run_results.json or in the warehouse, whatever a server makes of it."""
    if form in LITERALS:  # dbt writes a model's own text to target/, as the docs say
        found = [name for name, content in ran.everything if "target" not in name and form.encode() in content]
    else:
        found = [name for name, content in ran.everything if form.encode() in content]
    assert found == []


def test_words_of_a_gateway_are_told(ran: Ran) -> None:
    """What a gateway's page says is told, without the token and with its control characters visible."""
    message = ran.result.message("gateway")
    assert "is not JSON; is this a Triton server" in message
    assert "\\x1b[31mNot here\\x00" in message
    assert "Authorization: *** Accept-Encoding: identity" in message


def test_megabytes_of_words_are_cut(ran: Ran) -> None:
    """An error of megabytes is a line in the message and in the store, with no control character in it."""
    message = ran.result.message("p_refusing")
    assert "bad row \\x1b]0;owned\\x07 for *** yyy" in message
    assert len(message) < 3000
    ((stored, status),) = ran.project.query("select ml_error, ml_http_status from p_refusing__ml_predictions")
    assert (status, stored.isprintable(), len(stored) < 600) == (400, True, True)


def test_no_control_character_is_printed(ran: Ran) -> None:
    """Nothing that moves a cursor or sets a title reaches the terminal or a log."""
    log = (ran.project.root / "logs" / "dbt.log").read_text()
    for printed in (ran.result.printed, log):
        assert "owned" in printed
        assert "\x1b]" not in printed
        assert "\x1b[31mNot" not in printed
        assert "\0" not in printed


@pytest.mark.parametrize("name", [*DISGUISES, "door"])
def test_mask_is_never_sent(ran: Ran, name: str) -> None:
    """Where a literal secret cannot be found, the error comes before a row is sent, and says what to write."""
    assert ran.result.status(name) == "error"
    message = ran.result.message(name)
    assert "custom-headers (X-Key) holds ***" in message if name == "door" else "auth-token holds ***" in message
    assert "write ${NAME}" in message
    assert ran.requests["literal"] == 0
