"""`dbt-triton tune` on a real server and a real project."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.dbt import DbtProject
from support.llms import serving_llms, vllm
from support.proxy import RecordingProxy
from support.triton import Triton

from dbt_triton.server import free_port

pytestmark = pytest.mark.duckdb_only("dbt-triton tune reads its sample on DuckDB")

SECRETS = ("sesame-literal", "sesame-of-the-environment")
HOOKS = ["create table if not exists hooked (n int)", "insert into hooked values (1)"]


def shop(project: DbtProject, endpoint: str, model: str) -> None:
    """Write and build a project whose predicting model asks for 4 rows a request."""
    settings = {"name": "shop", "version": "1.0.0", "profile": "shop", "on-run-start": HOOKS}
    project.write("dbt_project.yml", json.dumps(settings))
    project.environment["GATEWAY_KEY"] = SECRETS[1]
    project.model(
        "reviews",
        "{{ config(materialized='table') }}\n"
        "select i as id, case when i % 9 > 0 then 'review ' || i end as review from range(1, 3001) t(i)",
    )
    headers = '{"X-Key": "${GATEWAY_KEY}"}'
    project.inference_model(
        "classifier", endpoint, model, batch_size="4", auth_token=SECRETS[0], custom_headers=headers
    )
    project.model(
        "classified",
        "{{ config(materialized='ml_predict') }}\nselect * from ML_PREDICT(TABLE {{ ref('reviews') }}, "
        "MODEL {{ ref('classifier') }}, DESCRIPTOR(review))",
    )
    result = project.dbt("run", "-s", "reviews", "classifier")
    assert result.code == 0, result.printed


def files(folder: Path) -> dict[str, bytes]:
    """Return every file of a project but for the warehouse, and what matplotlib keeps at the user's home."""
    found = [path for path in folder.rglob("*") if path.is_file() and ".cache" not in path.parts]
    return {str(path): path.read_bytes() for path in found if ".duckdb" not in path.name}


@pytest.mark.slow
def test_tuning_a_model(
    triton: Triton, serve: Callable[[str], str], proxy: RecordingProxy, project: DbtProject, tmp_path: Path
) -> None:
    """The best batch is found and told as it is written; warehouse and files stay as they are; no secret is told."""
    model = serve("steady")
    shop(project, proxy.url, model)
    before, kept = (project.relations(), project.query("from hooked")), files(project.root)
    proxy.clear()

    picture = tmp_path / "tune.png"
    most = ("--seconds", "0.3", "--max-requests", "2500")
    done = project.dbt_triton("tune", "classified", *most, "--picture", str(picture))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "times the rows a second of today's options" in done.stdout
    assert "Write in models/classifier.sql, in WITH (…):\n  'batch-size' = '64'," in done.stdout
    assert "█" in done.stdout
    assert "compute" in done.stdout
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert 0 < len(proxy.inferences) <= 2500
    assert triton.counters(model).requests == len(proxy.inferences)
    for exchange in proxy.inferences[:3]:
        assert exchange.request.header("Authorization") == f"Bearer {SECRETS[0]}"
        assert exchange.request.header("X-Key") == SECRETS[1]

    assert (project.relations(), project.query("from hooked")) == before
    assert files(project.root) == kept
    assert not [secret for secret in SECRETS if secret in done.stdout + done.stderr]

    proxy.clear()
    done = project.dbt_triton("tune", "classified", "--seconds", "0.1", "--max-requests", "40", "--json")
    assert done.returncode == 0, done.stderr
    (call,) = json.loads(done.stdout)["calls"]
    assert call["sample_rows"] == 2667  # distinct, without NULL
    assert 0 < len(proxy.inferences) <= 40
    assert call["requests"] <= 40
    assert call["trials"][0]["server"]["compute_infer"] > 9
    assert not [secret for secret in SECRETS if secret in done.stdout + done.stderr]


@pytest.mark.slow
def test_an_interrupted_search_tells_what_it_knows(
    serve: Callable[[str], str], proxy: RecordingProxy, project: DbtProject
) -> None:
    """Ctrl-C ends the trials, and the table of those that were made is printed."""
    shop(project, proxy.url, serve("steady"))
    proxy.clear()
    _, environment = project.command()
    command = [str(Path(sys.executable).parent / "dbt-triton"), "tune", "classified", "--seconds", "1"]
    with subprocess.Popen(
        command, cwd=project.root, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stderr is not None
            while "trial 2:" not in (line := process.stderr.readline()):
                assert line, "it ended by itself"
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 0, out + err
    assert "It ended before every trial was made" in out
    assert "rows a second" in out
    assert "Traceback" not in err
    assert proxy.wait_for(lambda p: p.open_connections == 0)


def test_what_cannot_be_tuned(project: DbtProject) -> None:
    """An inference model, a table and a stub are refused with what to name in their place."""
    project.model("reviews", "{{ config(materialized='table') }}\nselect 1 as id, 'good' as review")
    project.model(
        "classifier",
        "{{ config(materialized='inference_model') }}\nCREATE MODEL classifier INPUT (x STRING) OUTPUT (y STRING) "
        "WITH ('provider' = 'stub')",
    )
    project.model(
        "classified",
        "{{ config(materialized='ml_predict') }}\nselect * from ML_PREDICT(TABLE {{ ref('reviews') }}, "
        "MODEL {{ ref('classifier') }}, DESCRIPTOR(review))",
    )
    project.build()
    named = {
        "classifier": "classifier is an inference model; how it is asked depends on the rows of who asks, so name a "
        "model that predicts with it: classified",
        "reviews": "reviews has materialized='table', and only models with 'ml_predict' can be tuned: classified",
        "classify": "no model is called classify; did you mean classified? The predicting models of this project are "
        "classified",
        "classified": "there is nothing to tune: call 1 (line 2, classifier) is a stub, which asks no server",
    }
    # In one process, since dbt takes seconds to be imported.
    code = f"from dbt_triton.cli import main; print([main(['tune', name]) for name in {list(named)}])"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=project.root,
        env=project.command()[1],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert done.stdout == "[1, 1, 1, 1]\n"
    assert [words for words in named.values() if f"dbt-triton: {words}\n" not in done.stderr] == [], done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_an_incremental_model_is_tuned_on_its_whole_input(
    triton: Triton, serve: Callable[[str], str], project: DbtProject
) -> None:
    """A model that is up to date has no new row, and its options can be found even so; its table and store stay."""
    shop(project, triton.url, serve("steady"))
    project.model(
        "classified",
        "{{ config(materialized='ml_predict', unique_key='id', incremental_strategy='delete+insert', "
        "meta={'ml_predict': {'cache': 'persistent', 'batch-size': 64}}) }}\n"
        "select * from ML_PREDICT(TABLE (select * from {{ ref('reviews') }} {% if dbt_triton.is_incremental() %}"
        "where id > (select max(id) from {{ this }}){% endif %}), MODEL {{ ref('classifier') }}, DESCRIPTOR(review))",
    )
    result = project.dbt("run", "-s", "classified")
    assert result.code == 0, result.printed
    before = project.relations(), project.query("from classified order by id")
    done = project.dbt_triton("tune", "classified", "--seconds", "0.1", "--max-requests", "40", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["calls"][0]["sample_rows"] == 2667
    assert (project.relations(), project.query("from classified order by id")) == before
    again = project.dbt("run", "-s", "classified")
    assert "0 rows, 0 requests" in again.printed


@pytest.mark.slow
def test_a_language_model_on_two_servers_is_tuned(triton: Triton, project: DbtProject) -> None:
    """A decoupled model gets one prompt a request, by generate_stream; a server that is away is told."""
    away = f"http://127.0.0.1:{free_port()}"
    with serving_llms(triton, vllm("tuned_writer")) as (writer,):
        writer.take(0.02)
        project.model(
            "prompts", "{{ config(materialized='table') }} select 'prompt ' || i as prompt from range(200) t(i)"
        )
        project.model(
            "writer",
            "{{ config(materialized='inference_model') }}\nCREATE MODEL writer "
            "INPUT (prompt STRING) OUTPUT (answer STRING) "
            f"WITH ('provider' = 'triton', 'endpoint' = '{writer.url}, {away}', 'model-name' = 'tuned_writer', "
            "'max-concurrent-operations' = '2')",
        )
        project.model(
            "answered",
            "{{ config(materialized='ml_predict') }} select * from ML_PREDICT(TABLE {{ ref('prompts') }}, "
            "MODEL {{ ref('writer') }}, DESCRIPTOR(prompt))",
        )
        result = project.dbt("run", "-s", "prompts", "writer")
        assert result.code == 0, result.printed
        writer.forget()
        done = project.dbt_triton("tune", "answered", "--seconds", "0.3", "--max-requests", "400", "--json")
        assert done.returncode == 0, done.stdout + done.stderr
        (call,) = json.loads(done.stdout)["calls"]
        assert 0 < len(writer.prompts) <= 400
        assert {trial["settings"]["batch_size"] for trial in call["trials"]} == {1}
        assert max(trial["settings"]["in_flight"] for trial in call["trials"]) > 8
        assert any(away in note and "rows go to the other servers" in note for note in call["notes"])
