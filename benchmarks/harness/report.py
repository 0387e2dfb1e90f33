"""Markdown, and what machine and which versions the figures come from."""

from __future__ import annotations

import datetime as dt
import os
import platform
import re
from collections.abc import Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_PACKAGES = (
    "dbt-triton",
    "dbt-core",
    "dbt-duckdb",
    "duckdb",
    "pyarrow",
    "numpy",
    "orjson",
    "httpx",
    "httpx-aiohttp",
    "aiohttp",
    "pyreqwest",
    "tritonclient",
    "pyspark",
    "pandas",
    "nvidia-pytriton",
    "torch",
    "transformers",
)


def markdown_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a table whose figures stand on the right."""
    lines = [list(headings), ["---:" if position else "---" for position in range(len(headings))], *map(list, rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def number(value: float | None, digits: int = 0) -> str:
    """Write a figure, or n/a."""
    return "n/a" if value is None else f"{value:,.{digits}f}"


def origin() -> str:
    """Say when, where and with which versions the figures were measured."""
    today = dt.datetime.now(tz=dt.UTC).date().isoformat()
    machine = (
        f"{os.cpu_count()} cores of {_cpu_model()}, {_memory_gigabytes():.0f} GB of memory, "
        f"{platform.system()} {platform.machine()}; client and server share the cores"
    )
    versions = [f"Python {platform.python_version()}", *_versions()]
    return f"- Date: {today}\n- Machine: {machine}\n- Versions: {', '.join(versions)}"


def _versions() -> list[str]:
    found = []
    for name in _PACKAGES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return found


def _cpu_model() -> str:
    path = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*:\s*(.+)", path.read_text()) if path.exists() else None
    return found[1].strip() if found else platform.processor() or "an unnamed processor"


def _memory_gigabytes() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
