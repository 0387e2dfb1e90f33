"""A token reaches the server and nothing else: not the warehouse, not a log, not the console; four dbt commands."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest
from support.dbt import DbtProject, DbtResult
from support.proxy import RecordingProxy, answer_message
from support.triton import Triton

SECRETS = {
    "sql": ("literal-token-in-sql", "literal-key-in-sql"),
    "yaml": ("literal-token-in-yaml", "literal-key-in-yaml"),
    "env": ("token-of-the-environment", "key-of-the-environment"),
    "env_yaml": ("token-of-the-environment", "key-of-the-environment"),
    # With an option for each header.
    "map_sql": ("literal-token-in-map-of-sql", "literal-key-in-map-of-sql"),
    "map_yaml": ("literal-token-in-map-of-yaml", "literal-key-in-map-of-yaml"),
}
ENVIRONMENT = {"SHOP_TOKEN": SECRETS["env"][0], "SHOP_KEY": SECRETS["env"][1]}


@dataclass
class Runs:
    """A build of everything with --debug, and a later run of the predicting models alone."""

    project: DbtProject
    proxies: dict[str, RecordingProxy]
    build: DbtResult
    later: DbtResult
    sent_by_build: dict[str, int]
    logs: str


@pytest.fixture(scope="module")
def runs(
    triton: Triton, serve: Callable[[str], str], module_project: Callable[..., DbtProject]
) -> Generator[Runs, None, None]:
    """Build with --debug, then run the predicting models alone with DBT_TRITON_LOG=debug."""
    upper = serve("upper")
    with ExitStack() as stack:
        proxies = {case: stack.enter_context(RecordingProxy(triton.url)) for case in SECRETS}
        project = module_project()
        project.model("reviews", "select 1 as id, 'good' as review")
        for case in SECRETS:
            project.model(
                f"p_{case}",
                "{{ config(materialized='ml_predict') }}\nselect * from ML_PREDICT(TABLE {{ ref('reviews') }}, "
                f"MODEL {{{{ ref('{case}') }}}}, DESCRIPTOR(review))",
            )
        for case, token, key in (("sql", *SECRETS["sql"]), ("env", "${SHOP_TOKEN}", "${SHOP_KEY}")):
            project.inference_model(
                case, proxies[case].url, upper, auth_token=token, custom_headers=f'{{"X-Key": "{key}"}}'
            )
        case, (token, key) = "map_sql", SECRETS["map_sql"]
        project.inference_model(
            case,
            proxies[case].url,
            upper,
            auth_token=token,
            **{"custom-headers.X-Key": key, "custom-headers.X-Run": "1"},
        )
        definitions = [
            f"""
              - name: {case}
                config:
                  materialized: inference_model
                  meta:
                    inference_model:
                      input: {{input: STRING}}
                      output: {{output: STRING}}
                      provider: triton
                      endpoint: "{proxies[case].url}/v2/models"
                      model-name: {upper}
                      auth-token: "{token}"
                      {header}"""
            for case, token, header in (
                ("yaml", SECRETS["yaml"][0], f'custom-headers: {{X-Key: "{SECRETS["yaml"][1]}"}}'),
                ("env_yaml", "Bearer ${SHOP_TOKEN}", 'custom-headers: {X-Key: "${SHOP_KEY}"}'),
                ("map_yaml", SECRETS["map_yaml"][0], f'custom-headers.X-Key: "{SECRETS["map_yaml"][1]}"'),
            )
        ]
        project.write("models/schema.yml", "models:" + "".join(definitions))
        for case in ("yaml", "env_yaml", "map_yaml"):
            project.model(case, "{{ dbt_triton.create_model() }}")
        build = project.build("--debug", **ENVIRONMENT)
        sent = {case: len(proxy.inferences) for case, proxy in proxies.items()}
        predicting = [f"p_{case}" for case in SECRETS]
        later = project.dbt("run", "-s", *predicting, DBT_TRITON_LOG="debug", **ENVIRONMENT)
        logs = (project.root / "logs" / "dbt.log").read_text()
        yield Runs(project, proxies, build, later, sent, logs)


@pytest.mark.slow
@pytest.mark.parametrize("case", list(SECRETS))
def test_token_reaches_the_server(runs: Runs, case: str) -> None:
    """Token and headers go with every request, also in a later, separate `dbt run -s` of the predicting model."""
    assert runs.later.code == 0, runs.later.printed
    token, key = SECRETS[case]
    assert runs.sent_by_build[case] == 1
    assert len(runs.proxies[case].inferences) == 2
    for exchange in runs.proxies[case].exchanges:
        assert exchange.request.all("Authorization") == [f"Bearer {token}"]
        assert exchange.request.all("X-Key") == [key]
    assert runs.project.query(f"select output from p_{case}") == [("GOOD",)]


@pytest.mark.parametrize("secret", sorted({secret for pair in SECRETS.values() for secret in pair}))
def test_secret_is_nowhere_else(runs: Runs, secret: str) -> None:
    """No secret is in the warehouse, on the console, or in dbt.log, even with --debug."""
    assert secret.encode() not in runs.project.stored()
    for name in runs.project.relations():
        assert secret not in str(runs.project.query(f"select * from {name}"))
    for printed in (runs.build.printed, runs.later.printed, runs.logs):
        assert secret not in printed


def test_secret_of_yaml_is_not_compiled(runs: Runs) -> None:
    """The text that create_model() renders, which dbt writes to target/, masks literal secrets."""
    compiled = list((runs.project.root / "target").glob("compiled/**/*.sql"))
    ran = list((runs.project.root / "target").glob("run/**/*.*"))
    assert compiled
    assert ran
    for file in [*compiled, *ran]:
        for secret in (*SECRETS["yaml"], *SECRETS["map_yaml"]):
            assert secret not in file.read_text(), file


@pytest.mark.duckdb_only("requests are made in Spark's tasks, whose log is not that of dbt")
@pytest.mark.parametrize("which", ["build", "later"])
def test_debug_log_shows_requests(runs: Runs, which: str) -> None:
    """Both dbt's --debug and DBT_TRITON_LOG=debug show requests, connections and timings."""
    printed = {"build": runs.build, "later": runs.later}[which].printed
    assert f"POST {runs.proxies['sql'].url}/v2/models/" in printed
    assert "attempt 1" in printed
    assert "status 200" in printed
    assert " ms" in printed
    assert f"closed the connections to {runs.proxies['sql'].url}" in printed


@pytest.mark.slow
def test_errors_show_no_secret(runs: Runs) -> None:
    """A variable that is not set is named; what a server says is shown without the token; no request is logged."""
    before = len(runs.proxies["env"].exchanges)
    token = SECRETS["yaml"][0]
    words = json.dumps({"error": f"the token {token} is not known here"}).encode()
    runs.proxies["yaml"].hook = lambda _: answer_message(401, words)
    result = runs.project.dbt("run", "-s", "p_env", "p_sql", "p_yaml", SHOP_KEY="set")
    assert result.code != 0
    assert "auth-token needs the environment variable SHOP_TOKEN, which is not set" in result.message("p_env")
    assert len(runs.proxies["env"].exchanges) == before
    assert result.status("p_sql") == "success"
    assert "POST" not in result.printed
    assert "is not known here" in result.message("p_yaml")
    assert token not in result.printed
