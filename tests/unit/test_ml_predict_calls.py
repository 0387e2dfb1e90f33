import string
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dbt_triton.ddl import parse_create_model, parse_ml_predict
from dbt_triton.errors import SqlSyntaxError

PLAIN_NAMES = st.text(string.ascii_letters + "_好яé", min_size=1, max_size=6).filter(
    lambda name: name.upper() not in {"TABLE", "MODEL", "FROM", "ML_PREDICT"}
)
# Anything that a database takes as a quoted name, and anything that a literal can hold.
ANY_TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from("`'\"-/*;()[]"), max_size=8)
NAMES = PLAIN_NAMES | ANY_TEXT.filter(bool)
GAPS = st.sampled_from([" ", "\n", "\t ", "/* it's (a) */", " -- ML_PREDICT(\n", " /* a\nb */ "])
QUERIES = st.sampled_from(["(select ')' from a)", "((from a))", "(select 1 /* ) */ where (true))"])


@dataclass(frozen=True)
class Written:
    """What a generated call says: its parts as they must be read, with the operand as text where it is a query."""

    relation: tuple[str, ...] | None
    query: str | None
    model: tuple[str, ...]
    descriptor: tuple[str, ...]
    config: dict[str, str]


WRITTEN = st.builds(
    Written,
    st.lists(NAMES, min_size=1, max_size=3).map(tuple),
    st.none() | QUERIES,
    st.lists(NAMES, min_size=1, max_size=3).map(tuple),
    st.lists(NAMES, min_size=1, max_size=3).map(tuple),
    st.dictionaries(ANY_TEXT, ANY_TEXT, max_size=3),
)


def _quoted(text: str, quote: str) -> str:
    return quote + text.replace(quote, 2 * quote) + quote


@st.composite
def _calls(draw: st.DrawFn) -> tuple[Written, str]:
    """Write a random call: positional or named, in any order, with every kind of quotes and gaps."""
    written = draw(WRITTEN)

    def name(text: str) -> str:
        bare = text.isidentifier() and set(text) <= set(string.ascii_letters + "_好яé")
        return text if bare and draw(st.booleans()) else _quoted(text, draw(st.sampled_from('`"')))

    def dotted(parts: tuple[str, ...]) -> list[str]:
        return [piece for part in parts for piece in (".", name(part))][1:]

    def listed(parts: list[list[str]]) -> list[str]:
        return [piece for part in parts for piece in (",", *part)][1:]

    tabled = ["TABLE"] if written.query is None or draw(st.booleans()) else []
    arguments = [
        ("INPUT", [*tabled, *([written.query] if written.query else dotted(written.relation or ()))]),
        ("MODEL", ["Model", *dotted(written.model)]),
        ("ARGS", ["descriptor", "(", *listed([[name(column)] for column in written.descriptor]), ")"]),
    ]
    empty_map: bool = draw(st.booleans())
    if written.config or empty_map:
        pairs = [[_quoted(key, "'"), ",", _quoted(value, "'")] for key, value in written.config.items()]
        arguments.append(("CONFIG", ["map", "[", *listed(pairs), "]"]))
    if draw(st.booleans()):
        arguments = [(key, [key.title(), "=>", *pieces]) for key, pieces in draw(st.permutations(arguments))]
    pieces = ["(", *listed([pieces for _, pieces in arguments]), ")"]
    return written, "".join(["ML_Predict", *(draw(GAPS) + piece for piece in pieces)])


@st.composite
def _wrapped_calls(draw: st.DrawFn) -> tuple[Written, str]:
    """Write a random call, perhaps within Flink's TABLE(…) or LATERAL TABLE(…)."""
    written, text = draw(_calls())
    words = draw(st.sampled_from([[], ["Table", "("], ["lateral", "TABLE", "("]]))
    closing = [draw(GAPS), ")"] if words else []
    return written, "".join([*(word + draw(GAPS) for word in words), text, *closing])


@settings(max_examples=150)
@given(_wrapped_calls())
def test_round_trip(generated: tuple[Written, str]) -> None:
    """However a call is laid out, what is read is what was written."""
    written, text = generated
    (call,) = parse_ml_predict(f"select * from {text}").calls
    relation = None if written.query else written.relation
    assert (call.relation, call.descriptor, call.config) == (relation, written.descriptor, written.config)
    assert parse_create_model(f"create model {call.model} input (a int) output (b int) with ('k' = 'v')").name == (
        written.model
    )


@given(st.lists(_wrapped_calls(), min_size=1, max_size=4))
def test_several_calls(generated: list[tuple[Written, str]]) -> None:
    """Any number of calls in one statement are found where they stand, and the text between them is untouched."""
    texts = [text for _, text in generated]
    statement = parse_ml_predict("select 'ML_PREDICT(', * from " + " cross join ".join(texts) + " where true")
    assert [statement.text[call.span.start : call.span.end] for call in statement.calls] == texts
    replaced = statement.render({call.span: f"c{number}" for number, call in enumerate(statement.calls)})
    names = " cross join ".join(f"c{number}" for number in range(len(texts)))
    assert replaced == f"select 'ML_PREDICT(', * from {names} where true"


@given(_calls(), st.integers(1, 4))
def test_nested_calls(generated: tuple[Written, str], depth: int) -> None:
    """Calls nest to any depth, and the inner ones come first."""
    _, text = generated
    for level in range(depth):
        text = f"ml_predict(table {text}, model outer_{level}, descriptor(x))"
    models = [call.model for call in parse_ml_predict(f"from {text}").calls]
    assert models[1:] == [f"outer_{level}" for level in range(depth)]


@pytest.mark.parametrize(
    ("operand", "expected"),
    [
        ('table `a`.`b``c`."d"', '"a"."b`c"."d"'),
        ('table `say "hi"`', '"say ""hi"""'),
        ("table (select `x`, '`y`' from `t` -- `z`\n)", '(select "x", \'`y`\' from "t" -- `z`\n)'),
    ],
)
def test_backticks_of_operands(operand: str, expected: str) -> None:
    """Backticks around names inside a call become double quotes; those in strings and comments stay."""
    statement = parse_ml_predict(f"from ml_predict({operand}, model m, descriptor(c))")
    assert statement.input_query(statement.calls[0], {}) == f"select * from {expected}"


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("`a b`.c", '"a b".c'),
        ("(select * from `m` where false limit 0)", '"m"'),
        ('"db"."s"."m"', '"db"."s"."m"'),
        ("model", "model"),
    ],
)
def test_model_operand(model: str, expected: str) -> None:
    """The relation of the inference model is SQL that every version of DuckDB reads."""
    assert parse_ml_predict(f"from ml_predict(table t, model {model}, descriptor(c))").calls[0].model == expected


@pytest.mark.parametrize("wrong", ['"s3cret"', "s3cret", "'Bearer' s3cret", "'a' 's3cret'"])
@pytest.mark.parametrize("key", ["auth-token", "custom-headers"])
def test_errors_hide_secrets(key: str, wrong: str) -> None:
    """A secret in the wrong quotes is an error with its line, and the error does not show the secret."""
    model = f"CREATE MODEL m INPUT (a INT) OUTPUT (b INT)\nWITH ('{key}' = {wrong})"
    call = f"from ml_predict(table t, model m, descriptor(c),\nmap['{key}', {wrong}])"
    for parse, text in ((parse_create_model, model), (parse_ml_predict, call)):
        with pytest.raises(SqlSyntaxError, match=rf"^line 2: expected .*'{key}'") as caught:
            parse(text)
        assert "s3cret" not in str(caught.value)
