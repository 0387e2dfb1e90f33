"""Macros of the package without dbt: Jinja, and of dbt's context what they use."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jinja2

MACROS = Path(__file__).parents[2] / "macros"
#: What dbt v2 has of Python's module `re`; the macros use nothing else of it.
_RE_OF_DBT_V2 = ("compile", "match", "search", "fullmatch", "findall", "split", "sub", "escape", "DOTALL")


class MacroError(Exception):
    """What `exceptions.raise_compiler_error` raises."""


class _Return(Exception):  # noqa: N818 - a way to leave a macro, as in dbt
    def __init__(self, value: Any) -> None:
        super().__init__()
        self.value = value


class Macros:
    """The macros of some files, as attributes: each returns what dbt would give to its caller.

    Args:
        files: below ``macros/``.
        warehouse: the adapter's type, for what is dispatched.
        context: what else the macros find, such as ``model``.
    """

    def __init__(self, *files: str, warehouse: str = "duckdb", **context: Any) -> None:
        environment = jinja2.Environment(extensions=["jinja2.ext.do"], autoescape=False)  # noqa: S701 - SQL
        self._macros: dict[str, Callable[..., Any]] = {}
        #: What the macros have warned of.
        self.warnings: list[str] = []
        names: dict[str, Any] = {
            "dbt_triton": self,
            "adapter": SimpleNamespace(
                type=lambda: warehouse, dispatch=lambda name, _: getattr(self, f"{warehouse}__{name}")
            ),
            "modules": SimpleNamespace(re=SimpleNamespace(**{name: getattr(re, name) for name in _RE_OF_DBT_V2})),
            "exceptions": SimpleNamespace(raise_compiler_error=self._raise, warn=self.warnings.append),
            "return": self._return,
            "execute": True,
        }
        for file in files:
            template = environment.from_string((MACROS / file).read_text(encoding="utf-8"), globals=names | context)
            module = template.module
            self._macros |= {name: value for name, value in vars(module).items() if callable(value)}

    def __getattr__(self, name: str) -> Callable[..., Any]:
        macro = self._macros[name]

        def call(*arguments: Any, **named: Any) -> Any:
            try:
                return macro(*arguments, **named)
            except _Return as returned:
                return returned.value

        return call

    @staticmethod
    def _return(value: Any) -> None:
        raise _Return(value)

    @staticmethod
    def _raise(message: str) -> None:
        raise MacroError(message)
