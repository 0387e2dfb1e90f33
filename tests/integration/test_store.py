"""What outlives a run, and what becomes of rows that fail: three builds of one project, counted by the server."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Generator
from contextlib import ExitStack
from dataclasses import dataclass, field

import httpx
import pytest
from support.dbt import DbtProject, DbtResult
from support.proxy import Exchange, Message, RecordingProxy
from support.triton import Counters, Triton

ROWS, BATCH, BEFORE_THE_BREAK = 100, 10, 4
#: A run that ends soon when the server is gone, after requests of ten rows, one after the other.
FRAGILE = {"batch_size": str(BATCH), "max_concurrent_operations": "1", "circuit_breaker_timeout": "1s"}
CASES: dict[str, dict[str, str]] = {
    "resume": FRAGILE,
    "default_cache": {},
    "persistent": {"cache": "persistent"},
    "off": {"cache": "off"},
    "off_breaks": {"cache": "off", **FRAGILE},
    "new_version": {"cache": "persistent"},
    "nulls": {"on_error": "null", "cache": "persistent"},
    "defaults": {"on_error": "null", "default_value": "unknown"},
    "ratio_bears": {"on_error": "null", "max_error_ratio": "0.5"},
    "ratio_fails": {"on_error": "null", "max_error_ratio": "0.1"},
    "fails": {"cache": "persistent"},
}
ON_BAD_ROWS = ["nulls", "defaults", "ratio_bears", "ratio_fails", "fails"]
BREAKS = ["resume", "off_breaks"]
#: What others say on DuckDB is decided without a warehouse, and a build on Spark takes its seconds.
ON_SPARK = ["resume", "default_cache", "persistent", "off_breaks", "nulls", "ratio_fails"]
BAD = {3: "no answer for RAISE 3", 5: "the model refuses REFUSE 5"}


@dataclass
class Store:
    """Three builds: one that breaks, one after the input has changed, and one with --full-refresh."""

    project: DbtProject
    triton: Triton
    models: dict[str, str]
    proxies: dict[str, RecordingProxy]
    results: list[DbtResult] = field(default_factory=list)
    counted: list[dict[str, Counters]] = field(default_factory=list)
    relations: list[set[str]] = field(default_factory=list)
    tables: list[dict[str, list[tuple[object, ...]]]] = field(default_factory=list)

    def run(self, *arguments: str) -> None:
        """Run dbt, and keep what it left and what the server counted meanwhile."""
        before = {case: self.triton.counters(model) for case, model in self.models.items()}
        self.results.append(self.project.dbt("build", *arguments))
        self.counted.append({case: self.triton.counters(self.models[case]) - before[case] for case in before})
        self.relations.append(self.project.relations())
        self.tables.append(
            {
                case: self.project.query(f"select * from p_{case} order by id")
                for case in self.models
                if f"p_{case}" in self.relations[-1]
            }
        )


def _break_after(number: int) -> Callable[[Exchange], Message | bytes | None]:
    passed = iter(range(number))

    def hook(exchange: Exchange) -> bytes | None:
        return b"" if exchange.path.endswith("/infer") and next(passed, None) is None else None

    return hook


@pytest.fixture(scope="module")
def store(
    triton: Triton, serve: Callable[[str], str], module_project: Callable[..., DbtProject]
) -> Generator[Store, None, None]:
    """Run the three builds."""
    project = module_project()
    cases = {case: options for case, options in CASES.items() if project.warehouse == "duckdb" or case in ON_SPARK}
    # A model each: the server batches requests of all who ask, and an exception fails the whole batch.
    kinds = {case: "upper" if case in ON_BAD_ROWS else "upper_plain" for case in cases}
    models = {case: serve("versioned" if case == "new_version" else kind) for case, kind in kinds.items()}
    with ExitStack() as stack:
        proxies = {case: stack.enter_context(RecordingProxy(triton.url)) for case in cases}
        project.model(
            "reviews",
            "{{ config(materialized='table') }}\nselect i as id, 'review ' || case when i = 1 then "
            f'\'{{{{ var("first", "one") }}}}\' else cast(i as string) end as review from range(1, {ROWS + 1}) t(i)',
        )
        project.model("steady", f"select i as id, 'steady ' || i as review from range(1, {ROWS + 1}) t(i)")
        project.model(
            "mixed",
            "{{ config(materialized='table') }}\nselect i as id, case i when 3 then 'RAISE 3' when 5 then 'REFUSE 5' "
            "else 'fine ' || i end as review from range(1, 7) t(i)",
        )
        for case, options in cases.items():
            project.inference_model(case, proxies[case].url, models[case], max_retries="0", **options)
            table = "mixed" if case in ON_BAD_ROWS else "steady" if case in BREAKS else "reviews"
            project.model(
                f"p_{case}",
                "{{ config(materialized='ml_predict') }}\nselect * from ML_PREDICT("
                f"TABLE {{{{ ref('{table}') }}}}, MODEL {{{{ ref('{case}') }}}}, DESCRIPTOR(review)"
                f"{{{{ \", MAP['retry-errors', 'true']\" if var('retry', false) and '{case}' == 'nulls' }}}})",
            )
        made = Store(project, triton, models, proxies)
        for case in BREAKS:
            proxies[case].hook = _break_after(BEFORE_THE_BREAK)
        made.run()
        for case in BREAKS:
            proxies[case].hook = None
        if "new_version" in models:
            _serve_a_new_version(triton, models["new_version"])
        for proxy in proxies.values():
            proxy.clear()
        made.run("--vars", "first: changed")
        made.run("--full-refresh", "--vars", "{first: changed, retry: true}", "-s", "p_persistent", "p_nulls")
        yield made


def _serve_a_new_version(triton: Triton, model: str) -> None:
    shutil.copytree(triton.repository / model / "1", triton.repository / model / "3")
    httpx.post(f"{triton.url}/v2/repository/models/{model}/load", timeout=60, trust_env=False).raise_for_status()


@pytest.mark.slow
def test_resumed_run_sends_only_the_rest(store: Store) -> None:
    """A run that broke keeps what it had; the next sends only the rest, by the server's own counters."""
    first, second = store.counted[0]["resume"], store.counted[1]["resume"]
    kept = BEFORE_THE_BREAK * BATCH
    assert store.results[0].status("p_resume") == "error"
    assert "p_resume__ml_predictions" in store.relations[0]
    assert first.rows == kept
    figures = store.results[1].figures("p_resume")
    assert figures["rows_reused"] == kept
    assert second.rows == figures["rows_predicted"] == ROWS - kept
    assert len(store.proxies["resume"].inferences) == figures["requests"]
    assert [row[2] for row in store.tables[1]["resume"]] == [str(row[1]).upper() for row in store.tables[1]["resume"]]
    assert len(store.tables[1]["resume"]) == ROWS


def test_finished_run_starts_again(store: Store) -> None:
    """With the default cache a finished run drops its store, and the next sends every row."""
    assert "p_default_cache__ml_predictions" not in store.relations[0] | store.relations[1]
    assert [store.counted[run]["default_cache"].rows for run in (0, 1)] == [ROWS, ROWS]


def test_persistent_cache_sends_what_changed(store: Store) -> None:
    """With a persistent cache only a changed row is sent; --full-refresh sends all of them."""
    assert [store.counted[run]["persistent"].rows for run in (0, 1, 2)] == [ROWS, 1, ROWS]
    assert store.results[1].figures("p_persistent")["rows_reused"] == ROWS - 1
    assert store.results[1].message("p_persistent").endswith(f", {ROWS - 1} rows reused")
    assert "p_persistent__ml_predictions" in store.relations[1]
    assert store.tables[1]["persistent"][0] == (1, "review changed", "REVIEW CHANGED")


@pytest.mark.duckdb_only("what is another prediction is decided without a warehouse")
def test_new_version_behind_latest_is_noticed(store: Store) -> None:
    """A new version behind `latest` makes kept predictions old: every row is sent to it."""
    assert [store.counted[run]["new_version"].rows for run in (0, 1)] == [ROWS, ROWS]
    assert store.tables[0]["new_version"][1][2] == "v2 review 2"
    assert store.tables[1]["new_version"][1][2] == "v3 review 2"


def test_no_cache_keeps_nothing(store: Store) -> None:
    """With 'cache' = 'off' nothing is left, whether the run finished or broke, and every row is sent again."""
    for case in {"off", "off_breaks"} & set(store.models):
        assert f"p_{case}__ml_predictions" not in store.relations[0] | store.relations[1]
        assert store.counted[1][case].rows == ROWS
    assert store.results[0].status("p_off_breaks") == "error"
    assert store.results[1].status("p_off_breaks") == "success"


def test_failed_rows_become_null(store: Store) -> None:
    """With 'on-error' = 'null' failed rows have NULL outputs and say why; the others have their predictions."""
    rows = store.tables[0]["nulls"]
    assert list(store.project.columns("p_nulls")) == ["id", "review", "output", "ml_error"]
    for number, review, output, error in rows:
        if number in BAD:
            assert output is None
            assert BAD[int(str(number))] in str(error)
        else:
            assert (output, error) == (str(review).upper(), None)
    assert len(rows) == 6
    assert "2 rows failed" in store.results[0].message("p_nulls")
    assert store.results[0].figures("p_nulls")["rows_failed"] == 2


def test_refused_rows_are_not_sent_again(store: Store) -> None:
    """Rows that failed for good are not sent again by the next run, unless retry-errors asks for it."""
    assert store.proxies["nulls"].inferences != []  # by the third build, with retry-errors
    assert store.results[1].figures("p_nulls")["requests"] == 0
    assert store.results[1].figures("p_nulls")["rows_failed"] == 2
    assert store.results[2].figures("p_nulls")["requests"] > 0
    assert store.tables[1]["nulls"] == store.tables[0]["nulls"]


@pytest.mark.duckdb_only("test_flink_semantics has a default-value on Spark")
def test_default_value_stands_for_failed_rows(store: Store) -> None:
    """default-value is the output of a failed row, which still says why it failed."""
    assert store.results[0].status("p_defaults") == "success", store.results[0].message("p_defaults")
    values = {row[0]: (row[2], row[3] is not None) for row in store.tables[0]["defaults"]}
    assert values[3] == values[5] == ("unknown", True)
    assert values[1] == ("FINE 1", False)


def test_too_many_failed_rows_fail_the_build(store: Store) -> None:
    """max-error-ratio bears as many failed rows as it says, and fails the build above it."""
    if "ratio_bears" in store.models:
        assert store.results[0].status("p_ratio_bears") == "success"
    assert store.results[0].status("p_ratio_fails") == "error"
    assert "2 of 6 rows failed, more than max-error-ratio 0.1" in store.results[0].message("p_ratio_fails")


@pytest.mark.duckdb_only("test_failures has refused rows on Spark")
def test_failed_rows_fail_the_build_by_default(store: Store) -> None:
    """By default failed rows fail the build after every other row is done and kept."""
    said = store.results[0].message("p_fails")
    assert store.results[0].status("p_fails") == "error"
    assert "2 row(s) failed; every other row is done and kept" in said
    for words in BAD.values():
        assert words in said
    assert store.project.query(
        "select count(*) from p_fails__ml_predictions where ml_error is null"
    ) == [(4,)]  # fmt: skip
    # message() folds the lines.
    query = said.split("Every row: ")[1].split(" Mend such values")[0]
    assert sorted(store.project.query(query)) == [(3, "RAISE 3"), (5, "REFUSE 5")]
