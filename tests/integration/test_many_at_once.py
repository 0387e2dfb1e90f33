"""Twenty predicting models of all kinds at eight threads on one DuckDB file, every row of every table, twice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from support.dbt import DbtProject, DbtResult
from support.triton import Triton

pytestmark = [pytest.mark.slow, pytest.mark.duckdb_only("it is about threads that share one DuckDB file")]

ROWS = (1_500, 2_000)
#: Rows that the server refuses: every hundredth, of the models that say so.
REFUSED = "case when id % 100 = 7 then 'REFUSE ' else '' end || "
INCREMENTAL = {
    "append": "incremental_strategy='append'",
    "merge": "incremental_strategy='merge', unique_key='id'",
    "replace": "incremental_strategy='delete+insert', unique_key='id'",
}
NAMES = [
    *(f"run_{number}" for number in range(5)),
    *(f"kept_{number}" for number in range(3)),
    *(f"off_{number}" for number in range(2)),
    *(f"{kind}_{number}" for kind in INCREMENTAL for number in range(2)),
    *(f"twice_{number}" for number in range(2)),
    "refused_null",
    "strict",
]


def review(name: str) -> str:
    """Return the SQL of a model's own texts, of which no other model has one."""
    bad = {
        "refused_null": REFUSED,
        "strict": f"{{% if var('mended', false) %}}'' || {{% else %}}{REFUSED}{{% endif %}}",
    }
    return f"{bad.get(name, '')}'{name} ' || id"


def call(name: str, served: str) -> str:
    """Return the call of a model."""
    new = "{% if dbt_triton.is_incremental() %} where id > (select max(id) from {{ this }}){% endif %}"
    where = new if name.startswith("append") else ""
    rows = f"(select id, {review(name)} as review from {{{{ ref('numbers') }}}}{where})"
    return f"ML_PREDICT(TABLE {rows}, MODEL {{{{ ref('{served}') }}}}, DESCRIPTOR(review))"


def write(project: DbtProject, endpoint: str, model_name: str) -> None:
    """Write the project."""
    project.model("numbers", "{{ config(materialized='table') }} select i as id from range({{ var('rows') }}) as t(i)")
    project.inference_model("upper", endpoint, model_name, batch_size="64")
    project.inference_model("kept", endpoint, model_name, batch_size="32", cache="persistent")
    project.inference_model("off", endpoint, model_name, batch_size="100", cache="off")
    project.inference_model("lenient", endpoint, model_name, batch_size="64", on_error="null")
    served = {"kept": "kept", "off": "off", "refused": "lenient", "merge": "kept", "replace": "kept"}
    for name in NAMES:
        kind = name.partition("_")[0]
        config = f", {INCREMENTAL[kind]}" if kind in INCREMENTAL else ""
        head = f"{{{{ config(materialized='ml_predict'{config}) }}}} select "
        if kind == "twice":
            two = f"{call(name, 'upper')} as a join {call(name, 'kept')} as b using (id)"
            project.model(name, f"{head} id, a.output || b.output as output from {two}")
        else:
            project.model(name, f"{head} id, output from {call(name, served.get(kind, 'upper'))}")


def expected(name: str, rows: int) -> list[tuple[int, Any]]:
    """Return every row of a table."""
    times = 2 if name.startswith("twice") else 1
    null = {id_ for id_ in range(rows) if id_ % 100 == 7 and name == "refused_null"}
    return [(id_, None if id_ in null else f"{name} {id_}".upper() * times) for id_ in range(rows)]


def check(project: DbtProject, result: DbtResult, rows: int, names: list[str]) -> None:
    """Check every row of tables, and that nothing else was left than tables and stores that stay."""
    for name in names:
        assert result.status(name) == "success", result.message(name)
        assert project.query(f"select id, output from {name} order by id") == expected(name, rows), name
    stores = {name.partition("__ml_")[0] for name in project.relations() if "__ml_" in name}
    kept = {name for name in NAMES if name.startswith(("kept", "merge", "replace", "twice"))}
    assert stores - {"strict"} == kept, "stores of 'cache' = 'run' are dropped when their table is built"


def test_twenty_models_at_eight_threads(
    triton: Triton, serve: Callable[[str], str], new_project: Callable[..., DbtProject]
) -> None:
    """Models that are built at once, of every kind and one that fails, leave each other alone, twice."""
    project = new_project(threads=8)
    upper = serve("upper")
    write(project, triton.url, upper)
    assert len(NAMES) == 20

    first = project.fails("--vars", f"{{rows: {ROWS[0]}}}")
    check(project, first, ROWS[0], [name for name in NAMES if name != "strict"])
    assert first.status("strict") == "error"
    assert "15 row(s) failed; every other row is done and kept" in first.message("strict")
    assert [name for name in first.results if first.status(name) != "success"] == ["strict"]

    again = project.build("--vars", f"{{rows: {ROWS[1]}, mended: true}}")
    check(project, again, ROWS[1], NAMES)
    for name in NAMES:
        figures, kind = again.figures(name), name.partition("_")[0]
        reused = {"kept": ROWS[0], "merge": ROWS[0], "replace": ROWS[0], "twice": ROWS[0], "strict": ROWS[0] - 15}
        assert figures["rows_reused"] == reused.get(kind, 0), name
    assert "Conflict" not in first.printed + again.printed
