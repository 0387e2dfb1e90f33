"""YAML's types in places that want another one: one sentence that says what to write, and never a traceback."""

from __future__ import annotations

import asyncio
import json
import time
from types import SimpleNamespace
from typing import Any

import pytest
from support.session import Session, StepError
from unit.kserve import Kept, UpperModel, batches_of, run_engine

from dbt_triton.client import TritonClient
from dbt_triton.credentials import mask_options, request_headers
from dbt_triton.ddl.create_model import definition_from_yaml
from dbt_triton.errors import ConfigurationError, SqlSyntaxError
from dbt_triton.inference_model import InferenceModel
from dbt_triton.options import KEYS, MAX_CONCURRENT, parse_options
from dbt_triton.step import build_inference_model, plan, predict
from dbt_triton.step.python_model import ml_predict

REQUIRED: dict[str, Any] = {"provider": "triton", "endpoint": "http://h", "model-name": "m"}
SIDES = {"input": {"a": "STRING"}, "output": {"o": "STRING"}}
WRONG: list[Any] = [
    *(None, True, False, 0, 5, -1, 10**30, 1.5, float("nan"), float("inf"), "", " ", "\0", "a\0b", "\ud800"),
    *([], ["a"], [None], [5], [["a"]], [{"a": 1}], {}, {"a": 1}, {"": ""}, {"a": None}, {5: "x"}, {"a\0": "b"}),
    *("${", "${HOME", "~nosuchuser/x", "a, b", "a=b", "٣"),
]
ODD: list[Any] = [b"x", {"a"}, object(), (1, 2)]
PLACES = [*KEYS, "tensor.a", "stub.o", "tensor.", "stub.", "unknown", "", "retry-count", "client_timeout"]


def _is_use_of(work: Any) -> bool:
    """Tell whether something works; what is refused is refused in words."""
    said = None
    try:
        work()
    except (ConfigurationError, SqlSyntaxError) as error:
        said = str(error)
    assert said != ""
    return said is None


@pytest.mark.parametrize("provider", ["triton", "stub"])
@pytest.mark.parametrize("key", PLACES)
def test_every_option_of_every_type(key: str, provider: str) -> None:
    """An option of any type is one that can be used, shown and sent, or a ConfigurationError."""
    for value in [*WRONG, *ODD]:
        raw = REQUIRED | {"provider": provider, key: value}

        def parse(raw: dict[str, Any] = raw) -> None:
            options = parse_options(raw, "m")
            json.dumps(mask_options(options)).encode()
            request_headers(options, "m")
            TritonClient(options, {})

        _is_use_of(parse)
        _is_use_of(
            lambda value=value: InferenceModel.from_definition(
                definition_from_yaml("m", SIDES | REQUIRED | {key: value})
            )
        )


@pytest.mark.parametrize(
    "key", ["auth-token", "model-name", "endpoint", "tensor.a", "cache-version", "tls-ca", "order-by"]
)
def test_texts(key: str) -> None:
    """Where a text is wanted, true and a map are none, and nothing is made of them."""
    for value in (True, {"a": 1}, [{"a": 1}], [None]):
        with pytest.raises(ConfigurationError, match=key):
            parse_options(REQUIRED | {key: value}, "m")


def test_headers_that_differ_in_case() -> None:
    """One header in two spellings would be sent twice."""
    for headers in ({"X-A": "1", "x-a": "2"}, '{"X-A": "1", "x-a": "2"}', "X-A:1,x-a:2"):
        with pytest.raises(ConfigurationError, match="x-a is given twice"):
            parse_options(REQUIRED | {"custom-headers": headers}, "m")


@pytest.mark.parametrize("value", [MAX_CONCURRENT + 1, "300000", "999999999"])
def test_requests_in_flight_are_bounded(value: object) -> None:
    """A number of requests in flight that no server bears is refused, with the highest one."""
    with pytest.raises(
        ConfigurationError, match="max-concurrent-operations: write a number less than or equal to 10000"
    ):
        parse_options(REQUIRED | {"max-concurrent-operations": value}, "m")


def test_workers_start_as_requests_come() -> None:
    """Three requests of 10,000 that may be in flight cost what three do."""
    model, sink = UpperModel(), Kept()
    started = time.perf_counter()
    options = {"max-concurrent-operations": str(MAX_CONCURRENT)}
    asyncio.run(run_engine(model, batches_of(["a", "b", "c"]), sink, batch_size=1, options=options))
    assert len(model.requests) == 3
    assert time.perf_counter() - started < 2


@pytest.mark.parametrize("where", [None, "comment", "name", "input", "output", "input type", "column", "preflight"])
def test_definitions_of_every_type(where: str | None) -> None:
    """meta.inference_model, or a part of it, of any type is built, or refused in one sentence."""
    for value in WRONG:
        meta: Any = SIDES | {"provider": "stub", "stub.o": "x"}
        if where is None:
            meta = value
        elif where == "input type":
            meta["input"] = {"a": value}
        elif where == "column":
            meta["input"] = {value if isinstance(value, str) else str(value): "STRING"}
        else:
            meta[where] = value
        sql = "CREATE MODEL m INPUT (a STRING) OUTPUT (o STRING) WITH ('provider' = 'stub', 'stub.o' = 'x')"
        args = {"name": "m", "alias": "m", "sql": sql, "meta": meta}
        with Session() as session:
            _works(session, build_inference_model, args)


def _works(session: Session, step: Any, args: dict[str, Any]) -> bool:
    said = ""
    try:
        session._step(step, args)
    except StepError as error:
        said = str(error)
    assert "bug" not in said, args
    return not said


@pytest.mark.parametrize("key", [None, *KEYS, "tensor.a", "stub.o", ""])
def test_options_of_a_predicting_model_of_every_type(key: str | None) -> None:
    """meta.ml_predict, or an option of it, of any type is used, or refused in one sentence."""
    with Session() as session:
        session.create_model("m", "INPUT (a STRING) OUTPUT (o STRING)", {"provider": "stub", "stub.o": "x"})
        session.sql("create table t as select 'b' as a")
        for value in WRONG if key is None else [v for v in WRONG if not _is_nan(v)]:
            args: dict[str, Any] = {
                "name": "p",
                "alias": "p",
                "sql": "select * from ML_PREDICT(TABLE t, MODEL m, DESCRIPTOR(a))",
                "store": {"database": None, "schema": "main", "identifier": "p__ml_predictions"},
                "models": [],
                "meta": value if key is None else {key: value},
            }
            if _works(session, plan, args):
                _works(session, predict, args | {"meta": (args["meta"] or {}) | {"provider": "stub"}})


def _is_nan(value: object) -> bool:
    return isinstance(value, float) and value != value  # noqa: PLR0124 - NaN is no JSON


@pytest.mark.parametrize("value", ["on-error=null", ["a"], 5, "", [], True])
def test_meta_that_is_no_map(value: object) -> None:
    """Both doors say that options are a map, and how one is written."""
    with Session() as session:
        session.create_model("m", "INPUT (a STRING) OUTPUT (o STRING)", {"provider": "stub", "stub.o": "x"})
        args = {"name": "p", "sql": "from ML_PREDICT(TABLE m, MODEL m, DESCRIPTOR(name))", "meta": value, "models": []}
        with pytest.raises(StepError, match=r"meta.ml_predict:\n.* must be a map of options, such as"):
            session._step(plan, args)
        dbt = SimpleNamespace(this=SimpleNamespace(database=None, schema="main", identifier="p"))
        with pytest.raises(ConfigurationError, match="write options and their values, such as"):
            ml_predict(dbt, session.connection, "from t", "m", "a", config=value)  # type: ignore[arg-type]


@pytest.mark.parametrize("option", ["tls-ca", "tls-cert"])
@pytest.mark.parametrize("path", ["~nosuchuser/x", "/nowhere/x", "/", "a" * 5_000])
def test_paths_that_lead_nowhere(option: str, path: str) -> None:
    """A path of a TLS file that cannot be read is refused, with the option and what is wrong."""
    options = {"endpoint": "https://h", option: path} | ({"tls-key": path} if option == "tls-cert" else {})
    with pytest.raises(ConfigurationError, match=f"{option}: "):
        TritonClient(parse_options(REQUIRED | options, "m"), {})
