"""dbt-spark itself on Iceberg tables, in each of the two catalogs that a session on one machine can have."""

from __future__ import annotations

import pytest
from support.spark_iceberg import iceberg_session, renamed
from support.spark_steps import Told, take_steps, write_project

#: An environment of its own, and minutes for each catalog.
pytestmark = pytest.mark.spark_slow

MODELS = {
    "replaced": """
        {{ config(materialized='table', file_format='iceberg') }}
        select id, '{{ var("word", "first") }}' as word,
            {{ "if(id = 3, raise_error('as asked for'), 0)" if var('word', '') == 'failing' else 0 }} as checked
        from range(5)
    """,
    "merged": """
        {{ config(materialized='incremental', file_format='iceberg', incremental_strategy='merge', unique_key='id') }}
        select id, '{{ var("word", "first") }}' as word from range(5)
        {% if is_incremental() %} where id > 2 union all select 5, 'new' {% endif %}
    """,
}


REFUSED = """
    create or replace table shop.merged using iceberg as
    select id, if(id = 3, raise_error('as asked for'), 0) as word from range(5)
"""
STEPS = {
    "first": ("dbt", "run"),
    "listed": ("sql", "show tables in shop"),
    "refused": ("sql", REFUSED),
    "after refused": ("sql", "select count(*), min(word), max(word) from shop.merged"),
    "second": ("dbt", "run", "--vars", "word: second"),
    "merged": ("sql", "select id, word from shop.merged order by id"),
    "rename": ("sql", "alter table shop.merged rename to shop.renamed"),
    "failing": ("dbt", "run", "-s", "replaced", "--vars", "word: failing"),
    "after failing": ("sql", "select count(*), min(word), max(word) from shop.replaced"),
    "plain": ("sql", "create table shop.plain using parquet as select 1 as id"),
    "provider": ("sql", "describe extended shop.plain"),
}


@pytest.fixture(scope="module", params=["hadoop", "hive", "own"])
def catalog(request: pytest.FixtureRequest) -> str:
    """The type of the catalog."""
    return str(request.param)


@pytest.fixture(scope="module")
def told(catalog: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Told]:
    """What became of each step; one process takes them all."""
    project = write_project(tmp_path_factory.mktemp("iceberg") / "shop", MODELS)
    with iceberg_session(catalog) as session:
        return dict(zip(STEPS, take_steps(session, project, *STEPS.values()), strict=True))


def test_failed_statement_leaves_the_table(told: dict[str, Told]) -> None:
    """CREATE OR REPLACE TABLE is atomic on Iceberg: where its query fails, the table has the rows of before."""
    assert told["first"].error == ""
    assert "as asked for" in told["refused"].error
    assert told["after refused"].rows == [[5, "first", "first"]]


def test_dbt_knows_iceberg_in_a_catalog_of_its_own_only(told: dict[str, Told], catalog: str) -> None:
    """dbt-spark drops an Iceberg table of the session's catalog before it builds the next one, as if it were parquet.

    It looks for the words "Provider: iceberg", and Spark says of such a table "Provider: hive".
    """
    assert "as asked for" in told["failing"].error
    if catalog == "own":
        assert told["after failing"].rows == [[5, "second", "second"]]
    else:
        assert "TABLE_OR_VIEW_NOT_FOUND" in told["after failing"].error


def test_merge(told: dict[str, Told], catalog: str) -> None:
    """Dbt's strategy merge changes rows and adds them; in a catalog of folders dbt sees no table to merge into."""
    assert told["second"].error == ""
    assert bool(told["listed"].rows) == (catalog != "hadoop")
    merged = [[0, "first"], [1, "first"], [2, "first"], [3, "second"], [4, "second"], [5, "new"]]
    assert told["merged"].rows == (merged if catalog != "hadoop" else [[id_, "second"] for id_ in range(5)])


def test_rename(told: dict[str, Told], catalog: str) -> None:
    """A table of a metastore can be renamed, and one of folders cannot."""
    assert ("Cannot rename Hadoop tables" in told["rename"].error) == (catalog == "hadoop")
    assert told["rename"].error == "" or catalog == "hadoop"


def test_parquet_tables_stand_beside_them(told: dict[str, Told], catalog: str) -> None:
    """The session's catalog has parquet tables, too; in one of Iceberg's own it is an Iceberg table."""
    assert told["plain"].error == ""
    provider = next(row[1] for row in told["provider"].rows if row[0] == "Provider")
    assert provider == ("iceberg" if catalog == "own" else "parquet")


def test_long_constants_take_two_places() -> None:
    """A class file is renamed as a whole: constants of eight bytes count twice, and what follows them is unchanged."""
    text = b"Lcom/fasterxml/jackson/core/JsonFactory;"
    head = b"\xca\xfe\xba\xbe\x00\x00\x00\x34" + b"\x00\x04" + b"\x05" + bytes(8)
    new = b"Lorg/apache/iceberg/shaded/com/fasterxml/jackson/core/JsonFactory;"
    after = b"com/fasterxml/jackson is no constant"
    made = renamed(head + b"\x01" + len(text).to_bytes(2, "big") + text + after)
    assert made == head + b"\x01" + len(new).to_bytes(2, "big") + new + after
