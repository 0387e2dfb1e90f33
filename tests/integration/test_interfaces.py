"""The interfaces of models that people deploy, each built from SQL against the real server, every value checked."""

from __future__ import annotations

from collections.abc import Generator

import pytest
from support.formulas import serving_formulas
from support.interfaces import INTERFACES
from support.session import Session
from support.triton import Triton


@pytest.fixture(scope="module")
def endpoint(triton: Triton) -> Generator[str, None, None]:
    """A server of all of them."""
    models = [model for interface in INTERFACES.values() for model in (*interface.before, interface.model)]
    with serving_formulas(triton, models):
        yield triton.url


@pytest.mark.parametrize("name", INTERFACES)
def test_interface(endpoint: str, name: str) -> None:
    """The statement that one writes for it builds, and each row has its own values; a row of NULLs has NULLs."""
    interface = INTERFACES[name]
    with Session() as session:
        session.create_model(
            "m", interface.schema, {"endpoint": endpoint, "model-name": name} | dict(interface.options)
        )
        # Twice each row, so that rows share requests in any order.
        rows = f"from ({interface.rows}) union all by name select id + 10 as id, * exclude (id) from ({interface.rows})"
        session.sql(f"create table rows as {rows} union all by name select 0 as id")
        columns = [column for column, *_ in session.sql("describe rows") if column != "id"]
        call = f"ML_PREDICT(TABLE rows, MODEL m, DESCRIPTOR({', '.join(columns)}))"
        session.build("predicted", f"select * exclude ({', '.join(columns)}) from {call} order by id", ["m"])
        nothing = (0, *(interface.of_nulls or [None] * len(interface.expected[0])))
        expected = [(i + more, *row) for more in (0, 10) for i, row in enumerate(interface.expected, start=1)]
        assert session.sql("from predicted order by id") == [nothing, *expected]
