"""The old table stays whatever fails, nothing is sent for what can be known before, and the message says what to do."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest
from support.dbt import DbtProject, DbtResult
from support.proxy import Exchange, RecordingProxy
from support.triton import Triton

#: A server that is away is not waited for.
SHORT = {"max_retries": "0", "circuit_breaker_timeout": "1s"}
OLD = [(1, "GOOD"), (2, "BAD")]
#: Each stands for a way to fail: a typo or a contract that cannot hold are known before a row is sent.
BEFORE_A_ROW = ["typo", "contract", "descriptor", "no_model_row", "option", "syntax", "batch_too_large"]
AFTER = ["post_hook", "outside_post_hook", "gone", "gone_midway", "bad_row", "refused_row", "outer_cast"]
AFTER += ["wrong_rows", "wrong_datatype", "wrong_output", "timeout"]


@dataclass
class Failures:
    """A build in which every table is made, and one in which all of them fail."""

    project: DbtProject
    result: DbtResult
    proxies: dict[str, RecordingProxy]
    names: dict[str, str]


def predicting(model: str, select: str = "id, output", call: str = "review", config: str = "") -> str:
    """Return the SQL of a predicting model."""
    return (
        f"{{{{ config(materialized='ml_predict'{config}) }}}}\nselect {select}\nfrom ML_PREDICT("
        f"TABLE {{{{ ref('reviews') }}}}, MODEL {{{{ ref('m_{model}') }}}}, DESCRIPTOR({call}))"
    )


@pytest.fixture(scope="module")
def failures(
    triton: Triton, serve: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory
) -> Generator[Failures, None, None]:
    """Build every table, then break each in its own way and build again."""
    names = {kind: serve(kind) for kind in ("upper", "wrong_rows", "wrong_datatype", "wrong_output")}
    with ExitStack() as stack:
        proxies = {
            case: stack.enter_context(RecordingProxy(triton.url)) for case in [*BEFORE_A_ROW, *AFTER] if case != "gone"
        }
        gone = RecordingProxy(triton.url)
        project = DbtProject(tmp_path_factory.mktemp("failures") / "project")
        project.model(
            "reviews",
            "{{ config(materialized='table') }}\nselect * from (values (1, 'good'), (2, 'bad')"
            "{% if var('more', false) %}, (3, 'RAISE this'), (4, 'REFUSE this'){% endif %}) t(id, review)",
        )
        with gone:
            for case in [*BEFORE_A_ROW, *AFTER]:
                endpoint = (proxies | {"gone": gone})[case].url
                project.inference_model(f"m_{case}", endpoint, names["upper"], **SHORT, timeout="20s")
                project.model(case, predicting(case))
            project.build()
        for proxy in proxies.values():
            proxy.clear()
        _break(project, proxies, names)
        result = project.fails("--vars", "more: true", "--exclude", "m_gone", "m_never_built")
        yield Failures(project, result, proxies, names)


def _answer_nothing(exchange: Exchange) -> None:
    """Hold back the answer to an inference for longer than its timeout."""
    if exchange.path.endswith("/infer"):
        threading.Event().wait(10)


def _break(project: DbtProject, proxies: dict[str, RecordingProxy], names: dict[str, str]) -> None:
    project.model("typo", predicting("typo", "id, outptu"))
    project.model("contract", predicting("contract"))
    project.write(
        "models/schema.yml",
        """
        models:
          - name: contract
            config: {contract: {enforced: true}}
            columns: [{name: id, data_type: varchar}, {name: output, data_type: varchar}]
        """,
    )
    project.model("descriptor", predicting("descriptor", call="reviw"))
    project.model("no_model_row", predicting("no_model_row").replace("m_no_model_row", "m_never_built"))
    project.inference_model("m_never_built", proxies["no_model_row"].url, names["upper"])
    project.model(
        "option", predicting("option").replace("DESCRIPTOR(review)", "DESCRIPTOR(review), MAP['time-out', '1']")
    )
    project.model("syntax", predicting("syntax").replace(", DESCRIPTOR(review)", ""))
    project.model(
        "batch_too_large",
        predicting("batch_too_large").replace("DESCRIPTOR(review)", "DESCRIPTOR(review), MAP['batch-size', '1000']"),
    )
    project.model("post_hook", predicting("post_hook", config=', post_hook="insert into nowhere values (1)"'))
    project.model(
        "outside_post_hook",
        predicting(
            "outside_post_hook", config=", post_hook={'sql': 'insert into nowhere values (1)', 'transaction': false}"
        ),
    )
    only_good = "(select * from {{ ref('reviews') }} where id < 3)"
    for case in ("post_hook", "outside_post_hook", "outer_cast", "timeout", "gone_midway"):
        select = "id, cast(output as integer) as output" if case == "outer_cast" else "id, output"
        sql = predicting(case, select) if case == "outer_cast" else (project.root / f"models/{case}.sql").read_text()
        project.model(case, sql.replace("{{ ref('reviews') }}", only_good))
    refused = predicting("refused_row").replace(
        "{{ ref('reviews') }}", "(select * from {{ ref('reviews') }} where id <> 3)"
    )
    project.model("refused_row", refused)
    for case in ("wrong_rows", "wrong_datatype", "wrong_output"):
        project.inference_model(f"m_{case}", proxies[case].url, names[case], **SHORT)
        project.model(case, predicting(case).replace("{{ ref('reviews') }}", only_good))
    project.inference_model("m_timeout", proxies["timeout"].url, names["upper"], **SHORT, timeout="3s")
    proxies["timeout"].hook = _answer_nothing
    # It answers what it serves, and breaks the connection when a row comes.
    proxies["gone_midway"].hook = lambda exchange: b"" if exchange.path.endswith("/infer") else None


@pytest.mark.slow
@pytest.mark.parametrize("case", [*BEFORE_A_ROW, *AFTER])
def test_old_table_is_intact(failures: Failures, case: str) -> None:
    """Whatever fails, dbt says so, and the table of the build before is still there."""
    assert failures.result.status(case) == "error"
    if case != "outside_post_hook":  # it runs after the commit, as for a table
        assert failures.project.query(f"select id, output from {case} order by id") == OLD


@pytest.mark.parametrize("case", BEFORE_A_ROW)
def test_nothing_is_sent_for_what_can_be_known_before(failures: Failures, case: str) -> None:
    """A typo, a contract, an option or a syntax error is found before a row is sent."""
    assert failures.proxies[case].inferences == []


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("typo", ["outptu", "output"]),
        ("contract", ["enforced contract that failed", "| id | INTEGER | VARCHAR |"]),
        ("descriptor", ["line 3", "no column reviw", "did you mean review?"]),
        ("no_model_row", ["m_never_built", "is not built in", "dbt build -s m_never_built"]),
        ("option", ["unknown option time-out", "did you mean timeout?"]),
        ("syntax", ["line 3", "DESCRIPTOR"]),
        ("batch_too_large", ["batch-size is 1000", "max_batch_size 256"]),
        ("post_hook", ["nowhere"]),
        ("gone", ["cannot connect to Triton at http://127.0.0.1:"]),
        ("gone_midway", ["the connection to Triton at", "the next run goes on from there", "id = 1"]),
        (
            "bad_row",
            ["no answer for RAISE this", "status 500", "id = 3", "status 400", "the model refuses REFUSE this"],
        ),
        ("refused_row", ["1 row(s) failed", "the model refuses REFUSE this", "id = 4", "refused_row__ml_predictions"]),
        ("outer_cast", ["Could not convert string"]),
        ("wrong_rows", ["rows"]),
        ("wrong_datatype", ["INT32"]),
        ("wrong_output", ["OUTPUT_TEXT"]),
        ("timeout", ["did not answer within 3000 ms"]),
    ],
)
def test_message_says_what_happened(failures: Failures, case: str, words: list[str]) -> None:
    """The message has Triton's own words, the model and the rows concerned, and no traceback."""
    said = failures.result.message(case)
    for word in words:
        assert word in said, said
    assert "Traceback" not in said


def test_good_rows_are_kept(failures: Failures) -> None:
    """Rows beside a bad one are done and kept for the next run."""
    kept = failures.project.query('select count(*) from "refused_row__ml_predictions" where ml_error is null')
    assert kept == [(2,)]


@pytest.mark.slow
def test_failing_post_hook_costs_no_prediction(failures: Failures) -> None:
    """After a failing post-hook the next run sends nothing: the predictions were kept."""
    proxy = failures.proxies["post_hook"]
    assert len(proxy.inferences) == 1
    proxy.clear()
    sql = (failures.project.root / "models/post_hook.sql").read_text()
    failures.project.model("post_hook", sql.replace("nowhere values (1)", "reviews values (7, 'new')"))
    result = failures.project.build("-s", "post_hook")
    assert proxy.inferences == []
    assert result.figures("post_hook")["rows_reused"] == 2
    assert failures.project.query("from post_hook order by id") == OLD
