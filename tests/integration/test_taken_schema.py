"""CREATE MODEL without INPUT and OUTPUT, against a real server: every model of the tests and of the example."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Generator
from typing import Any

import httpx
import pytest
from support.dbt import REPOSITORY
from support.proxy import RecordingProxy
from support.session import StepError, Steps
from support.triton import MODELS, Triton
from support.type_values import SQL_OF

from dbt_triton.tensors import parse_sql_type

pytestmark = pytest.mark.duckdb_only(
    "the schema of a server is taken without a warehouse; test_interfaces takes one on Spark"
)

EXAMPLES = REPOSITORY / "example_project" / "model_repository"
#: Answers zeros, or texts, in the shape that the configuration promises; the examples' own models are to be trained.
STAND_IN = """
import json

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def initialize(self, args):
        self.config = json.loads(args["model_config"])

    def execute(self, requests):
        return [pb_utils.InferenceResponse(list(self.answers(request))) for request in requests]

    def answers(self, request):
        rows = [request.inputs()[0].as_numpy().shape[0]]
        for output in self.config["output"]:
            dtype = pb_utils.triton_string_to_numpy(output["data_type"])
            shape = rows + [abs(int(size)) for size in output["dims"]]
            value = np.zeros(shape, dtype) if dtype != np.object_ else np.full(shape, "text", np.object_)
            yield pb_utils.Tensor(output["name"], value)
"""
TEXT = ("`INPUT_TEXT` STRING", "`OUTPUT_TEXT` STRING")
#: What the models of support/model_repository are, as INPUT and OUTPUT.
EXPECTED = {
    "arithmetic": ("`PRICE` DOUBLE, `QUANTITY` BIGINT", "`TOTAL` DOUBLE, `IS_LARGE` BOOLEAN"),
    "classes": (
        "`SCORES` FLOAT[4]",
        "`PROBABILITIES` FLOAT[4], `COUNTS` INTEGER[4], `TEXT` STRING[4], `ANY_LENGTH` FLOAT[]",
    ),
    "detections": ("`images` FLOAT[2][2][]", "`output` FLOAT[3][]"),
    "running_total": ("`AMOUNT` BIGINT", "`TOTAL` BIGINT"),
    **dict.fromkeys(("slow", "upper", "upper_plain", "upper_single", "versioned"), TEXT),
    **dict.fromkeys(("wrong_datatype", "wrong_output", "wrong_rows"), TEXT),
}
#: Those whose inputs are each of a datatype: the levels of every one.
MATRICES = {
    "datatypes": "",
    "identity_scalar": "",
    "identity_vector": "[]",
    "identity_matrix": "[][]",
    "identity_fixed": "[3][2]",
    "identity_unbatched": "[3][]",
}
OF_EXAMPLES = {
    "digit-image": ("`IMAGE` STRING", "`DIGIT` UTINYINT, `PIXELS` UTINYINT[8][8]"),
    "movie-review-sentiment": TEXT,
    "text-classification": TEXT,
    "review-embedding": ("`INPUT_TEXT` STRING", "`EMBEDDING` FLOAT[128], `KNOWN_TERMS` INTEGER, `TOP_TERMS` STRING[3]"),
    "running-mean": ("`VALUE` DOUBLE", "`MEAN` DOUBLE, `COUNT` BIGINT"),
    "wine-cultivar": (
        "`ALCOHOL` FLOAT, `MALIC_ACID` FLOAT, `FLAVANOIDS` FLOAT, `COLOR_INTENSITY` FLOAT, `PROLINE` INTEGER",
        "`PROBABILITIES` FLOAT[3]",
    ),
}
SEQUENCE = {"sequence-by": "id", "order-by": "id"}
#: Models that answer what they promise.
HONEST = sorted({*EXPECTED, *MATRICES} - {"wrong_datatype", "wrong_output", "wrong_rows", "slow"})
OTHERS = sorted({folder.name for folder in MODELS.iterdir() if folder.name != "decoupled"} - set(HONEST))


def _expected(kind: str) -> tuple[str, str]:
    """Return the columns of INPUT and OUTPUT as a definition writes them."""
    if kind not in MATRICES:
        return EXPECTED[kind]
    named = {name: sql + MATRICES[kind] for name, sql in (SQL_OF | {"STRING": "STRING"}).items()}
    outputs = {name: re.sub("B?FLOAT16", "FLOAT", sql) for name, sql in named.items()}
    # In the order of the configurations.
    order = re.findall(r'name: "IN_(\w+)"', (MODELS / kind / "config.pbtxt").read_text(encoding="utf-8"))
    inputs = ", ".join(f"`IN_{name}` {named[name]}" for name in order)
    return inputs, ", ".join(f"`OUT_{name}` {outputs[name]}" for name in order)


@pytest.fixture(scope="module")
def examples(triton: Triton) -> Generator[Callable[[str], str], None, None]:
    """Serve the configurations of the example project, with a model that needs no training."""
    served: set[str] = set()

    def serve(kind: str) -> str:
        name = f"example_{kind}"
        if name not in served:
            served.add(name)
            folder = triton.repository / name
            (folder / "1").mkdir(parents=True)
            for file in EXAMPLES.joinpath(kind).glob("*.txt"):
                shutil.copy(file, folder)
            config = (EXAMPLES / kind / "config.pbtxt").read_text(encoding="utf-8")
            _load(triton, name, config.replace(f'name: "{kind}"', ""))
        return name

    yield serve
    for name in served:
        _post(triton, name, "unload")


def _post(triton: Triton, name: str, action: str) -> None:
    url = f"{triton.url}/v2/repository/models/{name}/{action}"
    httpx.post(url, timeout=60, trust_env=False).raise_for_status()


def _load(triton: Triton, name: str, config: str) -> None:
    """Serve the stand-in under a configuration."""
    folder = triton.repository / name
    (folder / "1").mkdir(parents=True, exist_ok=True)
    (folder / "config.pbtxt").write_text(config, encoding="utf-8")
    (folder / "1" / "model.py").write_text(STAND_IN, encoding="utf-8")
    _post(triton, name, "load")


def _row(session: Steps, name: str) -> dict[str, Any]:
    (values,) = session.sql(f"from {name}")
    columns = [str(column[0]) for column in session.sql(f"describe {name}")]
    return dict(zip(columns, values, strict=True))


def _declared(row: dict[str, Any], *, optional: bool = True) -> str:
    """Write the schema that a metadata row holds as a statement declares it."""
    sides = []
    for side, column in (("INPUT", "input_schema"), ("OUTPUT", "output_schema")):
        items = [item for item in json.loads(row[column]) if optional or not item.get("optional")]
        columns = ", ".join(f"`{item['name']}` {item['type']}" for item in items)
        sides.append(f"{side} ({columns})")
    return " ".join(sides)


def _value(sql_type: str, number: int) -> str:
    """Write a value of a type as SQL."""
    parsed = parse_sql_type(sql_type)
    assert not isinstance(parsed, str)
    element = {"BOOLEAN": str(number % 2 == 0), "VARCHAR": f"'text {number}'"}.get(parsed.kind, str(number))
    value = element
    for size in reversed(parsed.dims):
        value = f"[{', '.join([value] * (size or 2))}]"
    return f"cast({value} as {parsed.name})"


def _both_ways(
    session: Steps, proxy: RecordingProxy, model: str, expected: tuple[str, str], options: dict[str, str]
) -> None:
    """Build and predict with the schema of the server and with the same one declared, and compare all there is."""
    given = {"endpoint": proxy.url, "model-name": model} | options
    session.create_model("taken", "", given)
    row = _row(session, "taken")
    schema = f"INPUT ({expected[0]}) OUTPUT ({expected[1]})"
    assert _declared(row) == schema
    session.create_model("declared", schema, given)
    inputs = json.loads(row["input_schema"])
    if not any(item.get("optional") for item in inputs):
        assert row["fingerprint"] == _row(session, "declared")["fingerprint"]
    columns = ", ".join(f'{_value(item["type"], 3)} as "{item["name"].lower()}"' for item in inputs)
    session.sql(f"create or replace table given as select i as id, {columns} from range(3) t(i)")
    found = []
    for name in ("taken", "declared"):
        proxy.clear()
        names = ", ".join(item["name"] for item in inputs)
        call = f"select * from ML_PREDICT(TABLE given, MODEL {name}, DESCRIPTOR({names})) order by id"
        rows = session.build("predicted", call, [name])
        bodies = [exchange.request.plain_body for exchange in proxy.inferences]
        found.append((rows, session.sql("describe predicted"), session.figures["requests"], bodies))
        session.sql("drop table predicted")
    if "sequence-by" in options:  # whose ids begin at a random place
        found = [(*one[:3], []) for one in found]
    assert found[0] == found[1]
    assert found[0][2] > 0


@pytest.mark.parametrize("kind", HONEST)
def test_predictions_of_a_taken_schema(
    session: Steps, proxy: RecordingProxy, serve: Callable[[str], str], kind: str
) -> None:
    """A schema from the server is what one would declare: the same requests, byte by byte, and the same table."""
    _both_ways(session, proxy, serve(kind), _expected(kind), SEQUENCE if kind == "running_total" else {})


@pytest.mark.parametrize("kind", sorted(OF_EXAMPLES))
def test_examples(session: Steps, proxy: RecordingProxy, examples: Callable[[str], str], kind: str) -> None:
    """The models of the example project need no INPUT and OUTPUT."""
    _both_ways(session, proxy, examples(kind), OF_EXAMPLES[kind], SEQUENCE if kind == "running-mean" else {})


@pytest.mark.parametrize("kind", OTHERS)
def test_every_model_says_its_schema(session: Steps, triton: Triton, serve: Callable[[str], str], kind: str) -> None:
    """What is taken of a model is what its server promises, and can be declared in its place."""
    in_sequence = "sequence_batching" in (MODELS / kind / "config.pbtxt").read_text(encoding="utf-8")
    options = {"endpoint": triton.url, "model-name": serve(kind)} | (SEQUENCE if in_sequence else {})
    session.create_model("taken", "", options)
    row = _row(session, "taken")
    if kind in EXPECTED:
        assert _declared(row) == f"INPUT ({EXPECTED[kind][0]}) OUTPUT ({EXPECTED[kind][1]})"
    declared = _declared(row, optional=False)
    if declared.startswith("INPUT ()"):
        return  # no input must be there, so that a call says which are
    session.create_model("declared", declared, options)
    assert row["fingerprint"] == _row(session, "declared")["fingerprint"]


def test_bytes_of_an_image(session: Steps, proxy: RecordingProxy, examples: Callable[[str], str]) -> None:
    """A BLOB goes to an input of BYTES as it is, whatever bytes it holds."""
    session.create_model("digits", "", {"endpoint": proxy.url, "model-name": examples("digit-image")})
    table = "(select '\\xFF\\x00'::blob as file)"
    call = f"select digit from ML_PREDICT(TABLE {table}, MODEL digits, DESCRIPTOR(file))"
    assert session.build("read", call, ["digits"]) == [(0,)]
    assert proxy.inferences[0].request.plain_body.endswith(b"\x02\x00\x00\x00\xff\x00")


def test_optional_inputs_are_chosen_by_name(session: Steps, triton: Triton, serve: Callable[[str], str]) -> None:
    """Of optional inputs those go that DESCRIPTOR names, each with its own value in whatever order."""
    model = serve("identity_scalar")
    schema = "OUTPUT (out_int32 INT, out_string STRING)"
    session.create_model("m", schema, {"endpoint": triton.url, "model-name": model})
    call = "select * from ML_PREDICT(TABLE (select 'x' as In_String, 7 as in_int32), MODEL m, DESCRIPTOR({}))"
    for columns in ("in_string, in_int32", "in_int32, in_string"):
        assert session.build("p", call.format(columns), ["m"]) == [("x", 7, 7, "x")]
    with pytest.raises(StepError, match=r"DESCRIPTOR\(id\) does not say which column is which input"):
        session.build("p", "select * from ML_PREDICT(TABLE (select 1 as id), MODEL m, DESCRIPTOR(id))", ["m"])


def test_another_schema_is_served_later(session: Steps, triton: Triton, serve: Callable[[str], str]) -> None:
    """Where the server serves something else than was taken, the run says so, and what to do."""
    options = {"endpoint": triton.url, "model-name": serve("upper")}
    session.create_model("m", "", options)
    arithmetic = serve("arithmetic")
    session.sql(f"update m set options = replace(options, '{options['model-name']}', '{arithmetic}')")
    call = "select * from ML_PREDICT(TABLE (select 'x' as text), MODEL m, DESCRIPTOR(text))"
    with pytest.raises(StepError) as caught:
        session.build("p", call, ["m"])
    said = str(caught.value)
    assert "INPUT column INPUT_TEXT: the model has no tensor INPUT_TEXT" in said
    assert "the server said INPUT and OUTPUT when m was built; if it serves something else now, " in said
    assert "build the inference model again" in said


@pytest.mark.parametrize("changes", [{"provider": "stub"}, {"preflight": "false"}])
@pytest.mark.parametrize("schema", ["", "INPUT (a STRING)", "OUTPUT (b STRING)"])
def test_nobody_to_ask(session: Steps, changes: dict[str, str], schema: str) -> None:
    """Without a server to ask, one sentence says what is to be declared."""
    options = {"endpoint": "http://127.0.0.1:9", "model-name": "m"} | changes
    missing = " and ".join(side for side in ("INPUT", "OUTPUT") if side not in schema)
    with pytest.raises(StepError, match=f"{missing} can be left out only where a server says the schema"):
        session.create_model("m", schema, options)


def test_declared_columns_that_are_nowhere(session: Steps, triton: Triton, serve: Callable[[str], str]) -> None:
    """Where no column of a side is served, the error holds the statement's columns as they are served."""
    options = {"endpoint": triton.url, "model-name": serve("arithmetic")}
    with pytest.raises(StepError) as caught:
        session.create_model("m", "INPUT (a DOUBLE, b BIGINT) OUTPUT (c DOUBLE)", options)
    found = re.search(r"what is served is (INPUT .*\) OUTPUT .*\))", str(caught.value))
    assert found is not None, str(caught.value)
    assert found[1] == f"INPUT ({EXPECTED['arithmetic'][0]}) OUTPUT ({EXPECTED['arithmetic'][1]})"
    session.create_model("m", found[1], options)


AWKWARD = ["dense_1/BiasAdd:0", "a b", "select", "Üñï 好", "it's", "x.y", "`tick`", "out'put", "100%", "a,b"]


def test_awkward_names(session: Steps, proxy: RecordingProxy, triton: Triton) -> None:
    """Whatever tensors are called, their columns are called so, and can be declared so."""
    tensors = {
        side: ", ".join(f'{{ name: "{name}", data_type: TYPE_FP32, dims: [ 1 ] }}' for name in AWKWARD)
        for side in ("input", "output")
    }
    config = f'backend: "python"\nmax_batch_size: 4\ninput [ {tensors["input"]} ]\noutput [ {tensors["output"]} ]'
    _load(triton, "awkward", config)
    try:
        options = {"endpoint": proxy.url, "model-name": "awkward"}
        session.create_model("m", "", options)
        columns = ", ".join(f"`{name.replace('`', '``')}` FLOAT" for name in AWKWARD)
        session.create_model("d", f"INPUT ({columns}) OUTPUT ({columns})", options)
        assert _row(session, "m")["fingerprint"] == _row(session, "d")["fingerprint"]
        names = [f'"{name}"' for name in AWKWARD]
        table = f"(select {', '.join(f'1 as {name}' for name in names)})"
        call = f"ML_PREDICT(TABLE {table}, MODEL m, DESCRIPTOR({', '.join(reversed(names))}))"
        assert session.build("p", f"select * from {call}", ["m"]) == [(1,) * len(AWKWARD) + (0.0,) * len(AWKWARD)]
        assert [row[0] for row in session.sql("describe p")][len(AWKWARD) :] == [f"{name}0" for name in AWKWARD]
    finally:
        _post(triton, "awkward", "unload")


def test_what_cannot_be_served(session: Steps, triton: Triton, serve: Callable[[str], str]) -> None:
    """A model that HTTP cannot carry is refused for that, whoever says the schema."""
    with pytest.raises(StepError, match="the model is decoupled"):
        session.create_model("m", "", {"endpoint": triton.url, "model-name": serve("decoupled"), "route": "infer"})
    with pytest.raises(StepError, match="needs a sequence-id"):
        session.create_model("m", "", {"endpoint": triton.url, "model-name": serve("running_total")})
