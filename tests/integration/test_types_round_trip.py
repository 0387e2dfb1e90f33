"""Every type and shape through a real server whose models answer with what they were sent.

A case is one row: its value goes from DuckDB through the tensor and back into DuckDB, which compares the two itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from support.session import Session
from support.triton import Triton
from support.type_values import Pair, every_pair, has_json_form, values

pytestmark = pytest.mark.duckdb_only("it takes thousands of builds; tests/spark has the values of every type in one")

#: Rows of one build.
ROWS = 34
#: Triton 2.51 reads a number of more than 15 digits from JSON with an error of up to so many last binary digits.
JSON_DIGITS_LOST = 2
SHAPES = ["scalar", "vector", "matrix", "fixed"]
#: A type in a wider datatype is tried as a vector, a type in its own datatype in every shape.
BUILDS = [
    (pair, shape, codec)
    for pair in every_pair()
    for shape in (SHAPES if pair.sent == pair.received else ["vector"])
    for codec in ("binary", "json")
    if codec == "binary" or pair.datatype not in {"FP16", "BF16"}  # those have no JSON form
]

once = settings(
    max_examples=1,
    deadline=None,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def models(serve: Callable[[str], str]) -> dict[str, str]:
    """The identity models, by shape."""
    return {shape: serve(f"identity_{shape}") for shape in SHAPES}


@pytest.fixture(scope="module")
def session() -> Generator[Session, None, None]:
    """One warehouse for all builds."""
    with Session() as opened:
        opened.sql("set TimeZone = 'Asia/Tokyo'")
        yield opened


def _array(element: str, shape: str) -> str:
    """Write the type of a column; all four spellings of an array take part."""
    return {
        "scalar": element,
        "vector": f"{element}[]",
        "matrix": f"ARRAY<ARRAY<{element}>>",
        "fixed": f"{element}[3][2]",
    }[shape]


@st.composite
def _rows(draw: st.DrawFn, pair: Pair, shape: str) -> list[Any]:
    """Draw the values of one build."""
    value = values(pair.sent)
    if shape == "vector":
        value = st.lists(value, max_size=4)
    elif shape == "matrix":
        value = st.integers(0, 3).flatmap(
            lambda width: st.lists(st.lists(values(pair.sent), min_size=width, max_size=width), max_size=3)
        )
    elif shape == "fixed":
        value = st.lists(st.lists(value, min_size=3, max_size=3), min_size=2, max_size=2)
    # Hypothesis begins with the simplest example, in which all rows are the same: not a case for each.
    return draw(st.lists(value, min_size=ROWS, max_size=ROWS).filter(lambda rows: len(set(map(repr, rows))) > 1))


def _sql_type(declared: str, shape: str) -> str:
    """Write the type in the warehouse."""
    element = {"FLOAT16": "FLOAT", "BFLOAT16": "FLOAT"}.get(declared, declared)
    return _array(element, shape).replace("ARRAY<ARRAY<", "").replace(">>", "[][]")


def _digits_lost(session: Session, output: str, received: str, shape: str) -> float:
    """Return by how much values differ at most, in units of the last binary digit of the value that was sent."""
    sent, answered = f"cast(value as {received})", output
    if shape != "scalar":
        sent, answered = (f"unnest({side}, recursive := true)" for side in (sent, answered))
    rows = session.sql(f"select {sent}, {answered} from received where ml_error is null")
    assert all((one is None) == (other is None) for one, other in rows)
    return max((abs(float(a) - float(b)) / math.ulp(float(a)) for a, b in rows if a is not None), default=0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("pair", "shape", "codec"),
    BUILDS,
    ids=[f"{pair.sent}-{pair.datatype}-{shape}-{codec}" for pair, shape, codec in BUILDS],
)
def test_round_trip(  # noqa: PLR0913, PLR0917 - three axes, three fixtures
    pair: Pair, shape: str, codec: str, triton: Triton, models: dict[str, str], session: Session
) -> None:
    """A value comes back as it was, or its row says why it could not be sent."""
    sent, received = _sql_type(pair.sent, shape), _sql_type(pair.received, shape)
    declared, answered = _array(pair.sent, shape), _array(pair.received, shape)
    session.create_model(
        "identity",
        f"INPUT (IN_{pair.tensor} {declared}) OUTPUT (OUT_{pair.tensor} {answered})",
        {
            "endpoint": triton.url,
            "model-name": models[shape],
            "binary-data": str(codec == "binary").lower(),
            "on-error": "null",
        },
    )

    @seed(1)
    @once
    @given(_rows(pair, shape))
    def check(rows: list[Any]) -> None:
        session.sql(f"create or replace table sent (id integer, value {sent})")
        session.connection.executemany("insert into sent values (?, ?)", list(enumerate(rows)))
        session.build(
            "received", "from ML_PREDICT(TABLE sent, MODEL identity, DESCRIPTOR(value)) order by id", ["identity"]
        )
        assert len(rows) == ROWS
        refused = {number for number, value in enumerate(rows) if codec == "json" and not has_json_form(value)}
        assert {row[0] for row in session.sql("select id from received where ml_error is not null")} == refused
        if codec == "json" and pair.datatype == "FP64":
            assert _digits_lost(session, f"OUT_{pair.tensor}", received, shape) <= JSON_DIGITS_LOST
            return
        # As text too: a comparison of numbers does not see the sign of zero.
        wrong = session.sql(
            f"select id, value, OUT_{pair.tensor} from received where ml_error is null and "
            f"(cast(value as {received}) is distinct from OUT_{pair.tensor} "
            f"or cast(cast(value as {received}) as varchar) is distinct from cast(OUT_{pair.tensor} as varchar))"
        )
        assert wrong == []
        assert session.sql(f"select distinct typeof(OUT_{pair.tensor}) from received") == session.sql(
            f"select typeof(cast(null as {received}))"
        )

    check()


def test_there_are_ten_thousand_cases() -> None:
    """The round trip has no fewer cases than it claims."""
    assert ROWS * len(BUILDS) >= 10_000
