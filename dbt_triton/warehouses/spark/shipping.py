"""What executors need to run the engine: this package, which is sent to them, and what it imports, which must be there.

The package is Python only and travels as a zip of its source. Nothing else is in it: secrets reach executors by the
names of environment variables.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import sys
import tempfile
import threading
import weakref
import zipfile
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dbt_triton import __version__
from dbt_triton.foreign_text import NAME_LENGTH, shown
from dbt_triton.warehouses import WarehouseError
from dbt_triton.warehouses.spark.jobs import is_connect

if TYPE_CHECKING:
    from dbt_triton.warehouses.spark.session import SparkWarehouse

#: What the engine imports beside this package, with the lower bounds of pyproject.toml. Most of it is compiled, so it
#: cannot travel in a zip.
NEEDED = {
    "httptools": "0.6.4",
    "httpx": "0.28",
    "numpy": "1.26",
    "orjson": "3.10",
    "pyarrow": "19",
    "pydantic": "2.7",
    "sqlglot": "28.7",
    "stamina": "25.1",
}
PYTHON = (3, 11)
_PACKAGE = "dbt_triton"
#: A task of the check takes so long, lest one executor takes all of them while the others wait.
_TASK_SECONDS = 0.2
_SHIPPED: weakref.WeakSet[Any] = weakref.WeakSet()
_CHECKED: weakref.WeakSet[Any] = weakref.WeakSet()
_LOCK = threading.Lock()


def prepare_executors(warehouse: SparkWarehouse, tasks: int = 8) -> None:
    """Send this package to the executors, and check that they have what it imports; once for a session.

    Args:
        warehouse: the session.
        tasks: of the check; each looks at the executor that it runs on.

    Raises:
        WarehouseError: what is missing where, and what to do.
    """
    with _LOCK:
        if warehouse.spark in _CHECKED:
            return
        if not _is_this_python(warehouse.spark):
            warehouse.asked(lambda: ship(warehouse.spark))
            check_executors(warehouse, tasks)
        _CHECKED.add(warehouse.spark)


def ship(spark: Any) -> None:
    """Send this package to the executors of a session, once; those of a local classic one share the environment."""
    if spark in _SHIPPED or (not is_connect(spark) and _is_local(spark)):
        return
    path = str(package_zip())
    if is_connect(spark) or int(str(spark.version).partition(".")[0]) >= 4:  # noqa: PLR2004
        spark.addArtifacts(path, pyfile=True)
    else:
        spark.sparkContext.addPyFile(path)
    _SHIPPED.add(spark)


def check_executors(warehouse: SparkWarehouse, tasks: int) -> None:
    """Look at the Python of the executors.

    Args:
        warehouse: the session.
        tasks: how many look.

    Raises:
        WarehouseError: what is missing where, and what to do.
    """
    from pyspark.sql.functions import udf

    # A function of pickle's, since one of Arrow's would need pyarrow there.
    look = udf(_looks(sorted(NEEDED)), "string", useArrow=False)
    frame = warehouse.spark.range(0, tasks, 1, tasks).select(look("id").alias("found"))
    problems: dict[str, list[str]] = {}
    for (found,) in warehouse.asked(frame.collect):
        seen = json.loads(found)
        missing = problems_of(seen)
        if missing:
            python = f"Python {seen['python']}, {shown(seen['executable'], NAME_LENGTH)}"
            problems[f"on {shown(seen['host'], NAME_LENGTH)} ({python})"] = missing
    if problems:
        raise WarehouseError(_advice(problems))


def problems_of(seen: Mapping[str, Any]) -> list[str]:
    """Return what an executor lacks: one clause each, such as ``pyarrow is missing``.

    Args:
        seen: its ``python`` and, by name, the ``versions`` of what can be imported there.
    """
    problems = []
    if _numbers(seen["python"]) < PYTHON:
        problems.append(f"Python {'.'.join(map(str, PYTHON))} or newer is needed")
    for name, lowest in NEEDED.items():
        version = seen["versions"].get(name)
        if version is None:
            why = seen["errors"].get(name)
            problems.append(f"{name} is missing" if why is None else f"{name} cannot be imported: {shown(why, 200)}")
        elif _numbers(version) < _numbers(lowest):
            problems.append(f"{name} {shown(version, NAME_LENGTH)} is older than {lowest}")
    version = seen["versions"].get(_PACKAGE)
    if version != __version__:
        what = "is missing" if version is None else f"is version {shown(version, NAME_LENGTH)}, not {__version__}"
        problems.append(f"dbt-triton {what}")
    return problems


def _advice(problems: Mapping[str, Sequence[str]]) -> str:
    said = "; ".join(f"{where}: {', '.join(what)}" for where, what in problems.items())
    lacking = [
        name for name in NEEDED if any(clause.startswith(f"{name} ") for what in problems.values() for clause in what)
    ]
    install = " ".join(f"'{name}>={NEEDED[name]}'" for name in lacking)
    advice = f" Install it there (pip install {install})," if install else " Install it there,"
    return (
        f"Spark's executors cannot run the engine. {said}.{advice} or let spark.pyspark.python or PYSPARK_PYTHON name "
        "another Python; docs/spark.md says how an environment is sent along"
    )


def _looks(names: Sequence[str]) -> Any:
    """Return the function that a task runs; it is sent by value, since the package may not be there."""
    package, seconds = _PACKAGE, _TASK_SECONDS

    def look(_: int) -> str:
        import importlib
        import importlib.metadata
        import json
        import platform
        import socket
        import sys
        import time

        time.sleep(seconds)
        versions, errors = {}, {}
        for name in [*names, package]:
            try:
                module = importlib.import_module(name)
                versions[name] = module.__version__ if name == package else importlib.metadata.version(name)
            except ModuleNotFoundError as error:
                if error.name != name:
                    errors[name] = str(error)
            except Exception as error:  # noqa: BLE001 - a broken installation raises anything
                errors[name] = f"{type(error).__name__}: {error}"
        seen = {"host": socket.gethostname(), "executable": sys.executable, "python": platform.python_version()}
        return json.dumps({**seen, "versions": versions, "errors": errors})

    return look


@lru_cache(maxsize=1)
def package_zip() -> Path:
    """Make the zip of this package's source, for as long as this process lives. Its name tells version and content."""
    folder = Path(sys.modules[_PACKAGE].__path__[0])
    files = sorted(file for file in folder.rglob("*.py") if "dbt_package" not in file.relative_to(folder).parts)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in files:
            # Without the time of a file, the same source makes the same zip.
            name = zipfile.ZipInfo(str(Path(_PACKAGE) / file.relative_to(folder)))
            name.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(name, file.read_bytes())
    content = hashlib.sha256(buffer.getvalue()).hexdigest()[:12]
    path = Path(_folder().name) / f"{_PACKAGE}-{__version__}-{content}.zip"
    path.write_bytes(buffer.getvalue())
    return path


@lru_cache(maxsize=1)
def _folder() -> tempfile.TemporaryDirectory[str]:
    """Return a folder that nobody else may write to, and that goes away with this process."""
    return tempfile.TemporaryDirectory(prefix="dbt_triton_")


def _is_local(spark: Any) -> bool:
    return re.fullmatch(r"local(\[.*\])?", str(spark.sparkContext.master)) is not None


def _is_this_python(spark: Any) -> bool:
    """Tell whether the Python workers are of the environment of this process."""
    return not is_connect(spark) and _is_local(spark) and spark.sparkContext.pythonExec == sys.executable


def _numbers(version: str) -> tuple[int, ...]:
    """Return the numbers that a version begins with; what is behind them, such as rc1, is not looked at."""
    return tuple(int(number) for number in re.findall(r"\d+", re.split(r"[^\d.]", version, maxsplit=1)[0]))
