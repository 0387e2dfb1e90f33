"""The reference in the documentation, compared with the code: options and defaults, variables, the table of types."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dbt_triton.options import KEYS, PREFIXES, parse_options
from dbt_triton.tensors import SqlType, datatype_of_tensor, fits, parse_sql_type

ROOT = Path(__file__).parents[2]
OPTIONS = (ROOT / "docs" / "options.md").read_text(encoding="utf-8")
TYPES = (ROOT / "docs" / "types.md").read_text(encoding="utf-8")
PAGES = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "docs").glob("*.md"))
#: A row of a table whose first cell is one option, or several; its second cell is the default.
_ROW = re.compile(r"^\| (`[^|]+`) \| ([^|]+) \|", re.MULTILINE)
_OPTION = re.compile(r"`([a-z][a-z-]*(?:\.<(?:column|tensor)>)?)`")
_REQUIRED = {"provider": "triton", "endpoint": "http://localhost:8000", "model-name": "m"}
#: What a value of the code may be where the page says "none".
_NOTHING: tuple[object, ...] = (None, {}, (), [])
DATATYPES = [
    *("BOOL", "INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64"),
    *("FP16", "BF16", "FP32", "FP64", "BYTES"),
]


def _documented() -> list[tuple[str, str]]:
    """Return each option of the page, and its default as it is written there."""
    return [(option, default) for row, default in _ROW.findall(OPTIONS) for option in _OPTION.findall(row)]


def test_every_option_is_documented_once() -> None:
    """The page of options has every option once, those with a name of a column or a tensor too, and no other."""
    by_name = [prefix + name for prefix in PREFIXES.values() for name in ("<column>", "<tensor>")]
    documented = [option for option, _ in _documented()]
    assert sorted(option for option in documented if "." not in option) == sorted(KEYS)
    named = [option for option in documented if "." in option]
    assert len(named) == len(PREFIXES)
    assert {option.partition("<")[0] for option in named} == set(PREFIXES.values())
    assert set(named) <= set(by_name)


@pytest.mark.parametrize(("option", "default"), [pair for pair in _documented() if pair[0] in KEYS])
def test_default_of_the_page_is_that_of_the_code(option: str, default: str) -> None:
    """Writing the default that the page names changes nothing, and "none" is nothing."""
    if default == "required":
        assert option in _REQUIRED
        return
    field = option.replace("-", "_")
    without = getattr(parse_options(_REQUIRED, "m"), field)
    written = re.fullmatch(r"`([^`]+)`", default)
    if written is None or (written[1] in KEYS and without is None):  # such as `timeout` for connection-timeout
        assert without in _NOTHING, f"write the default of {option} in backticks"
        return
    assert getattr(parse_options(_REQUIRED | {option: written[1]}, "m"), field) == without


def test_every_variable_is_documented() -> None:
    """Each project variable that a macro reads, and each environment variable of the package, is on a page."""
    macros = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "macros").rglob("*.sql"))
    package = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "dbt_triton").rglob("*.py"))
    of_projects = set(re.findall(r"\bvar\('(dbt_triton_\w+)'", macros))
    of_environment = set(re.findall(r"\bDBT_TRITON_[A-Z_]+\b", package))
    assert {"dbt_triton_endpoint", "dbt_triton_runs"} <= of_projects
    assert "DBT_TRITON_LOG" in of_environment
    # Set by `dbt-triton tune`; whoever sets it by hand is told to leave it out.
    of_projects.remove("dbt_triton_tune")
    assert sorted(name for name in of_projects | of_environment if not re.search(rf"`{name}\b", PAGES)) == []


def test_every_variable_of_the_example_is_documented() -> None:
    """Each environment variable that the example project reads is in its own README."""
    folder = ROOT / "example_project"
    places = [folder.glob("*.*"), *((folder / name).rglob("*.*") for name in ("macros", "models", "orchestration"))]
    files = [path for place in places for path in place if path.suffix in {".py", ".sql", ".yml"}]
    read = {name for path in files for name in re.findall(r"\bDBT_TRITON_DEMO_[A-Z]+\b", path.read_text("utf-8"))}
    assert "DBT_TRITON_DEMO_DB" in read
    readme = (folder / "README.md").read_text(encoding="utf-8")
    assert sorted(name for name in read if f"`{name}`" not in readme) == []


def _types() -> list[tuple[str, str, str]]:
    """Return the rows of the table of types that name datatypes only: type, INPUT, OUTPUT."""
    lines = TYPES.partition("| SQL type | INPUT goes into |")[2].partition("\n\n")[0].splitlines()[2:]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    rows = [row for row in rows if not row[0].startswith("`DECIMAL")]
    return [(re.findall("`([^`]+)`", row[0])[0], row[1], row[1] if row[2] == "the same" else row[2]) for row in rows]


def _datatypes(cell: str) -> list[str]:
    """Return the datatypes of a cell, such as "INT8 to INT64, FP32"; "every other datatype" is all of them."""
    if "every" in cell:
        return DATATYPES
    found: list[str] = []
    for part in re.split("[,;] ?", cell):
        first, _, last = part.partition(" to ")
        found += DATATYPES[DATATYPES.index(first) : DATATYPES.index(last or first) + 1]
    return sorted(found, key=DATATYPES.index)


@pytest.mark.parametrize(("name", "given", "taken"), _types())
def test_table_of_types_is_that_of_the_code(name: str, given: str, taken: str) -> None:
    """Each type of the table goes into the datatypes that it names, and comes from them, and from no others."""
    kind = parse_sql_type(name)
    assert isinstance(kind, SqlType)
    found = [
        [each for each in DATATYPES if (one := datatype_of_tensor(each)) and fits(kind, one, output=output)]
        for output in (False, True)
    ]
    assert found == [_datatypes(given), _datatypes(taken)]


#: A path of the repository within backticks, alone or in a command; `*` stands for whatever is there.
_PATH = re.compile(r"`[^`\n]*?\b((?:benchmarks|dbt_triton|example_project|orchestration|tests)/[\w./*-]*[\w*])[^`\n]*`")


def test_files_that_the_documentation_names_are_there() -> None:
    """Each file or folder of the repository that a page names exists, so that a reader finds it."""
    named = {path for page in (ROOT / "docs").glob("*.md") for path in _PATH.findall(page.read_text(encoding="utf-8"))}
    assert {"benchmarks/results.md", "tests/faults/proxy.py"} <= named
    missing = [
        path for path in named if not any(ROOT.glob(re.sub("^orchestration", "example_project/orchestration", path)))
    ]
    assert sorted(missing) == []
