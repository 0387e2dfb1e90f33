"""Several endpoints in a real dbt build: proxies before the real server tell who got what."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator
from contextlib import ExitStack

import pytest
from support.dbt import DbtProject
from support.proxy import RecordingProxy
from support.triton import Triton

from dbt_triton.server import free_port

pytestmark = [
    pytest.mark.slow,
    pytest.mark.duckdb_only("the servers are shared by the same code; tests/spark/test_waves_faults.py has Spark's"),
]

ROWS = 400


@pytest.fixture
def proxies(triton: Triton) -> Generator[list[RecordingProxy]]:
    """Return two ways to the server, which are two servers to whoever sends."""
    with ExitStack() as stack:
        yield [stack.enter_context(RecordingProxy(triton.url)) for _ in range(2)]


def rows_sent(proxy: RecordingProxy) -> int:
    """Return how many rows came through a proxy."""
    sent = [exchange for exchange in proxy.exchanges if exchange.method == "POST"]
    return sum(exchange.request.json["inputs"][0]["shape"][0] for exchange in sent)


@pytest.mark.parametrize("door", ["sql", "yaml", "variable"])
def test_all_endpoints_share_the_rows(
    door: str, proxies: list[RecordingProxy], serve: Callable[[str], str], project: DbtProject
) -> None:
    """A text in SQL, a list in YAML, or the variable: both servers work, with the token; one that is away is told."""
    urls = [*(proxy.url for proxy in proxies), f"http://127.0.0.1:{free_port()}"]
    upper = serve("upper")
    if door == "yaml":
        options = {"provider": "triton", "endpoint": urls, "model-name": upper, "batch-size": 4}
        content = {"input": {"input": "STRING"}, "output": {"output": "STRING"}, **options, "auth-token": "${SHOP_KEY}"}
        project.model("loud", "{{ dbt_triton.create_model() }}")
        config = {"materialized": "inference_model", "meta": {"inference_model": content}}
        project.write("models/loud.yml", json.dumps({"models": [{"name": "loud", "config": config}]}))
    else:
        endpoint = ", ".join(urls) if door == "sql" else "http://127.0.0.1:9"
        project.inference_model("loud", endpoint, upper, batch_size="4", auth_token="${SHOP_KEY}")  # noqa: S106 - a name
    project.model("texts", f"select i as id, 'text ' || i as word from range({ROWS}) as numbers(i)")
    project.model(
        "shouted",
        "{{ config(materialized='ml_predict') }} select * from ML_PREDICT(TABLE {{ ref('texts') }}, "
        "MODEL {{ ref('loud') }}, DESCRIPTOR(word))",
    )
    arguments = ["--vars", json.dumps({"dbt_triton_endpoint": urls})] if door == "variable" else []
    project.environment["SHOP_KEY"] = "t0ken"
    built = project.build(*arguments)
    assert project.query("select count(*) from shouted where output = upper(word)") == [(ROWS,)]
    sent = [rows_sent(proxy) for proxy in proxies]
    assert sum(sent) == ROWS
    assert min(sent) > 0
    assert {exchange.request.header("Authorization") for one in proxies for exchange in one.exchanges} == {
        "Bearer t0ken"
    }
    assert project.query("select endpoint from loud") == [(", ".join(urls),)]
    assert urls[2] in built.printed
    assert "t0ken" not in built.printed
