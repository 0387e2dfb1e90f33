import duckdb
import pytest

from dbt_triton.warehouses.duckdb.dialect import checksum
from dbt_triton.warehouses.duckdb.repeatable import is_repeatable
from dbt_triton.warehouses.duckdb.session import DuckDBSession
from dbt_triton.warehouses.duckdb.unchanged import _exact, _NotComparableError

TABLE = "dbt_triton_operand"
REPEATABLE = [
    f"select id, output from {TABLE}",
    f"from {TABLE}",
    f"select * exclude (a) replace (b + 1 as b), columns('c.*') from {TABLE} as t",
    f"select lower(a) || 'x' as y from {TABLE} where id > 3 and a in ('1', '2') or b is null order by id",
    f"select coalesce(a, b), case when a like 'x%' then b end, a::date, cast(b as int), date '2020-01-01' from {TABLE}",
    f"select a, count(*), sum(b) from {TABLE} group by all having max(b) between 1 and 3",
    f"select json_extract(a, '$.x'), regexp_replace(a, 'b', 'c'), date_trunc('day', b) from (select * from {TABLE}) t",
    f"select distinct 1 from {TABLE} union all select 2",
    f"select {' || '.join(['a'] * 250)} from {TABLE}",
]
NOT_REPEATABLE = [
    f"select now() from {TABLE}",
    f"select current_date from {TABLE}",
    f"select CURRENT_TIMESTAMP from {TABLE}",
    f"select current_localtimestamp() from {TABLE}",
    f"select age(b) from {TABLE}",
    f"select user from {TABLE}",
    f"select id from {TABLE} where random() < 0.5",
    f"select uuid() from {TABLE}",
    f"select nextval('s') from {TABLE}",
    f"select getvariable('v') from {TABLE}",
    f"select getenv('HOME') from {TABLE}",
    f"select current_setting('TimeZone') from {TABLE}",
    f"select rowid from {TABLE}",
    f"select twice(id) from {TABLE}",
    f"select reverse(id) from {TABLE}",
    f"select in_python(id) from {TABLE}",
    f"select no_such_function(id) from {TABLE}",
    f"select id from {TABLE} tablesample 10%",
    f"select id from {TABLE} using sample 3",
    f"select id from {TABLE} limit 3",
    f"select id from {TABLE} limit 10%",
    f"select id from {TABLE} offset 1",
    f"select distinct on (a) a, b from {TABLE}",
    f"select row_number() over () from {TABLE}",
    f"select list(a) from {TABLE}",
    f"select string_agg(a, ',') from {TABLE}",
    f"select id, (select max(x) from other) from {TABLE}",
    f"select exists (from {TABLE}) from {TABLE}",
    f"select * from {TABLE}, other",
    f"select * from {TABLE} positional join {TABLE} as t",
    f"with other as (from {TABLE}) select * from other",
    f"select * from {TABLE}, 'file.csv'",
    f"select * from {TABLE}, read_csv('file.csv')",
    f"select * from {TABLE}, range(3)",
    f"pivot {TABLE} on a",
    f"select json_serialize_plan('select * from other') from {TABLE}",
    f"select id from {TABLE} where",
]


@pytest.fixture
def warehouse() -> DuckDBSession:
    """An empty warehouse, with a macro."""
    connection = duckdb.connect()
    connection.execute("create macro twice(x) as 2 * x")
    connection.execute("create macro reverse(x) as 2 * x")
    connection.create_function("in_python", lambda x: x, ["BIGINT"], "BIGINT")
    return DuckDBSession(connection)


@pytest.mark.parametrize("statement", REPEATABLE)
def test_repeatable(warehouse: DuckDBSession, statement: str) -> None:
    """What reads the call alone, with functions that are known to give the same for the same, may be left alone."""
    assert is_repeatable(statement, TABLE, warehouse)


@pytest.mark.parametrize("statement", NOT_REPEATABLE)
def test_not_repeatable(warehouse: DuckDBSession, statement: str) -> None:
    """What reads something else, the time, chance or the session, or depends on the order of rows, may not."""
    assert not is_repeatable(statement, TABLE, warehouse)


@pytest.mark.parametrize(
    ("kind", "one", "other"),
    [
        ("VARCHAR", "'a'", "'A'"),
        ("VARCHAR", "''", "null"),
        ("VARCHAR COLLATE NOCASE", "'a'", "'A'"),
        ("DOUBLE", "0.0::double", "-0.0::double"),
        ("FLOAT", "'nan'", "null"),
        ("DECIMAL(9,2)", "1.5", "1.51"),
        ("INTEGER[]", "[1, 2]", "[2, 1]"),
        ("INTEGER[]", "[]", "null"),
        ("VARCHAR[]", "[null]", "[]"),
        ("VARCHAR[2]", "['a', null]", "[null, 'a']"),
        ("VARCHAR[2]", "[null, null]", "null"),
        ("TIMESTAMP", "'2026-01-01'", "'2026-01-01 00:00:00.000001'"),
        ("BLOB", "'a'::blob", "'\\x00a'::blob"),
        ("ENUM('x', 'y')", "'x'", "'y'"),
        ("JSON", "'[1]'", "'[1 ]'"),
    ],
)
def test_checksum(warehouse: DuckDBSession, kind: str, one: str, other: str) -> None:
    """Inputs that differ in one value, or in how often a row is there, have other checksums; order is no matter."""

    def checksum_of(*values: str) -> object:
        rows = ", ".join(f"({number % 2}, {value})" for number, value in enumerate(values))
        warehouse.execute(f"create or replace table inputs (id integer, value {kind})")
        warehouse.execute(f"insert into inputs values {rows}")
        columns = _exact(warehouse.describe("from inputs"), "'salt'")
        return warehouse.rows(f"select {checksum('inputs', columns)} as checksum")[0]["checksum"]

    found = [checksum_of(*values) for values in ((one, one), (one, other), (other, one), (one, one, one), (one,))]
    assert len(set(found)) == len(found)
    assert checksum_of(one, other, one) == checksum_of(one, other, one)


@pytest.mark.parametrize(
    "kind", ["FLOAT[]", "DOUBLE[3]", "INTEGER[][]", "STRUCT(a INTEGER)", "MAP(VARCHAR, INTEGER)", "INTERVAL"]
)
def test_types_that_cannot_be_compared(warehouse: DuckDBSession, kind: str) -> None:
    """A table with a column whose equal values may differ is always built."""
    warehouse.execute(f"create table inputs (id integer, value {kind})")
    with pytest.raises(_NotComparableError):
        _exact(warehouse.describe("from inputs"), "'salt'")


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        *((kind, "'\"a\"'") for kind in ("VARCHAR", "BLOB", "JSON")),
        *((kind, "['a']") for kind in ("VARCHAR[]", "VARCHAR[1]")),
        *((kind, "1") for kind in ("BIGINT", "UTINYINT", "DECIMAL(9,2)", "DOUBLE", "BOOLEAN")),
        *((kind, "[1]") for kind in ("BIGINT[]", "INTEGER[1]")),
        *((kind, "'2026-01-01'") for kind in ("DATE", "TIMESTAMP", "TIMESTAMP WITH TIME ZONE")),
    ],
)
def test_checksum_is_salted(warehouse: DuckDBSession, kind: str, value: str) -> None:
    """The checksum of every value depends on the salt, so its author cannot make two inputs look the same."""
    warehouse.execute(f"create table inputs as select {value}::{kind} as value")
    columns = warehouse.describe("from inputs")
    queries = [f"select {checksum('inputs', _exact(columns, salt))} as checksum" for salt in ("'one'", "'other'")]
    one, other = (warehouse.rows(query)[0]["checksum"] for query in queries)
    assert one != other
