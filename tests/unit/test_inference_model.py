import json
from dataclasses import replace
from typing import Any

import pytest

from dbt_triton.client.served import ServedModel, ServedTensor
from dbt_triton.ddl import parse_create_model
from dbt_triton.errors import ConfigurationError
from dbt_triton.inference_model import Binding, InferenceModel, bind, metadata_row, model_from_row

SECRET = "s3cret-t0ken"  # noqa: S105 - a made-up one that must show up nowhere


def model(columns: str = "INPUT (a STRING) OUTPUT (b STRING)", name: str = "m", **options: str) -> InferenceModel:
    """Read a CREATE MODEL statement with options written with underscores."""
    given = {"provider": "triton", "endpoint": "http://h:8000", "model-name": "served"}
    given |= {key.replace("_", "-").replace("tensor-", "tensor."): value for key, value in options.items()}
    pairs = ", ".join(f"'{key}' = '{value}'" for key, value in given.items())
    return InferenceModel.from_definition(parse_create_model(f"CREATE MODEL {name} {columns} WITH ({pairs})"))


def tensor(name: str, datatype: str = "BYTES", shape: tuple[int, ...] = (-1, 1), **kwargs: bool) -> ServedTensor:
    """Describe a tensor as a server with batching does."""
    return ServedTensor(name, datatype, shape, **kwargs)


def served(inputs: list[ServedTensor] | None = None, outputs: list[ServedTensor] | None = None) -> ServedModel:
    """Describe a model with batches of up to 64 rows, as a server does."""
    return ServedModel(
        name="served",
        version="3",
        inputs=tuple(inputs if inputs is not None else [tensor("INPUT_TEXT")]),
        outputs=tuple(outputs if outputs is not None else [tensor("OUTPUT_TEXT")]),
        max_batch_size=64,
        decoupled=False,
        sequence_batching=False,
        dynamic_batching=True,
        server_version="2.51.0",
        binary_data=True,
    )


def names(binding: Binding) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Return which column is which tensor."""
    return (
        [(spec.column, spec.name) for spec in binding.inputs],
        [(spec.column, spec.name) for spec in binding.outputs],
    )


def problems(definition: InferenceModel, server: ServedModel) -> list[str]:
    """Return what does not fit; the error names the model, the server's model and where it is."""
    with pytest.raises(ConfigurationError) as caught:
        bind(definition, server)
    assert caught.value.subject == 'inference model "m" and model "served" version 3 at http://h:8000 do not fit'
    return caught.value.problems


TWO = "INPUT (a STRING, x FLOAT) OUTPUT (b STRING, y BIGINT)"
TWO_SERVED = served([tensor("X", "FP32"), tensor("A")], [tensor("Y", "INT64"), tensor("B")])


def test_one_column_binds_by_position() -> None:
    """A single input and a single output reach the tensors whatever these are called: the page's example works."""
    assert names(bind(model(), served())) == ([("a", "INPUT_TEXT")], [("b", "OUTPUT_TEXT")])


def test_columns_bind_by_name() -> None:
    """Several columns bind by name, whatever the case and the server's order; sent in the order of INPUT."""
    assert names(bind(model(TWO), TWO_SERVED)) == ([("a", "A"), ("x", "X")], [("b", "B"), ("y", "Y")])


def test_exact_case_wins() -> None:
    """Of two tensors that differ in case only, the one that is spelt like the column is meant."""
    both = served([tensor("A", optional=True), tensor("a")])
    assert names(bind(model(), both))[0] == [("a", "a")]


def test_columns_bind_by_option() -> None:
    """'tensor.<column>' wins over name and position, on both sides."""
    definition = model("INPUT (a STRING, x STRING) OUTPUT (b STRING)", tensor_a="X", tensor_X="A", tensor_b="B")
    swapped = served([tensor("A"), tensor("X")], [tensor("OTHER"), tensor("B")])
    assert names(bind(definition, swapped)) == ([("a", "X"), ("x", "A")], [("b", "B")])


def test_optional_inputs_may_be_left_out() -> None:
    """An input that the server calls optional need not be declared, and does not stand in the way of binding."""
    assert names(bind(model(), served([tensor("O", optional=True), tensor("TEXT")])))[0] == [("a", "TEXT")]


def test_unused_outputs_may_be_left_out() -> None:
    """An output that nobody declared is not asked for."""
    definition = model("INPUT (a STRING) OUTPUT (label STRING)")
    assert names(bind(definition, served(outputs=[tensor("SCORE", "FP32"), tensor("LABEL")])))[1] == [
        ("label", "LABEL")
    ]


def test_every_mismatch_at_once() -> None:
    """Everything that does not fit is said at once, declared and served side by side, with the nearest name."""
    definition = model("INPUT (a STRING, lenght INT) OUTPUT (b STRING, y INT)", batch_size="65")
    server = served(
        [tensor("A", "FP32"), tensor("LENGTH", "INT32"), tensor("LANGUAGE")], [tensor("B"), tensor("Y", "INT64")]
    )
    found = problems(definition, server)
    wanted = [
        "INPUT column a is declared STRING (BYTES), but the server's A is FP32[-1, 1]",
        "INPUT column lenght: the model has no tensor lenght; did you mean LENGTH?",
        "OUTPUT column y is declared INT (INT32), but the server's Y is INT64[-1, 1]",
        "batch-size is 65, but the server's model has max_batch_size 64",
        "what is served is INPUT (`A` FLOAT, `LENGTH` INTEGER, `LANGUAGE` STRING) OUTPUT (`B` STRING, `Y` BIGINT)",
    ]
    assert len(found) == len(wanted)
    assert all(any(text.startswith(start) for text in found) for start in wanted)


def test_undeclared_input() -> None:
    """An input that the server requires and INPUT lacks is said with its name and type."""
    found = problems(model(), served([tensor("A"), tensor("LANGUAGE", "INT32")]))
    assert found == ["input LANGUAGE INT32[-1, 1] of the model is not declared in INPUT"]


def test_missing_tensor() -> None:
    """A column without a tensor is told what the server has, and which option names the tensor."""
    (found,) = problems(model(), served(outputs=[tensor("LABEL"), tensor("SCORE", "FP32")]))
    assert "LABEL BYTES[-1, 1], SCORE FP32[-1, 1]" in found
    assert "'tensor.b' = 'NAME'" in found


def test_mistaken_tensor_option() -> None:
    """A 'tensor.<column>' that names no tensor is told the nearest one, in the server's spelling."""
    (found,) = problems(model(tensor_a="INPUT_TXT"), served())
    assert "the model has no tensor INPUT_TXT; did you mean INPUT_TEXT?" in found


def test_two_columns_for_one_tensor() -> None:
    """Two columns that lead to a tensor of one element are refused, with both numbers; two of OUTPUT always are."""
    definition = model("INPUT (a STRING, c STRING) OUTPUT (b STRING)", tensor_c="A")
    assert problems(definition, served([tensor("A")])) == [
        (
            "INPUT has 2 columns (a, c) for the server's A BYTES[-1, 1], which has 1 element a row; declare one column "
            "STRING"
        )
    ]
    definition = model("INPUT (a STRING) OUTPUT (b STRING, c STRING)", tensor_c="B")
    told = (
        "OUTPUT: two columns are bound to the tensor B; an output is one column: keep one, and take its elements in SQL"
    )
    assert told in problems(definition, served(outputs=[tensor("B")]))


@pytest.mark.parametrize(
    ("batching", "option", "rows"),
    [(64, "auto", 64), (64, "64", 64), (64, "1", 1), (0, "auto", 1), (0, "1", 1), (1, "auto", 1)],
)
def test_batch_size(batching: int, option: str, rows: int) -> None:
    """A request has batch-size rows; auto is all that the server takes, and one row where it does not batch."""
    server = replace(served(), max_batch_size=batching)
    if not batching:
        server = replace(
            server, inputs=(tensor("INPUT_TEXT", shape=(1,)),), outputs=(tensor("OUTPUT_TEXT", shape=(1,)),)
        )
    binding = bind(model(batch_size=option), server)
    assert (binding.batch_size, binding.batched) == (rows, batching > 0)


@pytest.mark.parametrize("wide", ["input", "output"])
@pytest.mark.parametrize(("batching", "values", "rows"), [(2**31 - 1, 1, 4096), (5000, 2**18, 64), (9, 2**30, 1)])
def test_auto_is_bounded(wide: str, batching: int, values: int, rows: int) -> None:
    """Whatever the server says, rows of auto and what they take are bounded; a number that is written stays."""
    vector, one = tensor("V", "FP32", (-1, values)), tensor("W", "FP32", (-1, 1))
    inputs, outputs = ([vector], [one]) if wide == "input" else ([one], [vector])
    server = replace(served(inputs, outputs), max_batch_size=batching)
    many = f"FLOAT[{values}]"
    schema = "INPUT (a {}) OUTPUT (b {})".format(*((many, "FLOAT") if wide == "input" else ("FLOAT", many)))
    assert bind(model(schema), server).batch_size == rows
    assert bind(model(schema, batch_size=str(batching % 2**20)), server).batch_size == batching % 2**20


def test_batch_size_without_batching() -> None:
    """A batch-size for a model that does not batch is refused before a row is sent."""
    server = replace(
        served([tensor("A", shape=(1,))], [tensor("B", shape=(1,))]),
        max_batch_size=0,
    )
    (found,) = problems(model(batch_size="2"), server)
    assert found == "batch-size is 2, but the server's model has max_batch_size 0 (no batching)"


def test_decoupled() -> None:
    """A model that sends any number of answers goes by the generate route, and cannot be made to go by the other."""
    decoupled = replace(served(), decoupled=True)
    assert bind(model(), decoupled).route == "generate"
    (found,) = problems(model(route="infer"), decoupled)
    assert "decoupled" in found


def test_sequence_models() -> None:
    """A model that keeps sequences needs a sequence-id, and then gets one row a request."""
    stateful = replace(served(), sequence_batching=True)
    (found,) = problems(model(), stateful)
    assert "needs a sequence-id" in found
    assert bind(model(sequence_id="s"), stateful).batch_size == 1


def test_binary_data() -> None:
    """binary-data is on where the server can do it; asked for where it cannot, it is refused."""
    plain = replace(served(), binary_data=False)
    assert [bind(model(binary_data=option), served()).binary for option in ("auto", "true", "false")] == [
        True,
        True,
        False,
    ]
    assert not bind(model(), plain).binary
    (found,) = problems(model(binary_data="true"), plain)
    assert "no binary tensor data extension" in found


def test_row_round_trip() -> None:
    """A model read back from its row is the model that was written, whatever its names and options."""
    definition = model(
        """INPUT ("a ""b" STRING, `好` DOUBLE PRECISION)
        OUTPUT (x VARCHAR(9), y BIGINT NOT NULL) COMMENT 'it is'""",
        name="моя",
        batch_size="auto",
        timeout="1.5s",
        binary_data="false",
        compression="gzip",
        auth_token="${TOKEN}",  # noqa: S106 - the name of a variable
        tensor_x="X_TENSOR",
        priority="7",
    )
    again = model_from_row(metadata_row(definition, served()))
    assert replace(again, raw_options={}) == replace(definition, raw_options={})


def test_row() -> None:
    """The row says what was declared and what the server said, each in a column of its own."""
    row = metadata_row(model(model_version="3", timeout="10s"), served())
    expected = {"name": "m", "provider": "triton", "endpoint": "http://h:8000", "model_name": "served"}
    expected |= {"model_version": "3", "served_version": "3", "server_version": "2.51.0"}
    assert {key: row[key] for key in expected} == expected
    assert row["max_batch_size"] == 64
    assert json.loads(row["input_schema"]) == [{"name": "a", "type": "STRING"}]
    assert json.loads(row["options"])["timeout"] == 10_000
    assert json.loads(row["served_inputs"])[0]["name"] == "INPUT_TEXT"
    assert row["checked_at"]


def test_row_without_preflight() -> None:
    """Without a check the row has what was declared, and nothing that only a server can know."""
    row = metadata_row(model(preflight="false"), None)
    unknown = ["served_version", "served_inputs", "max_batch_size", "server_version", "fingerprint", "checked_at"]
    assert [row[key] for key in unknown] == [None] * len(unknown)
    assert model_from_row(row).options.preflight is False


def test_row_without_secrets() -> None:
    """A literal secret is nowhere in the row; it comes back only from whoever has it."""
    definition = model(auth_token=SECRET, custom_headers=json.dumps({"X-Key": SECRET, "X-Env": "${KEY}"}))
    row = metadata_row(definition, served())
    assert SECRET not in str(row)
    assert "${KEY}" in row["options"]
    again = model_from_row(row, {"auth-token": SECRET, "custom-headers": {"X-Key": SECRET, "X-Env": "${KEY}"}})
    assert again.options == definition.options


def test_other_relations() -> None:
    """A relation that is no inference model is refused with the way to make it one."""
    with pytest.raises(ConfigurationError, match="materialized='inference_model'"):
        model_from_row({"name": "x", "id": 1})


BASE = model(TWO)


def fingerprint(definition: InferenceModel, **changes: Any) -> str:
    """Return the fingerprint of a model joined with a server that serves it."""
    return bind(definition, replace(TWO_SERVED, **changes)).fingerprint


@pytest.mark.parametrize(
    ("definition", "changes"),
    [
        (model(TWO, model_name="other"), {}),
        (BASE, {"version": "4"}),
        (model(TWO, model_version="4"), {"version": "4"}),
        (model("INPUT (a STRING, x FLOAT) OUTPUT (b STRING)"), {}),
        (model("INPUT (a STRING, x FLOAT) OUTPUT (y BIGINT, b STRING)"), {}),
        (model("INPUT (x FLOAT, a STRING) OUTPUT (b STRING, y BIGINT)"), {}),
        (model(TWO, sequence_id="s"), {}),
        (model(TWO, sequence_id="s", sequence_start="true"), {}),
        (model(TWO, tensor_b="Z"), {"outputs": (tensor("Z"), tensor("Y", "INT64"))}),
        (model(TWO, endpoint="https://elsewhere.example.com/v2/models"), {}),
        (model(TWO, custom_headers='{"X-Tenant": "b"}'), {}),
        (model(TWO, custom_headers='{"X-Tenant": "${TENANT}"}'), {}),
        (model(TWO, auth_token="x"), {}),  # noqa: S106 - a token of nobody
        (model(TWO, cache_version="2026-11"), {}),
        (model(TWO, cache_scope="model"), {}),
    ],
)
def test_fingerprint_changes(definition: InferenceModel, changes: dict[str, Any]) -> None:
    """Whatever can change an answer changes the fingerprint, so that no old prediction is taken for a new one."""
    assert fingerprint(definition, **changes) != fingerprint(BASE)


@pytest.mark.parametrize(
    "options",
    [
        {"batch_size": "8"},
        {"timeout": "1s", "max_retries": "0", "priority": "3"},
        {"compression": "gzip", "binary_data": "false", "max_concurrent_operations": "2"},
        {"on_error": "null", "cache": "persistent"},
        {"model_version": "3"},
    ],
)
def test_fingerprint_stays(options: dict[str, str]) -> None:
    """Sending in another way costs no prediction."""
    assert fingerprint(model(TWO, **options)) == fingerprint(BASE)


@pytest.mark.parametrize(
    "options",
    [
        {"endpoint": "https://elsewhere.example.com/v2/models"},
        {"auth_token": "x", "custom_headers": '{"X-Key": "x"}'},
    ],
)
def test_fingerprint_of_the_model_alone(options: dict[str, str]) -> None:
    """With cache-scope model, moving the server costs no prediction; cache-version still counts."""
    here = model(TWO, cache_scope="model")
    assert fingerprint(model(TWO, cache_scope="model", **options)) == fingerprint(here)
    assert fingerprint(model(TWO, cache_scope="model", cache_version="2")) != fingerprint(here)


def test_fingerprint_reads_no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rotated token in ${NAME} costs no prediction: it is part of the fingerprint as it is written."""
    found = set()
    for value, header in (("first", "x-a"), ("second", "X-A")):
        monkeypatch.setenv("TOKEN", value)
        options = {"auth_token": "${TOKEN}", "custom_headers": f'{{"{header}": "${{TOKEN}}"}}'}
        found.add(fingerprint(model(TWO, **options)))
    assert len(found) == 1


@pytest.mark.parametrize(("dims", "fits"), [((4,), True), ((1, 4), True), ((3, 4), False), ((3, 1, 4), False)])
def test_classification_ranks_one_axis(dims: tuple[int, ...], fits: bool) -> None:
    """Triton ranks all numbers of a row together, so an output of several axes is refused with what to declare."""
    definition = model("INPUT (a STRING) OUTPUT (y INT)", classification="1")
    server = served(outputs=[tensor("Y", "FP32", (-1, *dims))])
    if fits:
        assert bind(definition, server).outputs[0].classes == 1
    else:
        (problem,) = problems(definition, server)
        assert "ranks all numbers of a row as one list" in problem
        assert "FLOAT[4][3]" in problem


def test_definition_problems() -> None:
    """Types, options and tensor names that cannot be used are all said at once, with the model's name."""
    with pytest.raises(ConfigurationError, match='inference model "m"') as caught:
        model("INPUT (a GEOMETRY) OUTPUT (ml_key STRING)", tensor_q="Q", timeout="soon")
    starts = ["INPUT column a: the type GEOMETRY", "OUTPUT column ml_key has a name", "timeout: ", "tensor.q names no"]
    assert len(caught.value.problems) == len(starts)
    assert all(any(text.startswith(start) for text in caught.value.problems) for start in starts)
