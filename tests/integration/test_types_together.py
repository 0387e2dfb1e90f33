"""All ways to bind at once, drawn at random: whatever its neighbours are, each row is sent as its own."""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Callable
from typing import Any

import pytest
from support.session import Steps
from support.triton import Triton
from support.warehouses import duckdb_only

Row = dict[str, Any]
#: The declared type of each column, which is that in the table, too.
TYPES = {"a": "FLOAT[]", "b": "BIGINT[]", "t": "VARCHAR", "k0": "FLOAT", "k1": "TINYINT", "k2": "FLOAT"}
TYPES |= {"i": "BLOB", "hh": "INTEGER", "ww": "INTEGER"}
OPTIONAL, COMBINED, BYTES = ("a", "b", "t"), ("k0", "k1", "k2"), ("i", "hh", "ww")
FLOATS = [0.0, -0.0, 1.0, -1.5]
TEXTS = ["", "a", "1:a", "-", ":", "dbt-triton null", "dbt-triton refused x1", "é"]
#: The values that fill rows up.
PAD_A, PAD_B = 7.0, 9
SEEDS = range(12)


def _row(chosen: random.Random) -> Row:
    """Draw a row of few distinct values, so that many are alike but for one thing."""
    height, width = chosen.randint(0, 3), chosen.randint(0, 3)
    row: Row = {
        "a": [chosen.choice(FLOATS) for _ in range(chosen.randint(0, 2))],
        "b": [chosen.randint(0, 1) for _ in range(chosen.randint(0, 2))],
        "t": chosen.choice(TEXTS),
        "k0": chosen.choice(FLOATS),
        "k1": chosen.randint(-1, 1),
        "k2": chosen.choice(FLOATS),
        "i": bytes(chosen.randint(0, 1) for _ in range(height * width * 2)),
        "hh": height,
        "ww": width,
    }
    return {name: None if chosen.random() < 0.1 else value for name, value in row.items()}


def _written(value: object, kind: str) -> str:
    if value is None:
        return "null"
    if isinstance(value, list):
        return f"[{', '.join(_written(one, kind.removesuffix('[]')) for one in value)}]::{kind}"
    text = "".join(f"\\x{byte:02x}" for byte in value) if isinstance(value, bytes) else str(value)
    return f"'{text}'::{kind}"


def _expected(row: Row, options: dict[str, str]) -> dict[str, list[Any]] | None:
    """Return what the server is to get, without padding; None for a row that predicts NULL."""
    nan = "null-as" in options
    numbers = [row[name] for name in COMBINED]
    if any(row[name] is None for name in BYTES) or (not nan and None in numbers):
        return None
    filled = [float("nan") if number is None else float(number) for number in numbers]
    found = {"K": [[3], struct.pack("<3f", *filled).hex()], "I": [[row["hh"], row["ww"], 2], row["i"].hex()]}
    if row["a"] is not None:
        found["A"] = [[len(row["a"])], struct.pack(f"<{len(row['a'])}f", *row["a"]).hex()]
    if row["b"] is not None:
        found["B"] = [[len(row["b"])], struct.pack(f"<{len(row['b'])}q", *row["b"]).hex()]
    if row["t"] is not None:
        found["T"] = [[1], row["t"].encode().hex()]
    return found


def _without_padding(said: dict[str, list[Any]], row: Row) -> dict[str, list[Any]]:
    """Take the padding away, which must be as it was written, and the mask, which must be as long as the row."""
    length = len(row["a"] or [])
    if "M" in said:
        (size,), mask = said.pop("M")
        assert said["A"][0] == [size]
        assert mask == struct.pack(f"<{size}q", *[1] * length, *[0] * (size - length)).hex()
    for name, width, filling in (("A", 8, struct.pack("<f", PAD_A)), ("B", 16, struct.pack("<q", PAD_B))):
        if name in said:
            (size,), data = said[name]
            own = len(row[name.lower()] or [])
            assert data[own * width :] == filling.hex() * (size - own)
            said[name] = [[own], data[: own * width]]
    return said


def _setting(chosen: random.Random) -> tuple[list[str], dict[str, str], str]:
    """Draw the columns in their order, the options, and how the input is read."""
    columns = list(TYPES)
    chosen.shuffle(columns)
    columns.sort(key=lambda name: name in COMBINED)  # a shuffle of the three would be another order of the elements
    columns = [name for name in columns if name not in COMBINED] + list(COMBINED)
    options = dict.fromkeys((f"tensor.{name}" for name in COMBINED), "K") | {"shape.i": "hh,ww,2"}
    more = [{"null-as": "nan"}, {"pad.a": str(PAD_A), "mask.M": "a"}, {"pad.b": str(PAD_B)}, {"cache": "persistent"}]
    for one in more:
        options |= one if chosen.randint(0, 1) else {}
    options["batch-size"] = chosen.choice(["1", "3", "64"])
    return columns, options, chosen.choice(["inputs", "(select * from inputs)", "(select *, id as rowid from inputs)"])


@pytest.mark.parametrize(
    "seed", [*SEEDS[:2], *duckdb_only("two of them are enough of the time that Spark takes", *SEEDS[2:])]
)
def test_each_row_is_sent_as_its_own(seed: int, session: Steps, triton: Triton, serve: Callable[[str], str]) -> None:
    """Optional, padded and masked inputs, columns of one tensor, BLOBs with lengths, and NULL in any of them."""
    chosen = random.Random(seed)  # noqa: S311 - to be drawn again
    columns, options, operand = _setting(chosen)
    rows = [_row(chosen) for _ in range(400)]
    values = (f"({n}, {', '.join(_written(row[name], TYPES[name]) for name in TYPES)})" for n, row in enumerate(rows))
    named = ", ".join(TYPES)
    session.sql(f"create table inputs as select * from (values {', '.join(values)}) as v(id, {named})")
    schema = f"INPUT ({', '.join(f'{name} {TYPES[name]}' for name in columns)}) OUTPUT (said STRING)"
    session.create_model("m", schema, {"endpoint": triton.url, "model-name": serve("teller")} | options)
    call = f"ML_PREDICT(TABLE {operand}, MODEL m, DESCRIPTOR({', '.join(columns)}))"
    for _ in range(2):
        found = session.build("out", f"select id, said from {call}", ["m"])
        assert len(found) == len(rows)
        for number, said in found:
            expected = _expected(rows[number], options)
            actual = None if said is None else _without_padding(json.loads(said), rows[number])
            assert actual == expected, (rows[number], options, operand)
