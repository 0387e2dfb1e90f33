"""What ml_predict makes of its SQL: columns, names, inputs, hooks, contracts and neighbours; three dbt commands."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest
from support.dbt import DbtProject, DbtResult
from support.proxy import RecordingProxy
from support.triton import Counters, Triton
from support.warehouses import duckdb_only

PREDICT = "{{ config(materialized='ml_predict') }}\n"
CALL = "ML_PREDICT(TABLE {{ ref('reviews') }}, MODEL {{ ref('shout') }}, DESCRIPTOR(review))"
#: Neighbours with indexes, built at once.
NEIGHBOURS = [f"neighbour_{number}" for number in range(4)]

MODELS = {
    "reviews": (
        "{{ config(materialized='table') }}\n"
        "select * from (values (1, 'good'), (2, 'bad'), (3, 'good'), (4, null), (5, 'so so')) t(id, review)"
    ),
    "nothing": "select * from {{ ref('reviews') }} where false",
    "ephemeral_reviews": (
        "{{ config(materialized='ephemeral') }}\nselect id, review || '!' as review from {{ ref('reviews') }}"
    ),
    "p_plain": f"{PREDICT}select * from {CALL}",
    "p_empty": f"{PREDICT}select * from {CALL.replace('reviews', 'nothing')}",
    "p_only_null": f"{PREDICT}select * from {CALL.replace('reviews', 'only_null')}",
    "only_null": "{{ config(materialized='table') }}\nselect 1 as id, cast(null as string) as review",
    "p_collision": (
        f"{PREDICT}select * from ML_PREDICT(TABLE (select id, review, 'a' as output, 'b' as output0 from "
        "{{ ref('reviews') }}), MODEL {{ ref('shout') }}, DESCRIPTOR(review))"
    ),
    "p_cte": (
        f"{PREDICT}with source as (select * from {{{{ ref('reviews') }}}}), -- ML_PREDICT(TABLE x)\n"
        "chosen as (select id, review from source where id <> 2)\n"
        "select id, output, 'ML_PREDICT(TABLE a, MODEL b, DESCRIPTOR(c))' as said\n"
        "from ML_PREDICT(TABLE chosen, MODEL {{ ref('shout') }}, DESCRIPTOR(review)) where id > 1"
    ),
    "p_ephemeral": f"{PREDICT}select * from {CALL.replace('reviews', 'ephemeral_reviews')}",
    "p_parenthesised": (
        f"{PREDICT}select p.id, p.output from ML_PREDICT(TABLE (select id, upper(review) || '?' as review from "
        "{{ ref('reviews') }}), MODEL {{ ref('shout') }}, DESCRIPTOR(review)) as p"
    ),
    "p_macro": (
        f"{PREDICT}select * from {{{{ dbt_triton.ml_predict(ref('reviews'), ref('shout'), 'review', "
        "{'batch-size': 2, 'binary-data': false}) }}"
    ),
    "p_named": (
        f"{PREDICT}select * from ML_PREDICT(INPUT => TABLE {{{{ ref('reviews') }}}}, "
        "MODEL => MODEL {{ ref('shout') }}, "
        "ARGS => DESCRIPTOR(`review`), CONFIG => MAP['batch-size', '2', 'timeout', '10s'])"
    ),
    "p_two_calls": (
        f"{PREDICT}select a.id, a.output as first, b.output as second from {CALL} as a\n"
        "join ML_PREDICT(TABLE {{ ref('reviews') }}, MODEL {{ ref('label') }}, DESCRIPTOR(review)) as b using (id)"
    ),
    "p_nested": (
        f"{PREDICT}select * from ML_PREDICT(TABLE (select id, output as loud from {CALL}), "
        "MODEL {{ ref('label') }}, DESCRIPTOR(loud))"
    ),
    "p_two_columns": (
        f"{PREDICT}select id, total, is_large from ML_PREDICT(TABLE (select id, id * 10.5 as price, id * 3 as quantity "
        "from {{ ref('reviews') }}), MODEL {{ ref('prices') }}, DESCRIPTOR(price, quantity))"
    ),
    "names": (
        "{{ config(materialized='table', alias='Die Tabelle Ü') }}\n"
        'select 1 as "Order", \'ä "x"\' as "Der ""Text"" hier", \'grün\' as "SELECT", \'q\' as 评论'
    ),
    "p_names": (
        "{{ config(materialized='ml_predict', alias='Group By ß') }}\n"
        "select *, \"Output\" as \"from\" from ML_PREDICT(TABLE {{ ref('names') }}, MODEL {{ ref('model_names') }}, "
        'DESCRIPTOR("Der ""Text"" hier"))'
    ),
    "p_names_backticks": (
        f"{PREDICT}select 评论, output from ML_PREDICT(TABLE {{{{ ref('names') }}}}, "
        "MODEL {{ ref('shout') }}, DESCRIPTOR(`评论`))"
    ),
    "p_names_macro": (
        f"{PREDICT}select * from {{{{ dbt_triton.ml_predict(ref('names'), ref('shout'), ['SELECT']) }}}}"
    ),
    "p_hooks": (
        "{{ config(materialized='ml_predict', "
        "pre_hook=[{'sql': \"create table if not exists hook_log(what varchar, n bigint)\", 'transaction': false},"
        " \"create or replace table staged as select 9 as id, 'staged' as review\"], "
        "post_hook=[\"insert into hook_log select 'inside', count(*) from {{ this }}\","
        " {'sql': \"insert into hook_log select 'outside', count(*) from {{ this }}\", 'transaction': false}], "
        "grants={'select': ['someone']}) }}\n"
        "select * from ML_PREDICT(TABLE staged, MODEL {{ ref('shout') }}, DESCRIPTOR(review))"
    ),
    "p_contract": f"{PREDICT}select id, output as verdict from {CALL}",
    "p_view_in_the_way": f"{PREDICT}select * from {CALL}",
    "downstream": "{{ config(materialized='table') }}\nselect count(*) as n from {{ ref('p_contract') }}",
}
#: Those that differ on Spark: its catalogs have no name of a table with other than letters, digits and `_`.
SPARK_MODELS = {
    "names": (
        "{{ config(materialized='table', alias='die_tabelle') }}\n"
        "select 1 as `Order`, 'ä \"x\"' as `Der \"Text\" hier`, 'grün' as `SELECT`, 'q' as `评论`"
    ),
    "p_names": (
        "{{ config(materialized='ml_predict', alias='group_by') }}\n"
        "select *, `Output` as `from` from ML_PREDICT(TABLE {{ ref('names') }}, MODEL {{ ref('model_names') }}, "
        'DESCRIPTOR(`Der "Text" hier`))'
    ),
    "p_names_backticks": MODELS["p_names_backticks"].replace("select 评论", "select `评论`"),
    "p_hooks": (
        "{{ config(materialized='ml_predict', "
        'pre_hook=["create table if not exists hook_log(what string, n bigint) using parquet",'
        " \"create table if not exists staged using parquet as select 9 as id, 'staged' as review\"], "
        "post_hook=[\"insert into hook_log select 'inside', count(*) from {{ this }}\","
        " {'sql': \"insert into hook_log select 'outside', count(*) from {{ this }}\", 'transaction': false}]) }}\n"
        "select * from ML_PREDICT(TABLE staged, MODEL {{ ref('shout') }}, DESCRIPTOR(review))"
    ),
    "p_contract": MODELS["p_contract"],
}
#: Those that say nothing more on Spark, where each takes its seconds, or that Spark cannot have: indexes, constraints.
NOT_ON_SPARK = ["p_named", "p_macro", "p_names_backticks", "p_names_macro", "p_contract", "downstream", *NEIGHBOURS]
MODELS |= dict.fromkeys(
    NEIGHBOURS,
    "{{ config(materialized='ml_predict', indexes=[{'columns': ['id'], 'unique': true}]) }}\n"
    f"select id, output from {CALL}",
)
YAML = """
models:
  - name: p_plain
    description: Reviews, shouted
    config: {persist_docs: {relation: true, columns: true}}
    columns:
      - name: output
        description: The review in capitals
        data_tests: [{not_null: {config: {where: "review is not null"}}}]
  - name: p_contract
    config: {contract: {enforced: true}}
    columns:
      - {name: id, data_type: integer, constraints: [{type: not_null}, {type: primary_key}]}
      - {name: verdict, data_type: varchar, constraints: [{type: check, expression: "verdict <> ''"}]}
"""
_WITHOUT = "how a call is written is read without a warehouse"
SHOUTED = [(1, "GOOD"), (2, "BAD"), (3, "GOOD"), (4, None), (5, "SO SO")]


@dataclass
class Tables:
    """The builds of this file: from nothing, and once more."""

    project: DbtProject
    first: DbtResult
    second: DbtResult
    counted: Counters
    sent: list[int]
    texts: list[str]


@pytest.fixture(scope="module")
def tables(
    triton: Triton, serve: Callable[[str], str], module_project: Callable[..., DbtProject]
) -> Generator[Tables, None, None]:
    """Build every model with four threads, twice."""
    project = module_project(threads=4)
    on_duckdb = project.warehouse == "duckdb"
    models = MODELS if on_duckdb else {k: v for k, v in (MODELS | SPARK_MODELS).items() if k not in NOT_ON_SPARK}
    upper, versioned, arithmetic = serve("upper"), serve("versioned"), serve("arithmetic")
    with ExitStack() as stack:
        proxy = stack.enter_context(RecordingProxy(triton.url))
        for name, sql in models.items():
            project.model(name, sql)
        project.write("models/schema.yml", YAML if on_duckdb else YAML.split("  - name: p_contract", maxsplit=1)[0])
        project.inference_model("shout", proxy.url, upper)
        project.inference_model("label", triton.url, versioned, model_version="2")
        project.model(
            "prices",
            "{{ config(materialized='inference_model') }}\nCREATE MODEL prices INPUT (price DOUBLE, quantity BIGINT)\n"
            f"OUTPUT (total DOUBLE, is_large BOOLEAN) WITH ('provider' = 'triton', 'endpoint' = '{triton.url}', "
            f"'model-name' = '{arithmetic}')",
        )
        alias = "Modell der Größe" if on_duckdb else "modell"
        project.model(
            "model_names",
            f"{{{{ config(materialized='inference_model', alias='{alias}') }}}}\n"
            f'CREATE MODEL "{alias}" INPUT ("Eingabe 1" STRING) OUTPUT (`Output` STRING) WITH '
            f"('provider' = 'triton', 'endpoint' = '{triton.url}', 'model-name' = '{upper}')",
        )
        first = project.build()
        counted = triton.counters(upper)
        sent = [exchange.request.json["inputs"][0]["shape"][0] for exchange in proxy.inferences]
        texts = [exchange.request.plain_body.decode("utf-8", errors="replace") for exchange in proxy.inferences]
        second = project.build() if on_duckdb else project.build("-s", "p_plain", "p_hooks")
        yield Tables(project, first, second, counted, sent, texts)


@pytest.mark.slow
def test_server_was_called(tables: Tables) -> None:
    """The real server predicted what is in the tables: its counters say so."""
    assert tables.counted.requests >= len(tables.sent) > (15 if tables.project.warehouse == "duckdb" else 8)
    assert tables.counted.rows >= sum(tables.sent)


@pytest.mark.parametrize("name", ["p_plain", "p_view_in_the_way", *duckdb_only(_WITHOUT, "p_macro", "p_named")])
def test_output_stands_beside_the_input(tables: Tables, name: str) -> None:
    """All input columns, then the output; NULL predicts NULL; macro, named and positional arguments are the same."""
    number, text = ("INTEGER", "VARCHAR") if tables.project.warehouse == "duckdb" else ("int", "string")
    assert list(tables.project.columns(name).items()) == [("id", number), ("review", text), ("output", text)]
    assert tables.project.query(f"select id, output from {name} order by id") == SHOUTED


def test_equal_inputs_are_sent_once(tables: Tables) -> None:
    """Three different reviews in five rows are three rows on the wire, and NULL is none."""
    assert tables.first.figures("p_plain")["rows_predicted"] == 3
    requests = (
        "1 request"
        if tables.project.warehouse == "duckdb"
        else f"{tables.first.figures('p_plain')['requests']} request"
    )
    assert f"ML_PREDICT 5 rows, {requests}" in tables.first.message("p_plain")


@pytest.mark.parametrize(("name", "rows"), [("p_empty", []), ("p_only_null", [(1, None, None)])])
def test_nothing_to_send_sends_nothing(tables: Tables, name: str, rows: list[tuple[object, ...]]) -> None:
    """An empty input makes an empty table with the right columns, and no request; so do only NULLs."""
    assert tables.first.figures(name)["requests"] == 0
    assert tables.project.query(f"select * from {name}") == rows
    assert list(tables.project.columns(name).items())[-1] in {("output", "VARCHAR"), ("output", "string")}


def test_collision_gets_a_counter(tables: Tables) -> None:
    """An output whose name is taken gets the first free counter."""
    assert list(tables.project.columns("p_collision")) == [
        "id", "review", "output", "output0", "output1",
    ]  # fmt: skip
    assert tables.project.query("select output, output0, output1 from p_collision where id = 1") == [("a", "b", "GOOD")]


def test_inputs_of_every_kind(tables: Tables) -> None:
    """A CTE, an ephemeral model and a parenthesised query may be the table; strings and comments are left alone."""
    said = "ML_PREDICT(TABLE a, MODEL b, DESCRIPTOR(c))"
    assert tables.project.query("select * from p_cte order by id") == [
        (3, "GOOD", said),
        (4, None, said),
        (5, "SO SO", said),
    ]
    assert tables.project.query("select output from p_ephemeral where id = 2") == [("BAD!",)]
    assert tables.project.query("select output from p_parenthesised where id = 1") == [("GOOD?",)]


def test_several_calls(tables: Tables) -> None:
    """Several calls may stand in one statement, and a call may read the result of another."""
    assert tables.project.query("select * from p_two_calls where id in (1, 4) order by id") == [
        (1, "GOOD", "v2 good"),
        (4, None, None),
    ]
    assert tables.project.query("select id, loud, output from p_nested where id in (2, 4) order by id") == [
        (2, "BAD", "v2 BAD"),
        (4, None, None),
    ]


def test_several_inputs_and_outputs(tables: Tables) -> None:
    """Several columns bind to several tensors, in the order of DESCRIPTOR, and outputs are read by name."""
    assert tables.project.query("select * from p_two_columns order by id limit 2") == [
        (1, 31.5, False),
        (2, 126.0, True),
    ]
    kinds = [kind.upper().replace("INTEGER", "INT") for kind in tables.project.columns("p_two_columns").values()]
    assert kinds == ["INT", "DOUBLE", "BOOLEAN"]


def test_names_of_every_kind(tables: Tables) -> None:
    """Spaces, quotes, capitals, reserved words and letters beyond ASCII are names like any other."""
    on_duckdb = tables.project.warehouse == "duckdb"
    names = map(tables.project.quote, ("Order", "Output", "from"))
    relation = tables.project.quote("Group By ß" if on_duckdb else "group_by")
    assert tables.project.query(f"select {', '.join(names)} from {relation}") == [(1, 'Ä "X"', 'Ä "X"')]
    if on_duckdb:  # the others differ in what is read, not in what Spark gets
        assert tables.project.query("select * from p_names_backticks") == [("q", "Q")]
        assert tables.project.query("select output from p_names_macro") == [("GRÜN",)]


@pytest.mark.duckdb_only("tests/spark/test_macros.py has hooks on Spark")
def test_hooks_run_inside_and_outside(tables: Tables) -> None:
    """Hooks run as for a table, and the step sees what a pre-hook built; grants are no error."""
    assert tables.project.query("select id, output from p_hooks") == [(9, "STAGED")]
    # Both builds wrote both.
    assert sorted(tables.project.query("select * from hook_log")) == [("inside", 1)] * 2 + [("outside", 1)] * 2


@pytest.mark.duckdb_only("tests/spark/test_macros.py has comments on Spark")
def test_docs_are_persisted(tables: Tables) -> None:
    """persist_docs writes comments on the table and its columns."""
    assert tables.project.query("select comment from duckdb_tables() where table_name = 'p_plain'") == [
        ("Reviews, shouted",)
    ]
    assert tables.project.query(
        "select comment from duckdb_columns() where table_name = 'p_plain' and column_name = 'output'"
    ) == [("The review in capitals",)]


@pytest.mark.duckdb_only("Spark checks no constraint; tests/spark/test_macros.py has its contracts")
def test_contract_and_constraints_hold(tables: Tables) -> None:
    """An enforced contract makes its types and constraints, as for a table."""
    kinds = {row[0] for row in tables.project.query(
        "select constraint_type from duckdb_constraints() where table_name = 'p_contract'"
    )}  # fmt: skip
    assert {"PRIMARY KEY", "NOT NULL", "CHECK"} <= kinds
    assert tables.project.query("select * from p_contract order by id") == SHOUTED
    assert tables.project.query("select n from downstream") == [(5,)]


@pytest.mark.duckdb_only("Spark has no indexes")
def test_neighbours_at_once(tables: Tables) -> None:
    """Models with indexes are built and rebuilt at once under four threads, each with its index."""
    for result in (tables.first, tables.second):
        assert {result.status(name) for name in NEIGHBOURS} == {"success"}
    for name in NEIGHBOURS:
        assert tables.project.query(f"select * from {name} order by id") == SHOUTED
        assert tables.project.query(f"select count(*) from duckdb_indexes() where table_name = '{name}'") == [(1,)]
    assert len({tables.second.results[name]["thread_id"] for name in NEIGHBOURS}) > 1


def test_nothing_is_left_behind(tables: Tables) -> None:
    """A finished run leaves no prediction store, no backup and no temporary relation."""
    left = {name for name in tables.project.relations() if "__" in name or name.startswith("dbt_triton")}
    assert left == set()


@pytest.mark.slow
def test_view_and_empty(tables: Tables) -> None:
    """A view in the way is replaced; `--empty` builds every table without rows and without a request."""
    project = tables.project
    project.model("p_view_in_the_way", "{{ config(materialized='view') }}\nselect 1 as old")
    project.build("-s", "p_view_in_the_way")
    project.model("p_view_in_the_way", MODELS["p_view_in_the_way"])
    on_duckdb = project.warehouse == "duckdb"
    selected = ["p_plain", "p_cte", "p_nested", "p_ephemeral", "p_two_calls", "p_parenthesised", "p_names", "p_macro"]
    selected = selected if on_duckdb else selected[:3]  # a build takes its seconds there
    result = project.dbt("run", "--empty", "-s", "p_view_in_the_way", *selected)
    assert result.code == 0, result.printed
    for name in ("p_view_in_the_way", *selected):
        assert result.figures(name)["requests"] == 0
        relation = '"Group By ß"' if name == "p_names" else name
        assert project.query(f"select count(*) from {relation}") == [(0,)]
    assert list(project.columns("p_view_in_the_way")) == ["id", "review", "output"]
    project.build("-s", *selected, "p_view_in_the_way")
    assert project.query("select id, output from p_view_in_the_way order by id") == SHOUTED
