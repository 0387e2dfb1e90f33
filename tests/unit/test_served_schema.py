import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.type_values import DATATYPES, SQL_OF

from dbt_triton.client.served import ServedModel, ServedTensor
from dbt_triton.ddl import parse_create_model
from dbt_triton.errors import ConfigurationError
from dbt_triton.inference_model import (
    InferenceModel,
    bind,
    description,
    metadata_row,
    model_from_row,
    require_schema,
    with_served_schema,
)
from dbt_triton.inference_model.model import RESERVED_OUTPUTS
from dbt_triton.inference_model.served_columns import GivenColumn, ServedColumn, clause
from dbt_triton.inference_model.served_schema import for_descriptor

OPTIONS = {"provider": "triton", "endpoint": "http://h:8000", "model-name": "served"}


def model(columns: str = "", **options: str) -> InferenceModel:
    """Read a CREATE MODEL statement with options written with underscores."""
    given = OPTIONS | {key.replace("_", "-").replace("tensor-", "tensor."): value for key, value in options.items()}
    pairs = ", ".join(f"'{key}' = '{value}'" for key, value in given.items())
    return InferenceModel.from_definition(parse_create_model(f"CREATE MODEL m {columns} WITH ({pairs})"))


def tensor(name: str, datatype: str = "BYTES", dims: tuple[int, ...] = (1,), **kwargs: bool) -> ServedTensor:
    """Describe a tensor by the shape of a row; the batch stands before it."""
    return ServedTensor(name, datatype, (-1, *dims), **kwargs)


def served(inputs: list[ServedTensor], outputs: list[ServedTensor] | None = None, **changes: Any) -> ServedModel:
    """Describe a model with batches of up to 64 rows, as a server does."""
    said = ServedModel(
        name="served",
        version="3",
        inputs=tuple(inputs),
        outputs=tuple(outputs if outputs is not None else [tensor("Y", "FP32")]),
        max_batch_size=64,
        decoupled=False,
        sequence_batching=False,
        dynamic_batching=True,
        server_version="2.51.0",
        binary_data=True,
    )
    return replace(said, **changes)


def schema(definition: InferenceModel) -> str:
    """Write the columns of a model, as a statement declares them."""
    sides = {"INPUT": definition.inputs, "OUTPUT": definition.outputs}
    return " ".join(
        f"{side} ({', '.join(f'`{column.name}` {column.sql_type}' for column in columns)})"
        for side, columns in sides.items()
    )


def problems(definition: InferenceModel, server: ServedModel) -> list[str]:
    """Return why the schema cannot be taken from a server."""
    with pytest.raises(ConfigurationError) as caught:
        with_served_schema(definition, server)
    return caught.value.problems


LEVELS = {
    (): "",
    (1,): "",
    (1, 1): "",
    (3,): "[3]",
    (-1,): "[]",
    (1, 384): "[384]",
    (2, 3): "[3][2]",
    (-1, 3): "[3][]",
    (3, -1): "[][3]",
    (-1, -1): "[][]",
    (4, 1, 2): "[2][4]",
    (640, 640, 3): "[3][640][640]",
    (100_000,): "[100000]",
    (100_001,): "[]",
    (0,): "[]",
}


@pytest.mark.parametrize("dims", LEVELS)
@pytest.mark.parametrize("datatype", DATATYPES)
def test_types(datatype: str, dims: tuple[int, ...]) -> None:
    """Every datatype in every shape has its own SQL type, which is bound as one that is declared."""
    server = served([tensor("X", datatype, dims)], [tensor("Y", datatype, dims)])
    taken = with_served_schema(model(), server)
    out = "FLOAT" if datatype in {"FP16", "BF16"} else SQL_OF[datatype]
    assert schema(taken) == f"INPUT (`X` {SQL_OF[datatype]}{LEVELS[dims]}) OUTPUT (`Y` {out}{LEVELS[dims]})"
    assert bind(taken, server) == bind(model(schema(taken)), server)
    unbatched = replace(
        server,
        max_batch_size=0,
        inputs=(ServedTensor("X", datatype, dims),),
        outputs=(ServedTensor("Y", datatype, dims),),
    )
    assert schema(with_served_schema(model(), unbatched)) == schema(taken)


def test_batch_dim() -> None:
    """Where the model's own first axis is the batch, it is no level of an array."""
    server = served([tensor("X", "FP32", (3,))], [tensor("Y", "FP32", (1,))], max_batch_size=0)
    assert schema(with_served_schema(model(batch_dim="true"), server)) == "INPUT (`X` FLOAT[3]) OUTPUT (`Y` FLOAT)"
    assert schema(with_served_schema(model(), server)) == "INPUT (`X` FLOAT[3][]) OUTPUT (`Y` FLOAT[])"
    taken = with_served_schema(model(), server)
    with pytest.raises(ConfigurationError, match="batch-dim decides the schema, and the server said INPUT and OUTPUT"):
        taken.with_options({"batch-dim": "true"}, "a call")


@pytest.mark.parametrize("sides", ["", "INPUT (x FLOAT[3])", "OUTPUT (y FLOAT)", "INPUT (x FLOAT[3]) OUTPUT (y FLOAT)"])
def test_one_side(sides: str) -> None:
    """What is declared stays as it is declared; the other side is taken from the server."""
    server = served([tensor("X", "FP32", (3,))])
    taken = with_served_schema(model(sides), server)
    declared_input = "INPUT (`x` FLOAT[3])" if "INPUT" in sides else "INPUT (`X` FLOAT[3])"
    declared_output = "OUTPUT (`y` FLOAT)" if "OUTPUT" in sides else "OUTPUT (`Y` FLOAT)"
    assert schema(taken) == f"{declared_input} {declared_output}"
    assert taken.from_server == [side for side in ("INPUT", "OUTPUT") if side not in sides]
    if taken.from_server:
        with pytest.raises(ConfigurationError, match=f"{' and '.join(taken.from_server)} can be left out only where"):
            require_schema(model(sides))
    else:
        require_schema(model(sides))


MANY = served(
    [
        tensor("TITLE"),
        tensor("LEVEL", "INT64", (1,), optional=True),
        tensor("BODY", dims=(-1,)),
        tensor("WEIGHTS", "FP32", (2,), optional=True),
    ],
    [tensor("SCORE", "FP32"), tensor("TAGS", dims=(-1,))],
)


def test_same_as_declared() -> None:
    """A schema from the server is the declared one in all that follows: its binding, its fingerprint, its row."""
    taken = with_served_schema(model(), MANY)
    declared = model("INPUT (TITLE STRING, BODY STRING[]) OUTPUT (score FLOAT, TAGS STRING[])")
    assert bind(taken, MANY).fingerprint == bind(declared, MANY).fingerprint
    rows = metadata_row(taken, MANY), metadata_row(declared, MANY)
    assert {name for name in rows[0] if rows[0][name] != rows[1][name]} <= {
        "input_schema",
        "output_schema",
        "checked_at",
    }
    said = description(taken, MANY)
    assert "INPUT (TITLE STRING, BODY STRING[]) OUTPUT (SCORE FLOAT, TAGS STRING[])" in said
    assert "Optional inputs: LEVEL BIGINT, WEIGHTS FLOAT[2]\nTaken from the server: INPUT, OUTPUT" in said


def test_row_keeps_the_schema() -> None:
    """The metadata row holds what was taken, and a model that is read from it knows that, and the optional inputs."""
    taken = with_served_schema(model(**{"tensor.label": "TAGS", "tensor.level": "LEVEL"}), MANY)
    row = metadata_row(taken, MANY)
    assert json.loads(row["input_schema"])[:2] == [
        {"name": "TITLE", "type": "STRING", "datatype": "BYTES", "dims": [1]},
        {"name": "level", "type": "BIGINT", "datatype": "INT64", "dims": [1], "optional": True},
    ]
    assert json.loads(row["output_schema"])[1] == {
        "name": "label",
        "type": "STRING[]",
        "datatype": "BYTES",
        "dims": [-1],
    }
    again = model_from_row(row)
    assert (again.inputs, again.outputs) == (taken.inputs, taken.outputs)
    assert (again.served_inputs, again.served_outputs) == (taken.served_inputs, taken.served_outputs)
    assert again.from_server == ["INPUT", "OUTPUT"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        # By name, whatever the case and the order.
        ([("title", "VARCHAR", 0), ("body", "VARCHAR", 1)], "`TITLE` STRING, `BODY` STRING[]"),
        ([("Body", "VARCHAR", 1), ("title", "VARCHAR", 0)], "`BODY` STRING[], `TITLE` STRING"),
        (
            [("title", "VARCHAR", 0), ("body", "VARCHAR", 1), ("weights", "FLOAT", 1)],
            "`TITLE` STRING, `BODY` STRING[], `WEIGHTS` FLOAT[2]",
        ),
        # By position: the required ones.
        ([("a", "VARCHAR", 0), ("b", "VARCHAR", 1)], "`TITLE` STRING, `BODY` STRING[]"),
        ([("title", "VARCHAR", 0), ("b", "VARCHAR", 1)], "`TITLE` STRING, `BODY` STRING[]"),
        (
            [("level", "INTEGER", 0), ("a", "VARCHAR", 0), ("b", "VARCHAR", 1)],
            "`LEVEL` BIGINT, `TITLE` STRING, `BODY` STRING[]",
        ),
        (
            [("level", "INTEGER", 0), ("weights", "VARCHAR", 0), ("body", "VARCHAR", 1), ("title", "VARCHAR", 0)],
            "`LEVEL` BIGINT, `WEIGHTS` FLOAT[2], `BODY` STRING[], `TITLE` STRING",
        ),
        # The columns' types: bytes stay bytes, and one value goes into an axis of any length.
        ([("title", "BLOB", 0), ("body", "VARCHAR", 0)], "`TITLE` BLOB, `BODY` STRING"),
        ([("title", "ENUM", 0), ("body", "BLOB", 1)], "`TITLE` STRING, `BODY` BLOB[]"),
        ([("title", "JSON", 0), ("body", "JSON", 0)], "`TITLE` STRING, `BODY` STRING[]"),
        ([("title", "NULL", 0), ("body", "NULL", 0)], "`TITLE` STRING, `BODY` STRING[]"),
        ([("title", "TIMESTAMP", 0), ("body", "INTEGER", 0)], "`TITLE` STRING, `BODY` STRING"),
    ],
)
def test_descriptor_chooses_the_input(given: list[tuple[str, str, int]], expected: str) -> None:
    """The columns of DESCRIPTOR say which inputs are sent, and in which type."""
    found = for_descriptor(with_served_schema(model(), MANY), [GivenColumn(*one) for one in given])
    assert isinstance(found, InferenceModel), found
    declared = f"INPUT ({expected}) OUTPUT (SCORE FLOAT, TAGS STRING[])"
    assert schema(found).startswith(f"INPUT ({expected})")
    assert bind(found, MANY).fingerprint == bind(model(declared), MANY).fingerprint


@pytest.mark.parametrize(
    "given",
    [
        [("a", "VARCHAR", 0)],
        [("a", "VARCHAR", 0), ("b", "VARCHAR", 0), ("c", "VARCHAR", 0)],
        [("a", "VARCHAR", 0), ("b", "INTEGER", 0), ("c", "VARCHAR", 1), ("d", "DOUBLE", 1)],  # optional ones need names
        [("body", "VARCHAR", 1), ("other", "VARCHAR", 0)],  # in the place of another input
        [("title", "VARCHAR", 0), ("level", "INTEGER", 0)],
        [("title", "VARCHAR", 0), ("title", "VARCHAR", 0)],
    ],
)
def test_descriptor_that_does_not_say_it(given: list[tuple[str, str, int]]) -> None:
    """Columns that could be meant otherwise are refused, with the inputs and the INPUT to declare."""
    found = for_descriptor(with_served_schema(model(), MANY), [GivenColumn(*one) for one in given])
    assert isinstance(found, str)
    assert found.startswith(f"DESCRIPTOR({', '.join(name for name, _, _ in given)}) does not say which column")
    assert "TITLE STRING, BODY STRING[] (optional: LEVEL BIGINT, WEIGHTS FLOAT[2])" in found
    optional = ", `LEVEL` BIGINT, `WEIGHTS` FLOAT[2]" if len(given) > len(["TITLE", "BODY"]) else ""
    assert found.endswith(f"or declare INPUT (`TITLE` STRING, `BODY` STRING[]{optional})")


@pytest.mark.parametrize(
    ("dims", "datatype", "source", "expected"),
    [
        ((-1,), "FP32", ("DOUBLE", 0), "FLOAT"),
        ((-1,), "FP32", ("DOUBLE", 1), "FLOAT[]"),
        ((-1,), "FP32", ("VARCHAR", 0), "FLOAT[]"),  # an array that is written as a text
        ((1,), "FP32", ("VARCHAR", 0), "FLOAT"),
        ((-1, 3), "FP32", ("FLOAT", 1), "FLOAT[3]"),
        ((-1, 3), "FP32", ("FLOAT", 2), "FLOAT[3][]"),
        ((1, 384), "FP32", ("FLOAT", 1), "FLOAT[384]"),
        ((1, 384), "FP32", ("FLOAT", 2), "FLOAT[384][1]"),
        ((3,), "FP32", ("FLOAT", 0), "FLOAT[3]"),  # whose column has no such value
        ((8, 8, 3), "UINT8", ("BLOB", 0), "BLOB"),
        ((8, 8, 3), "UINT8", ("UTINYINT", 3), "UTINYINT[3][8][8]"),
        ((1,), "FP16", ("DOUBLE", 0), "FLOAT16"),
    ],
)
def test_types_of_the_source(dims: tuple[int, ...], datatype: str, source: tuple[str, int], expected: str) -> None:
    """An input is declared with as many array levels as the column has, where the shape allows it."""
    server = served([tensor("X", datatype, dims)])
    found = for_descriptor(with_served_schema(model(), server), [GivenColumn("anything", *source)])
    assert isinstance(found, InferenceModel)
    assert found.inputs[0].sql_type == expected
    assert bind(found, server).inputs[0].name == "X"


@pytest.mark.parametrize("dims", [(3,), (1, 3), (3, 1), (-1,), (-1, 3), (-1, -1)])
@pytest.mark.parametrize("names", ["abc", "xbc", "aba"])
def test_elements_of_the_only_input(dims: tuple[int, ...], names: str) -> None:
    """As many values as the only required input has elements are its elements, each of the type of one."""
    server = served([tensor("X", "FP32", dims), tensor("O", "FP32", optional=True)])
    taken = with_served_schema(model(), server)
    given = [GivenColumn(name, "DOUBLE") for name in names]
    found = for_descriptor(taken, given)
    assert isinstance(found, InferenceModel)
    expected = [(name, "FLOAT") for name in (names if names != "aba" else ["a", "b", "a0"])]
    assert [(column.name, column.sql_type) for column in found.inputs] == expected
    found = for_descriptor(taken, [*given[:1], GivenColumn("o", "DOUBLE"), *given[1:]])
    assert isinstance(found, InferenceModel)
    assert [(column.name, column.sql_type) for column in found.inputs] == [*expected[:1], ("O", "FLOAT"), *expected[1:]]
    wrong = [[GivenColumn(name, kind, levels) for name in names] for kind, levels in (("DOUBLE", 1), ("BLOB", 0))]
    for columns in wrong + ([given[:2]] if 3 in dims else []):
        assert isinstance(for_descriptor(taken, columns), str)


def test_the_only_input_needs_no_name() -> None:
    """A model with one input is given one column, whatever its name, also where the server calls the input optional."""
    server = served([tensor("X", "FP32", (3,), optional=True)])
    taken = with_served_schema(model(), server)
    assert schema(taken).startswith("INPUT (`X` FLOAT[3])")
    for columns, expected in (
        ([GivenColumn("mine", "FLOAT", 1)], "`X` FLOAT[3]"),
        ([GivenColumn(name, "FLOAT") for name in "abc"], "`a` FLOAT, `b` FLOAT, `c` FLOAT"),
    ):
        found = for_descriptor(taken, columns)
        assert isinstance(found, InferenceModel), found
        declared = model(f"INPUT ({expected}) OUTPUT (Y FLOAT)")
        assert bind(found, server).fingerprint == bind(declared, server).fingerprint
    several = with_served_schema(model(), served([*server.inputs, tensor("O", optional=True)]))
    assert isinstance(for_descriptor(several, [GivenColumn("mine", "FLOAT", 1)]), str)


def test_columns_are_called_as_the_options_say() -> None:
    """tensor.<column> gives a column its name; several of them are the elements of an input."""
    server = served([tensor("X", "FP32", (3,)), tensor("a b")], [tensor("X"), tensor("out:0", "FP32")])
    options = {"tensor.i": "X", "tensor.j": "X", "tensor.k": "X", "tensor.text": "a b"}
    taken = with_served_schema(model("OUTPUT (X STRING)", **options), server)
    assert schema(taken) == "INPUT (`i` FLOAT, `j` FLOAT, `k` FLOAT, `text` STRING) OUTPUT (`X` STRING)"
    taken = with_served_schema(
        model("INPUT (v FLOAT[3], text STRING)", **{"tensor.v": "X"}),
        served([tensor("X", "FP32", (3,)), tensor("text")], [tensor("X"), tensor("out:0", "FP32")]),
    )
    assert schema(taken) == "INPUT (`v` FLOAT[3], `text` STRING) OUTPUT (`X` STRING, `out:0` FLOAT)"
    assert problems(model(**{"tensor.v": "nothing"}), server)[0].startswith("tensor.v: the model has no tensor nothing")


def test_two_columns_of_one_output() -> None:
    """An output is one column: two of them are told so, and no schema is offered that would be refused."""
    server = served([tensor("X", "FP32")], [tensor("Y", "FP32", (2,)), tensor("Z")])
    options = {"tensor.a": "Y", "tensor.b": "Y"}
    told = "tensor.a, tensor.b are for one output, Y, which is one column; keep one, and take its elements in SQL"
    assert problems(model(**options), server)[0] == told
    with pytest.raises(ConfigurationError) as caught:
        bind(model("INPUT (x FLOAT) OUTPUT (a FLOAT, b FLOAT)", **options), server)
    assert not any("what is served is" in problem for problem in caught.value.problems)
    with pytest.raises(ConfigurationError, match="an output is one column: keep one, and take its elements in SQL"):
        bind(model("INPUT (x FLOAT) OUTPUT (a FLOAT[2], b FLOAT[2])", **options), server)


@pytest.mark.parametrize(
    ("inputs", "outputs", "words"),
    [
        (["a"], ["Y", "y"], ["the outputs Y and y would be columns of one name", "or declare OUTPUT (`Y` STRING)"]),
        (["a", "A"], ["Y"], ["the inputs a and A would be columns of one name", "'tensor.<column>' = 'A'"]),
        (["a\x1b[31m"], ["Y"], ["the name of the input a\\x1b[31m cannot be that of a column"]),
        (["a"], ["y" * 300], ["the name of the output yyyy"]),
        (["a"], [], ["the model has no output"]),
        ([], ["Y"], ["the model has no input"]),
        *(
            (["a"], [name], [f"the output {name} has a name that the prediction store needs"])
            for name in sorted(RESERVED_OUTPUTS)
        ),
    ],
)
def test_names_that_are_no_columns(inputs: list[str], outputs: list[str], words: list[str]) -> None:
    """A tensor whose name cannot be a column's is refused with what to write; nothing is renamed in secret."""
    said = problems(model(), served([tensor(name) for name in inputs], [tensor(name) for name in outputs]))
    for word in words:
        assert any(word in problem for problem in said), said
    assert all(problem.isprintable() for problem in said)


def test_names_that_are_mended() -> None:
    """What an error asks for is what helps: tensor.<column> for each of the tensors with an awkward name."""
    server = served([tensor("a"), tensor("A")], [tensor("ml_key"), tensor("Y"), tensor("y")])
    taken = with_served_schema(model(**{"tensor.b": "A", "tensor.k": "ml_key", "tensor.z": "y"}), server)
    assert schema(taken) == "INPUT (`a` STRING, `b` STRING) OUTPUT (`k` STRING, `Y` STRING, `z` STRING)"
    bound = bind(taken, server)
    assert [spec.name for spec in (*bound.inputs, *bound.outputs)] == ["a", "A", "ml_key", "Y", "y"]


def test_an_input_that_must_be_there_is_never_left_out_of_what_to_declare() -> None:
    """An input that cannot be a column is required, so that INPUT without it would be of no use."""
    said = problems(model(), served([tensor("a"), tensor("A")]))
    assert len(said) == 1
    assert said[0].startswith("the inputs a and A would be columns of one name")


def test_shapes_are_of_declared_columns() -> None:
    """A shape needs a BLOB, which no server calls an input: the error has the INPUT to declare, and it is of use."""
    server = served([tensor("page", "FP32", (-1, -1)), tensor("text")])
    options = {"shape.page": "height,2"}
    said = problems(model(**options), server)
    declared = "INPUT (`page` BLOB, `text` STRING, `height` INT)"
    assert said == [f"shape.page is for a BLOB that INPUT declares: declare {declared}"]
    assert bind(with_served_schema(model(declared, **options), server), server).inputs[0].lengths == ("height", 2)


def test_datatypes_without_a_type() -> None:
    """An output of a datatype without a SQL type is refused with the OUTPUT of all others; an optional input is not."""
    server = served(
        [tensor("X"), tensor("S", "COMPLEX64", optional=True)],
        [tensor("Y", "FP32", (3,)), tensor("Z", "COMPLEX64"), tensor("T")],
    )
    assert problems(model(), server) == [
        "the output Z COMPLEX64[-1, 1] has a datatype without a SQL type",
        "or declare OUTPUT (`Y` FLOAT[3], `T` STRING)",
    ]
    declared = with_served_schema(model("OUTPUT (`Y` FLOAT[3], `T` STRING)"), server)
    assert schema(declared) == "INPUT (`X` STRING) OUTPUT (`Y` FLOAT[3], `T` STRING)"


@pytest.mark.parametrize(("count", "array"), [(1, ""), (2, "[2]")])
@pytest.mark.parametrize("labels", [True, False])
def test_classes(count: int, array: str, labels: bool) -> None:
    """With classification the error has an OUTPUT that is bound as it stands."""
    server = served([tensor("X")], [tensor("P", "FP32", (4,), labels=labels)])
    (said, *_) = problems(model(classification=str(count)), server)
    assert ("label" in said) == labels
    output = said.partition("declare ")[2].partition("), or")[0] + ")"
    assert f"`score` FLOAT{array}" in output
    taken = with_served_schema(model(output, classification=str(count)), server)
    assert {spec.name for spec in bind(taken, server).outputs} == {"P"}


def test_classes_of_a_declared_output() -> None:
    """INPUT may be left out beside classification."""
    server = served([tensor("X")], [tensor("P", "FP32", (4,), labels=True)])
    assert schema(with_served_schema(model("OUTPUT (l STRING)", classification="1"), server)).startswith("INPUT (`X`")


@settings(max_examples=100)
@given(
    st.lists(
        st.tuples(
            st.text(
                st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from("`'\" .:/"), min_size=1, max_size=9
            ),
            st.sampled_from(DATATYPES),
            st.lists(st.sampled_from([-1, 1, 3]), max_size=3).map(tuple),
        ),
        min_size=1,
        max_size=4,
        unique_by=lambda one: one[0].lower(),
    )
)
def test_clauses_are_read_back(tensors: list[tuple[str, str, tuple[int, ...]]]) -> None:
    """Whatever tensors are called, a clause in an error can be pasted: it declares the same columns."""
    columns = [ServedColumn(*one) for one in tensors]
    text = f"CREATE MODEL m {clause('INPUT', columns)} {clause('OUTPUT', columns)} WITH ('k' = 'v')"
    read = parse_create_model(text)
    assert read.inputs == read.outputs == tuple(column.declared for column in columns)
