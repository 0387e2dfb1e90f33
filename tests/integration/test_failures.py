"""The old table stays whatever fails, nothing is sent for what can be known before, and the message says what to do."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest
from support.dbt import DbtProject, DbtResult
from support.proxy import Exchange, RecordingProxy
from support.triton import Triton
from support.warehouses import duckdb_only

#: A server that is away is not waited for.
SHORT = {"max_retries": "0", "circuit_breaker_timeout": "1s"}
OLD = [(1, "GOOD"), (2, "BAD")]
#: Each stands for a way to fail: a typo or a contract that cannot hold are known before a row is sent.
BEFORE_A_ROW = ["typo", "contract", "descriptor", "no_model_row", "option", "syntax", "batch_too_large"]
AFTER = ["post_hook", "outside_post_hook", "gone", "gone_midway", "bad_row", "refused_row", "outer_cast"]
AFTER += ["wrong_rows", "wrong_datatype", "wrong_output", "timeout"]
WITHOUT_A_WAREHOUSE = "it is found, and said, without a warehouse"
#: What others say on DuckDB is found without a warehouse, and a build on Spark takes its seconds.
NOT_ON_SPARK = ["descriptor", "no_model_row", "syntax", "batch_too_large", "outside_post_hook", "gone"]
NOT_ON_SPARK += ["wrong_rows", "wrong_datatype", "wrong_output", "timeout"]


def _each(cases: list[str]) -> list[Any]:
    left_out = duckdb_only(WITHOUT_A_WAREHOUSE, *(case for case in cases if case in NOT_ON_SPARK))
    return [*(case for case in cases if case not in NOT_ON_SPARK), *left_out]


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
    triton: Triton, serve: Callable[[str], str], module_project: Callable[..., DbtProject]
) -> Generator[Failures, None, None]:
    """Build every table, then break each in its own way and build again."""
    project = module_project()
    cases = [case for case in [*BEFORE_A_ROW, *AFTER] if project.warehouse == "duckdb" or case not in NOT_ON_SPARK]
    names = {kind: serve(kind) for kind in ("upper", "wrong_rows", "wrong_datatype", "wrong_output")}
    with ExitStack() as stack:
        proxies = {case: stack.enter_context(RecordingProxy(triton.url)) for case in cases if case != "gone"}
        gone = RecordingProxy(triton.url)
        project.model(
            "reviews",
            "{{ config(materialized='table') }}\nselect * from (values (1, 'good'), (2, 'bad')"
            "{% if var('more', false) %}, (3, 'RAISE this'), (4, 'REFUSE this'){% endif %}) t(id, review)",
        )
        with gone:
            for case in cases:
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
    for case, sql in _broken(project).items():
        if case in proxies:
            project.model(case, sql)
    text = "varchar" if project.warehouse == "duckdb" else "string"
    project.write(
        "models/schema.yml",
        f"""
        models:
          - name: contract
            config: {{contract: {{enforced: true}}}}
            columns: [{{name: id, data_type: {text}}}, {{name: output, data_type: {text}}}]
        """,
    )
    if "no_model_row" in proxies:
        project.inference_model("m_never_built", proxies["no_model_row"].url, names["upper"])
    for case in {"wrong_rows", "wrong_datatype", "wrong_output"} & set(proxies):
        project.inference_model(f"m_{case}", proxies[case].url, names[case], **SHORT)
    if "timeout" in proxies:
        project.inference_model("m_timeout", proxies["timeout"].url, names["upper"], **SHORT, timeout="3s")
        proxies["timeout"].hook = _answer_nothing
    # It answers what it serves, and breaks the connection when a row comes.
    proxies["gone_midway"].hook = lambda exchange: b"" if exchange.path.endswith("/infer") else None


def _broken(project: DbtProject) -> dict[str, str]:
    """Return the SQL of each case that is broken by its SQL, or must have no row that is refused."""
    only_good, hook = "(select * from {{ ref('reviews') }} where id < 3)", "insert into nowhere values (1)"
    # A cast of Spark's makes NULL of what it cannot cast.
    is_number = {"duckdb": "cast(output as integer)", "spark": "raise_error('Could not convert string')"}
    models = {
        "typo": predicting("typo", "id, outptu"),
        "contract": predicting("contract"),
        "descriptor": predicting("descriptor", call="reviw"),
        "no_model_row": predicting("no_model_row").replace("m_no_model_row", "m_never_built"),
        "option": predicting("option").replace("(review)", "(review), MAP['time-out', '1']"),
        "syntax": predicting("syntax").replace(", DESCRIPTOR(review)", ""),
        "batch_too_large": predicting("batch_too_large").replace("(review)", "(review), MAP['batch-size', '1000']"),
        "refused_row": predicting("refused_row").replace(
            "{{ ref('reviews') }}", "(select * from {{ ref('reviews') }} where id <> 3)"
        ),
    }
    good = {
        "post_hook": predicting("post_hook", config=f', post_hook="{hook}"'),
        "outside_post_hook": predicting(
            "outside_post_hook", config=f", post_hook={{'sql': '{hook}', 'transaction': false}}"
        ),
        "outer_cast": predicting("outer_cast", f"id, {is_number[project.warehouse]} as output"),
        **{
            case: predicting(case)
            for case in ("timeout", "gone_midway", "wrong_rows", "wrong_datatype", "wrong_output")
        },
    }
    return models | {case: sql.replace("{{ ref('reviews') }}", only_good) for case, sql in good.items()}


@pytest.mark.slow
@pytest.mark.parametrize("case", _each([*BEFORE_A_ROW, *AFTER]))
def test_old_table_is_intact(failures: Failures, case: str) -> None:
    """Whatever fails, dbt says so, and the table of the build before is still there."""
    assert failures.result.status(case) == "error"
    if case != "outside_post_hook":  # it runs after the commit, as for a table
        assert failures.project.query(f"select id, output from {case} order by id") == OLD


@pytest.mark.parametrize("case", _each(BEFORE_A_ROW))
def test_nothing_is_sent_for_what_can_be_known_before(failures: Failures, case: str) -> None:
    """A typo, a contract, an option or a syntax error is found before a row is sent."""
    assert failures.proxies[case].inferences == []


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("typo", ["outptu", "output"]),
        ("contract", ["enforced contract that failed", "| id |"]),
        ("option", ["unknown option time-out", "did you mean timeout?"]),
        ("post_hook", ["nowhere"]),
        ("gone_midway", ["the connection to Triton at", "the next run goes on from there", "id = 1"]),
        (
            "bad_row",
            ["no answer for RAISE this", "status 500", "id = 3", "status 400", "the model refuses REFUSE this"],
        ),
        ("refused_row", ["1 row(s) failed", "the model refuses REFUSE this", "id = 4", "refused_row__ml_predictions"]),
        ("outer_cast", ["Could not convert string"]),
        *duckdb_only(
            WITHOUT_A_WAREHOUSE,
            ("descriptor", ["line 3", "no column reviw", "did you mean review?"]),
            ("no_model_row", ["m_never_built", "is not built in", "dbt build -s m_never_built"]),
            ("syntax", ["line 3", "DESCRIPTOR"]),
            ("batch_too_large", ["batch-size is 1000", "max_batch_size 256"]),
            ("gone", ["cannot connect to Triton at http://127.0.0.1:"]),
            ("wrong_rows", ["rows"]),
            ("wrong_datatype", ["INT32"]),
            ("wrong_output", ["OUTPUT_TEXT"]),
            ("timeout", ["did not answer within 3000 ms"]),
        ),
    ],
)
def test_message_says_what_happened(failures: Failures, case: str, words: list[str], warehouse: str) -> None:
    """The message has Triton's own words, the model and the rows concerned, and no traceback."""
    said = failures.result.message(case)
    if case == "contract":
        words = [*words, "| id | INTEGER | VARCHAR |" if warehouse == "duckdb" else "| id | int | string |"]
    for word in words:
        assert word in said, said
    assert "Traceback" not in said


def test_good_rows_are_kept(failures: Failures) -> None:
    """Rows beside a bad one are done and kept for the next run."""
    kept = failures.project.query("select count(*) from refused_row__ml_predictions where ml_error is null")
    assert kept == [(2,)]


@pytest.mark.slow
def test_failing_post_hook_costs_no_prediction(failures: Failures) -> None:
    """After a failing post-hook the next run sends nothing: the predictions were kept."""
    proxy = failures.proxies["post_hook"]
    assert len(proxy.inferences) == 1
    proxy.clear()
    sql = (failures.project.root / "models/post_hook.sql").read_text()
    failures.project.model(
        "post_hook", sql.replace("nowhere values (1)", "{{ this.schema }}.reviews values (7, 'new')")
    )
    result = failures.project.build("-s", "post_hook")
    assert proxy.inferences == []
    assert result.figures("post_hook")["rows_reused"] == 2
    assert failures.project.query("select * from post_hook order by id") == OLD
