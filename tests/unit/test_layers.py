"""The layers of the package, read from its imports and its texts."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from dbt_triton.inference_model.model import RESERVED_OUTPUTS
from dbt_triton.warehouses import columns

PACKAGE = Path(__file__).parents[2] / "dbt_triton"
#: No module imports one that is further to the right.
LAYERS = [
    "run_log",
    "options",
    "instrumentation",
    "ddl",
    "tensors",
    "client",
    "inference_model",
    "engine",
    "warehouses",
    "step",
    "tune",
    "adhoc",
    "init",
    "report",
]
#: Which layer a module at the top is in; the folders are layers by their names.
AT_THE_TOP = {
    **dict.fromkeys(
        [
            "__init__",
            "credentials",
            "endpoint_value",
            "errors",
            "flink_options",
            "foreign_text",
            "generation_options",
            "generation_values",
            "header_values",
            "known_names",
            "option_contradictions",
            "option_maps",
            "option_names",
            "option_values",
            "options",
            "standard_streams",
        ],
        "options",
    ),
    **dict.fromkeys(["commands", "model_repository", "project", "project_run", "server"], "step"),
    **dict.fromkeys(["arrow_numbers", "population_stability"], "run_log"),
    "cli": "report",
    "dbt_plugin": "adhoc",
}
#: What no plain English has. A text with one of them is SQL.
SQL = re.compile(
    r"^\s*(select|with|insert|update|delete|drop|alter|describe|comment on)\s"
    r"|\bselect\b.*\bfrom\b|\bcast\(|\btry_cast\(|\bas varchar\b|\bis (not )?null\b|::"
    r"|\b(create|drop|alter) (or replace )?(temp )?(table|view)\b|\bset variable\b|\binsert into\b|\border by\b",
    re.IGNORECASE,
)
#: Values in messages are shown as SQL writes them: `'a\x00'::BLOB`.
SHOWS_VALUES = "shown_values.py"


def modules() -> list[Path]:
    """Return the modules of the package."""
    return sorted(path for path in PACKAGE.rglob("*.py") if "dbt_package" not in path.parts)


def layer(parts: tuple[str, ...]) -> int:
    """Return the layer of a module, by its path within the package."""
    return LAYERS.index(parts[0] if parts[0] in LAYERS and parts[0] != "options" else AT_THE_TOP[parts[0]])


def imported(path: Path, *, when_run: bool = False) -> Iterator[tuple[str, ...]]:
    """Yield the modules of the package that one imports, each by its path within the package.

    Args:
        path: of the module.
        when_run: only those that are imported as soon as it is, rather than within a function or for types alone.
    """
    tree = ast.parse(path.read_text())
    nodes: list[ast.AST] = list(tree.body) if when_run else list(ast.walk(tree))
    for node in nodes:
        names: list[str] = []
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        yield from (tuple(name.split(".")[1:]) for name in names if name.startswith("dbt_triton."))


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_data_flows_one_way(path: Path) -> None:
    """What runs in an executor of Spark, or in a plain script, needs nothing of dbt or of a warehouse."""
    own = path.relative_to(PACKAGE).with_suffix("").parts
    later = {
        ".".join(parts)
        for parts in imported(path, when_run=own == ("__init__",))
        if parts[0] != "__version__" and (parts[0] in LAYERS or parts[0] in AT_THE_TOP) and layer(parts) > layer(own)
    }
    assert own[0] in {*LAYERS, *AT_THE_TOP}
    assert not later


@pytest.mark.parametrize("warehouse", ["duckdb", "spark"])
def test_warehouses_know_none_of_one_another(warehouse: str) -> None:
    """Who adds a warehouse writes one folder; no other one is needed for it, or changed by it."""
    for path in (PACKAGE / "warehouses" / warehouse).rglob("*.py"):
        others = {parts for parts in imported(path) if parts[:1] == ("warehouses",) and len(parts) > 1}
        folders = {folder.name for folder in (PACKAGE / "warehouses").iterdir() if folder.is_dir()} - {warehouse}
        assert not {parts for parts in others if parts[1] in folders}, path


@pytest.mark.parametrize(("engine", "folder"), [("duckdb", "duckdb"), ("pyspark", "spark")])
def test_each_engine_is_known_in_its_folder(engine: str, folder: str) -> None:
    """DuckDB's own interface is used in its folder only; so is Spark's, and there within functions: it is an extra."""
    for path in modules():
        tree = ast.parse(path.read_text())
        within = path.is_relative_to(PACKAGE / "warehouses" / folder)
        for node in tree.body if within and engine == "pyspark" else [] if within else ast.walk(tree):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not [name for name in names if name.split(".")[0] == engine], path


def test_what_is_shared_knows_no_warehouse() -> None:
    """What all warehouses share imports none of them as it is loaded: `open_warehouse` chooses when it is asked."""
    for path in (PACKAGE / "warehouses").glob("*.py"):
        assert not {parts for parts in imported(path, when_run=True) if parts[:2] in OF_ONE}, path


OF_ONE = {("warehouses", "duckdb"), ("warehouses", "spark")}


@pytest.mark.parametrize("path", sorted((PACKAGE / "step").glob("*.py")), ids=lambda path: path.name)
def test_step_writes_no_sql(path: Path) -> None:
    """A step is the same for any warehouse: whatever is SQL comes from the warehouse, also within a message."""
    tree = ast.parse(path.read_text())
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    texts = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings
    ]
    assert path.name == SHOWS_VALUES or not [text for text in texts if SQL.search(text)]


@pytest.mark.parametrize(
    ("text", "is_sql"),
    [
        ("select ", True),
        ("create temp table x as ", True),
        (" from (select * from t) as x", True),
        ("x::bigint", True),
        (" is not null", True),
        ("set variable x = 1", True),
        ("the model is not built in {}: run `dbt build`", False),
        ("pass dbt.ref(…), a data frame, an Arrow table, or a SELECT as a text", False),
        ("with the options of this call", True),
        ("CREATE MODEL names it m", False),
        ("order-by", False),
    ],
)
def test_what_is_sql(text: str, *, is_sql: bool) -> None:
    """The rule finds pieces of SQL, and lets plain words pass unless they begin as a statement does."""
    assert bool(SQL.search(text)) == is_sql


def test_no_output_is_called_like_a_column_of_the_store() -> None:
    """An OUTPUT column that the store needs for itself is refused, whichever warehouse it is."""
    own = {value for name, value in vars(columns).items() if name.isupper()}
    assert own <= RESERVED_OUTPUTS
