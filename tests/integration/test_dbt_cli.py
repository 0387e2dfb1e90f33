"""The command dbt-triton in a dbt project, against the real server."""

from __future__ import annotations

import json
from collections.abc import Callable

import duckdb
import pytest
from support.dbt import DbtProject
from support.triton import Triton

pytestmark = [
    pytest.mark.slow,
    pytest.mark.duckdb_only(
        "what the command dbt-triton says comes from dbt and the server; tests/spark/test_macros.py has operations"
    ),
]


def _statuses(output: str) -> dict[str, str]:
    """Return the last cell of each row of the table that `check` prints, by model."""
    lines = output.split("\n\n", maxsplit=1)[0].splitlines()
    start = lines[0].index("status")
    return {line.split(" ")[0]: line[start:].strip() for line in lines[1:]}


def test_check_compares_every_model_with_its_server(
    triton: Triton, serve: Callable[[str], str], project: DbtProject
) -> None:
    """`check` prints a row for each inference model and every problem, and its exit code is 1; nothing is built."""
    upper = serve("upper")
    project.inference_model("good", triton.url, upper, auth_token="s3cret-token")  # noqa: S106 - of nothing
    project.inference_model("absent", triton.url, "not-there", max_retries="0")
    project.inference_model("stubbed", triton.url, "nothing", provider="stub")
    project.inference_model("mistyped", triton.url, upper, tmeout="10")
    project.model(
        "other_types",
        "{{ config(materialized='inference_model') }} CREATE MODEL other_types INPUT (a INT) OUTPUT (b STRING) WITH "
        f"('provider' = 'triton', 'endpoint' = 'http://127.0.0.1:9', 'model-name' = '{upper}', 'timeout' = '5s')",
    )
    before = triton.counters(upper)
    # dbt writes there for `dbt retry`; and another process may use the warehouse.
    results = project.root / "target" / "run_results.json"
    results.parent.mkdir()
    results.write_text("kept")
    with duckdb.connect(str(project.database)):
        checked = project.dbt_triton("check", "--vars", json.dumps({"dbt_triton_endpoint": triton.url}))
    assert _statuses(checked.stdout) == {
        "good": "ok",
        "absent": "not served",
        "stubbed": "stub",
        "mistyped": "invalid",
        "other_types": "does not fit",
    }, checked.stdout + checked.stderr
    assert checked.returncode == 1
    assert "not-there" in checked.stdout
    assert "unknown option tmeout; did you mean timeout?" in checked.stdout
    assert "INPUT column a is declared INT (INT32), but the server's INPUT_TEXT is BYTES[-1, 1]" in checked.stdout
    assert "5 inference models, 3 with problems" in checked.stdout
    assert "s3cret-token" not in checked.stdout + checked.stderr
    assert triton.counters(upper) == before
    assert results.read_text() == "kept"


def test_check_and_describe_of_models_that_fit(
    triton: Triton, serve: Callable[[str], str], project: DbtProject
) -> None:
    """`check` ends with 0 when all is well; `describe` says what is declared, served and bound, in either door."""
    upper = serve("upper")
    project.model("by_yaml", "{{ dbt_triton.create_model() }}")
    definition = {
        "input": {"text": "STRING"},
        "output": {"loud": "STRING"},
        "provider": "triton",
        "endpoint": triton.url,
        "model-name": upper,
        "auth-token": "s3cret-token",
    }
    config = {"materialized": "inference_model", "meta": {"inference_model": definition}}
    project.write("models/models.yml", json.dumps({"models": [{"name": "by_yaml", "config": config}]}))
    checked = project.dbt_triton("check")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert _statuses(checked.stdout) == {"by_yaml": "ok"}
    described = project.dbt_triton("describe", "by_yaml")
    assert described.returncode == 0, described.stdout + described.stderr
    assert "INPUT (text STRING) OUTPUT (loud STRING)" in described.stdout
    assert "text STRING is bound to INPUT_TEXT BYTES" in described.stdout
    assert "s3cret-token" not in described.stdout
    assert not project.database.exists()


@pytest.mark.parametrize(
    ("command", "environment"),
    [
        (("check",), {}),
        (("check",), {"DBT_DEBUG": "1", "DBT_LOG_LEVEL_FILE": "debug"}),
        (
            ("describe", "literal"),
            {
                "DBT_LOG_FORMAT": "json",
                "DBT_LOG_FORMAT_FILE": "json",
                "DBT_LOG_LEVEL": "debug",
                "DBT_TRITON_LOG": "debug",
            },
        ),
    ],
)
def test_tokens_are_nowhere_after_check_and_describe(
    project: DbtProject, command: tuple[str, ...], environment: dict[str, str]
) -> None:
    """Both commands see literal tokens, and no file, log or console has one afterwards, however much dbt is to log."""
    project.environment = environment | {"SHOP_TOKEN": "rendered-t0ken"}
    project.inference_model("literal", "http://127.0.0.1:9", "m", auth_token="literal-t0ken", max_retries="0")  # noqa: S106
    project.inference_model("rendered", "http://127.0.0.1:9", "m", auth_token='{{ env_var("SHOP_TOKEN") }}')  # noqa: S106
    project.model("by_yaml", "{{ dbt_triton.create_model() }}")
    definition = {"input": {"a": "STRING"}, "output": {"b": "STRING"}, "provider": "triton", "max-retries": 0}
    definition |= {"endpoint": "http://127.0.0.1:9", "model-name": "m", "custom-headers": {"X-Key": "yaml-t0ken"}}
    config = {"materialized": "inference_model", "meta": {"inference_model": definition}}
    project.write("models/models.yml", json.dumps({"models": [{"name": "by_yaml", "config": config}]}))
    ran = project.dbt_triton(*command)
    assert ran.returncode == 1
    assert "connection refused" in ran.stdout
    files = [path for path in project.root.rglob("*") if path.is_file() and not path.is_symlink()]
    left = [path for path in files if path.parent.name != "models" and b"t0ken" in path.read_bytes()]
    assert left == []
    assert "t0ken" not in ran.stdout + ran.stderr


def test_check_reads_what_dbt_has_parsed(project: DbtProject) -> None:
    """What an earlier command has parsed is read, and left as it is: in a large project that saves minutes."""
    project.inference_model("stubbed", "http://127.0.0.1:9", "nothing", provider="stub")
    assert project.dbt("parse").code == 0
    parsed = project.root / "target" / "partial_parse.msgpack"
    before = parsed.read_bytes(), parsed.stat().st_mtime_ns
    assert project.dbt_triton("check").returncode == 0
    assert (parsed.read_bytes(), parsed.stat().st_mtime_ns) == before


def test_project_that_dbt_cannot_read_is_said_so(project: DbtProject) -> None:
    """Outside of a project, or with a broken one, the message is dbt's own, and the exit code is 1."""
    project.model("broken", "{{ config(materialized='inference_model' }}")
    failed = project.dbt_triton("check")
    assert failed.returncode == 1
    assert "cannot list the inference models of this project" in failed.stderr
    assert "broken" in failed.stderr


def test_init_lists_the_package_so_that_dbt_finds_it(project: DbtProject) -> None:
    """After `init` and `dbt deps`, a project has the package; a second `init` changes nothing."""
    (project.root / "dbt_packages" / "dbt_triton").unlink()
    project.write("dbt_project.yml", "name: shop\nversion: 1.0.0\nprofile: shop\n")
    project.write("packages.yml", "# ours\npackages:\n    - local: other  # stays\n")
    project.write("other/dbt_project.yml", "name: other\nversion: 1.0.0\nprofile: shop\n")
    first, second = project.dbt_triton("init", "--dispatch"), project.dbt_triton("init", "--dispatch")
    assert first.returncode == second.returncode == 0, first.stderr
    assert "next: run `dbt deps`" in first.stdout
    assert second.stdout.count("already in") == 2
    assert "# ours\n" in (project.root / "packages.yml").read_text()
    project.inference_model("stubbed", "http://127.0.0.1:9", "nothing", provider="stub")
    deps = project.dbt("deps")
    assert deps.code == 0, deps.printed
    project.build()
    assert project.query("select provider from stubbed") == [("stub",)]
