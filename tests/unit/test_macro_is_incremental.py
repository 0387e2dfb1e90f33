"""dbt's own is_incremental() in a predicting model, which is always false there."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from support.jinja_macros import Macros


def _warnings(raw_code: str, called: tuple[str, ...] = (), **config: Any) -> list[str]:
    class Node(dict[str, Any]):
        name = "predicted"
        depends_on = SimpleNamespace(macros=list(called))

    model = Node(raw_code=raw_code)
    macros = Macros(
        "is_incremental.sql", "internal/strategy.sql", model=model, config={"materialized": "ml_predict"} | config
    )
    macros.warn_of_is_incremental()
    return macros.warnings


@pytest.mark.parametrize(
    "raw_code",
    [
        "{% if is_incremental() %} where true {% endif %}",
        "{%- if not is_incremental ( ) -%} where true {% endif %}",
        "{% if execute and dbt.is_incremental() %} where true {% endif %}",
        "{{ 'where true' if is_incremental() }}",
        "-- {% if is_incremental() %}\n",
        "{# a comment #}{% set new = is_incremental() %}",
    ],
)
def test_call_is_warned_of(raw_code: str) -> None:
    """However dbt's is_incremental() is called, the warning has the name of ours."""
    (said,) = _warnings(raw_code, unique_key="id")
    assert said.startswith("predicted: dbt's is_incremental() is always false with materialized='ml_predict'")
    assert said.endswith("write dbt_triton.is_incremental()")


@pytest.mark.parametrize(
    "raw_code",
    [
        "{% if dbt_triton.is_incremental() %} where true {% endif %}",
        "-- is_incremental() is of no use here\nselect 'is_incremental()'",
        "{# {% if is_incremental() %} #}",
        "{{ log('is_incremental() is false') }}",
        "{% if my_is_incremental() %}{% endif %}",
        "{% if is_incremental %}{% endif %}",
    ],
)
def test_nothing_else_is_warned_of(raw_code: str) -> None:
    """Ours, and what only mentions dbt's, is no reason for a warning."""
    assert _warnings(raw_code) == []


def test_call_that_dbt_has_noted() -> None:
    """A call that stands nowhere in the text is known from dbt; what is not incremental is told how to be it."""
    (said,) = _warnings("select 1", ("macro.dbt.is_incremental",))
    assert said.endswith(
        "write dbt_triton.is_incremental(), and give the model an incremental_strategy or a unique_key"
    )
