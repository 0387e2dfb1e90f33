from __future__ import annotations

import pytest

from dbt_triton.tensors import parse_sql_type


@pytest.mark.parametrize(
    ("written", "in_tables", "is_wide"),
    [
        ("FLOAT", "FLOAT", False),
        ("STRING", "VARCHAR", False),
        ("STRING[]", "VARCHAR[]", False),
        ("INT[]", "INTEGER[]", False),
        ("FLOAT[255]", "FLOAT[255]", False),
        ("FLOAT[256]", "FLOAT[256]", True),
        ("FLOAT[16384]", "FLOAT[16384]", True),
        ("FLOAT[16385]", "FLOAT[]", True),
        ("FLOAT[8400][84]", "FLOAT[][]", True),
        ("FLOAT[3][640][640]", "FLOAT[][][]", True),
        ("FLOAT[640][640][]", "FLOAT[][][]", True),
        ("FLOAT[2][]", "FLOAT[2][]", True),
        ("UTINYINT[65537]", "UTINYINT[]", True),
        ("STRING[5000]", "VARCHAR[]", False),
        ("BLOB", "BLOB", True),
    ],
)
def test_type_in_tables(written: str, in_tables: str, is_wide: bool) -> None:
    """Large fixed arrays are lists in tables; small arrays, numbers and texts are not wide."""
    parsed = parse_sql_type(written)
    assert not isinstance(parsed, str)
    assert parsed.in_tables.name == in_tables
    assert parsed.is_wide == is_wide
