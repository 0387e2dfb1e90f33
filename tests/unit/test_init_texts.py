"""What `dbt-triton init` writes of a served model, whatever the server says."""

from __future__ import annotations

import re

import duckdb
import jinja2
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from dbt_triton.client.served import ServedModel, ServedTensor
from dbt_triton.ddl import parse_create_model
from dbt_triton.errors import DbtTritonError
from dbt_triton.init.draft import Draft, draft_of
from dbt_triton.init.names import RESERVED, can_be_column, dbt_name, is_dbt_name, is_plain, plain_name
from dbt_triton.init.texts import create_model, predicting_model, unit_test
from dbt_triton.warehouses.example_values import example_values

SAID = {"provider": "triton", "endpoint": "http://localhost:8000", "model-name": "m"}
#: What a name may be made of to be misread: quotes, Jinja, comments, letters that are not ASCII.
_PIECES = ["'", "`", '"', "{{", "}}", "{%", "%}", "{#", "#}", "{", "--", "/*", "*/", "\\", ";", ")", "$", ": ", "|"]
_PIECES += ["a", "A", "0", "_", "é", "select", "ml_key", "x" * 101]
NAMES = st.lists(st.sampled_from(_PIECES), min_size=1)
HOSTILE = "x` STRING) WITH ('endpoint' = 'http://evil') {{ run_query('drop table t') }} {% set x = 1 %} {# 'y' \\"


def served(
    inputs: list[ServedTensor],
    outputs: list[ServedTensor],
    *,
    batch: int = 8,
    decoupled: bool = False,
    sequences: bool = False,
) -> ServedModel:
    """Return a model as a server describes it."""
    return ServedModel(
        name="m",
        version="1",
        inputs=tuple(inputs),
        outputs=tuple(outputs),
        max_batch_size=batch,
        decoupled=decoupled,
        sequence_batching=sequences,
        dynamic_batching=False,
        server_version="2.51.0 {{ boom() }}",
        binary_data=True,
    )


def one(name: str, datatype: str = "BYTES", *, optional: bool = False) -> ServedTensor:
    """Return a tensor of one value a row."""
    return ServedTensor(name, datatype, (-1, 1), optional=optional)


def rendered(text: str) -> str:
    """Render a file as dbt does, with nothing that Jinja may call but what a model of ours calls."""
    calls = {
        "config": lambda **_: "",
        "ref": lambda name: f'"{name}"',
        "dbt_triton": {"ml_predict": lambda table, model, columns: f"calls({table}, {model}, {columns})"},
    }
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False)  # noqa: S701 - SQL
    return environment.from_string(text).render(calls)


def texts(draft: Draft, warehouse: str = "duckdb") -> tuple[str, str, str]:
    """Return the three files."""
    values = example_values(warehouse)
    return create_model(draft), predicting_model(draft, values), unit_test(draft, "p", values)


@given(st.lists(NAMES.map("".join), min_size=2, max_size=5, unique=True))
def test_hostile_names_are_names(names: list[str]) -> None:
    """Whatever tensors are called, the files say the same as the server, and nothing more: no SQL, Jinja or YAML."""
    inputs, outputs = [one(name) for name in names[:-1]], [one(name) for name in names[1:]]
    draft = draft_of("m", SAID, served(inputs, outputs))
    first, second, third = texts(draft)
    definition = parse_create_model(rendered(first))
    assert definition.name == ("m",)
    assert definition.options == dict(draft.options)
    assert [column.name for column in definition.inputs] == [column.name for column in draft.inputs]
    assert [column.name for column in definition.outputs] == [column.name for column in draft.outputs]
    assert {draft.tensor_of(column) for column in draft.inputs} == set(names[:-1])
    assert {draft.tensor_of(column) for column in draft.outputs} == set(names[1:])
    assert "calls(examples, " in rendered(second)
    (test,) = yaml.safe_load(third)["unit_tests"]
    assert test["model"] == "p"
    with duckdb.connect() as connection:
        columns = [row[0] for row in connection.execute(f"describe {test['expect']['rows']}").fetchall()]
    assert columns == [columns[0], *(column.name for column in draft.outputs), "ml_error"]


def test_hostile_words_stay_in_comments() -> None:
    """A datatype or a version that is Jinja, or has several lines, is one harmless line of a comment."""
    left_out = ServedTensor("bad", "FP8 {{ run_query('x') }}\n) drop table t", (-1, 1))
    draft = draft_of("m", SAID, served([one("a")], [one("b"), left_out]))
    text, *_ = texts(draft)
    assert "{{ run_query" not in text
    assert "{{ boom" not in text
    about = next(line for line in text.splitlines() if "bad" in line)
    assert about.startswith("-- Not declared is the output bad: its datatype FP8")
    assert [column.name for column in parse_create_model(rendered(text)).outputs] == ["b"]


def test_name_that_is_no_column_has_one_of_its_own() -> None:
    """A tensor whose name SQL or Jinja would read gets a plain column, and an option that says which tensor it is."""
    draft = draft_of("m", SAID, served([one(HOSTILE)], [one("ml_error"), one("Y"), one("y"), one("b/c:0"), one("448")]))
    definition = parse_create_model(rendered(create_model(draft)))
    (column,) = definition.inputs
    assert is_plain(column.name)
    assert definition.options[f"tensor.{column.name}"] == HOSTILE
    assert [one.name for one in definition.outputs] == ["ml_error_2", "Y", "y_2", "b/c:0", "448"]
    assert definition.options["tensor.y_2"] == "y"


def test_input_that_no_column_can_be_is_said() -> None:
    """A required input of a datatype without a SQL type is an error; an optional one is left out."""
    with pytest.raises(DbtTritonError, match="that no column can be: x: its datatype FP8 has no SQL type"):
        draft_of("m", SAID, served([one("x", "FP8")], [one("y")]))
    draft = draft_of("m", SAID, served([one("a"), one("x", "FP8", optional=True)], [one("y")]))
    assert "FP8" not in create_model(draft)
    with pytest.raises(DbtTritonError, match="not declared is the output y: its datatype FP8"):
        draft_of("m", SAID, served([one("a")], [one("y", "FP8")]))


@pytest.mark.parametrize("name", ["a\nb", "a\r", "a\x00", "\u2028", "\u202ea", "a\x1b[2J"])
def test_unprintable_names_are_never_written(name: str) -> None:
    """A tensor whose name holds line ends or control characters is left out, and said; a required input is an error."""
    with pytest.raises(DbtTritonError, match="its name holds characters that no file should"):
        draft_of("m", SAID, served([one(name)], [one("y")]))
    draft = draft_of("m", SAID, served([one("a"), one(name, optional=True)], [one("y"), one(name)]))
    assert not [char for text in texts(draft) for char in text if not (char.isprintable() or char == "\n")]
    assert [column.name for column in parse_create_model(rendered(texts(draft)[0])).outputs] == ["y"]


def test_outputs_that_a_decoupled_model_cannot_answer_are_left_out() -> None:
    """What the generate route loses is told in a comment, and the rest is declared. If nothing is left, it is said."""
    lost = [ServedTensor("ids", "INT32", (-1, -1, -1)), ServedTensor("half", "FP16", (-1, 1)), one("model_name")]
    kept = [one("text"), ServedTensor("counts", "INT32", (-1, -1, 3, 1))]
    draft = draft_of("m", SAID, served([one("prompt")], [lost[0], kept[0], *lost[1:], kept[1]], decoupled=True))
    assert [column.name for column in draft.outputs] == ["text", "counts"]
    assert [note for note in draft.notes if note.startswith("not declared")] == [
        "not declared is the output ids: the generate route loses the lengths of its axes",
        "not declared is the output half: the generate route has no form for FP16",
        "not declared is the output model_name: the generate route keeps its name for itself",
    ]
    assert [column.name for column in draft_of("m", SAID, served([one("prompt")], lost)).outputs] == [
        *("ids", "half", "model_name")
    ]
    with pytest.raises(DbtTritonError, match="not declared is the output ids"):
        draft_of("m", SAID, served([one("prompt")], lost, decoupled=True))


def test_optional_inputs_are_comments() -> None:
    """Optional inputs stand in INPUT as comments, each with its type; without its dashes, one is a column."""
    draft = draft_of(
        "m", SAID, served([one("b", "INT32", optional=True), one("a"), one("c", optional=True)], [one("y")])
    )
    text = create_model(draft)
    assert [column.name for column in parse_create_model(rendered(text)).inputs] == ["a"]
    assert "    -- , `b` INTEGER  -- INT32 [-1, 1], optional\n" in text
    more = parse_create_model(rendered(text.replace("-- , `b`", ", `b`").replace("-- , `c`", ", `c`")))
    assert [f"{column.name} {column.type}" for column in more.inputs] == ["a STRING", "b INTEGER", "c STRING"]


def test_inputs_that_are_all_optional_are_declared() -> None:
    """Where every input is optional, all are declared, since the server refuses a request without any."""
    draft = draft_of("m", SAID, served([one("a", optional=True), one("b", "FP32", optional=True)], [one("y")]))
    assert [column.name for column in draft.inputs] == ["a", "b"]
    assert re.search(r"`b` FLOAT +-- FP32 \[-1, 1\], optional", create_model(draft))


def test_types_are_the_tensors() -> None:
    """Each tensor has its type of docs/types.md: levels for axes, lists for -1, FLOAT for the halves that come."""
    inputs = [
        ServedTensor("h", "FP16", (-1, 1)),
        ServedTensor("u", "UINT64", (-1, 2, 3)),
        ServedTensor("n", "BF16", (-1, -1)),
    ]
    outputs = [
        ServedTensor("p", "FP16", (-1, 3)),
        ServedTensor("b", "BF16", (-1, 1)),
        ServedTensor("z", "BOOL", (-1, -1, 2)),
    ]
    definition = parse_create_model(rendered(create_model(draft_of("m", SAID, served(inputs, outputs)))))
    assert [column.type for column in definition.inputs] == ["FLOAT16", "UBIGINT[3][2]", "BFLOAT16[]"]
    assert [column.type for column in definition.outputs] == ["FLOAT[3]", "FLOAT", "BOOLEAN[2][]"]


def test_sequences_have_a_key_and_an_order() -> None:
    """A model that keeps state gets a key and an order, unless a user says them; the examples have these columns."""
    model = served([one("a", "INT32")], [one("y", "INT32")], sequences=True)
    first, second, _ = texts(draft_of("m", SAID, model))
    assert parse_create_model(rendered(first)).options["sequence-by"] == "sequence_key"
    assert "'a' as sequence_key, 1 as step_number" in " ".join(second.split())
    said = {**SAID, "sequence-by": "device", "order-by": '"at" desc'}
    first, second, _ = texts(draft_of("m", said, model))
    assert "sequence_key" not in first
    assert "'a' as device, 1 as \"at\", " in " ".join(second.split())
    assert '    "at",\n' in second


def test_language_models_have_their_parameters() -> None:
    """A language model says how long an answer may be, and answers that can be had again, unless a user says them."""
    inputs = [one("text_input"), one("sampling_parameters", optional=True), one("stream", "BOOL", optional=True)]
    outputs = [one("text_output"), one("finish_reason")]
    model = served(inputs, outputs, batch=0, decoupled=True)
    definition = parse_create_model(rendered(create_model(draft_of("m", SAID, model))))
    assert [column.name for column in (*definition.inputs, *definition.outputs)] == ["text_input", "text_output"]
    assert (definition.options["temperature"], definition.options["max-tokens"]) == ("0", "64")
    assert "-- , `finish_reason` STRING" in create_model(draft_of("m", SAID, model))
    said = {**SAID, "parameters": '{"max_tokens": 8, "temperature": 0.5}'}
    assert set(draft_of("m", said, model).options) == set(said)


def test_names_do_not_meet() -> None:
    """An input and an output of one name, and one called id, are columns of their own in the examples."""
    draft = draft_of("m", SAID, served([one("id"), one("x")], [one("x"), one("ID")]))
    _, second, third = texts(draft)
    assert "        1 as id_2,\n" in second
    assert "['id_3', 'x_2']" in second
    (test,) = yaml.safe_load(third)["unit_tests"]
    assert test["expect"]["rows"].startswith("select\n    1 as id_2,\n    cast('example 1' as string) as x,\n")


@pytest.mark.parametrize("count", range(1, 20))
def test_select_to_copy_is_whole(count: int) -> None:
    """However many columns there are, the reference to a table of yours stands in one line of the comment."""
    text = texts(draft_of("m", SAID, served([one(f"in_{i}") for i in range(count)], [one("y")])))[1]
    comment = text[text.index("{#") : text.index("#}")]
    assert [line for line in comment.splitlines() if line.endswith("from {{ ref('your_table') }}")]
    assert max(map(len, comment.splitlines())) <= 120


def test_large_arrays_are_short() -> None:
    """A picture of 150,528 numbers is a short expression of its shape, and NULL where dbt would read each of them."""
    picture = ServedTensor("picture", "FP32", (-1, 3, 224, 224))
    _, second, third = texts(draft_of("m", SAID, served([picture], [picture])))
    assert max(map(len, (second + third).splitlines())) < 160
    value = re.search(r"cast\(list_transform.* as float\[\]\[\]\[\]\)", second)
    assert value is not None
    with duckdb.connect() as connection:
        ((found,),) = connection.execute(f"select {value[0]}").fetchall()
    assert (len(found), len(found[0]), len(found[0][0])) == (3, 224, 224)
    assert "cast(null as float[][][]) as picture" in third


def test_texts_and_signed_numbers_are_written_for_both_warehouses() -> None:
    """A project that changes its target keeps what init wrote: types of single values are those of Spark, too."""
    kinds = ["BYTES", "BOOL", "INT8", "INT16", "INT32", "INT64", "FP32", "FP64"]
    draft = draft_of(
        "m", SAID, served([one(f"i{kind}", kind) for kind in kinds], [one(f"o{kind}", kind) for kind in kinds])
    )
    _, second, third = texts(draft)
    types = set(re.findall(r"cast\(.*? as (\S+)\)", second + third))
    assert types == {"string", "boolean", "tinyint", "smallint", "integer", "bigint", "float", "double"}


def test_spark_has_its_own_words() -> None:
    """On Spark arrays, types and quotes are Spark's."""
    inputs = [ServedTensor("u", "UINT8", (-1, 2)), ServedTensor("picture", "FP32", (-1, 3, 8, 8))]
    _, second, third = texts(draft_of("m", SAID, served(inputs, [one("b/c:0")])), "spark")
    assert "cast(array(1, 2) as array<smallint>) as u" in second
    assert (
        "cast(array_repeat(array_repeat(array_repeat(1.5, 8), 8), 3) as array<array<array<float>>>) as picture"
        in second
    )
    assert "    `b/c:0`,\n" in second
    assert "cast('example 1' as string) as `b/c:0`" in third


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("text-classification", "text_classification"),
        ("Movie.Review_V2", "movie_review_v2"),
        ("3d-unet", "model_3d_unet"),
        ("select", "select_model"),
        ("...", "model"),
        ("a" * 90, "a" * 60),
    ],
)
def test_served_names_become_names_of_dbt(name: str, expected: str) -> None:
    """A name that is no name of dbt's, or a word of SQL, becomes one that is."""
    assert dbt_name(name) == expected
    assert is_dbt_name(dbt_name(name))


@given(st.text(min_size=1))
def test_any_name_becomes_a_plain_one(name: str) -> None:
    """Whatever a tensor or a model is called, its column and its file need no quotes, and no path is in them."""
    assert is_plain(plain_name(name))
    assert is_dbt_name(dbt_name(name))
    assert not can_be_column(name) or not set(name) & set("'\"`{}\\\n#;")


def test_reserved_words_are_those_of_duckdb() -> None:
    """Every word that DuckDB does not take as a column's name is put in quotes."""
    with duckdb.connect() as connection:
        words = connection.execute("select keyword_name from duckdb_keywords() where keyword_category <> 'unreserved'")
        assert {word for (word,) in words.fetchall()} <= RESERVED
