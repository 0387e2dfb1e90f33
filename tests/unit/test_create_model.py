import re
import string
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dbt_triton.ddl import Column, ModelDefinition, parse_create_model
from dbt_triton.ddl.create_model import definition_from_yaml
from dbt_triton.errors import ConfigurationError, SqlSyntaxError

END = "the end of the statement"
# The statements of Flink's page about Triton, as they are printed there.
FLINK_SENTIMENT = """CREATE MODEL triton_sentiment_classifier
INPUT (`input` STRING)
OUTPUT (`output` STRING)
WITH (
    'provider' = 'triton',
    'endpoint' = 'http://localhost:8000/v2/models',
    'model-name' = 'text-classification',
    'model-version' = '1',
    'timeout' = '10000',
    'max-retries' = '3'
);
"""
FLINK_ADVANCED = """CREATE MODEL triton_advanced_model
INPUT (`input` STRING)
OUTPUT (`output` STRING)
WITH (
    'provider' = 'triton',
    'endpoint' = 'https://triton.example.com/v2/models',
    'model-name' = 'advanced-nlp-model',
    'model-version' = 'latest',
    'timeout' = '15000',
    'max-retries' = '5',
    'batch-size' = '4',
    'priority' = '100',
    'auth-token' = 'Bearer your-auth-token-here',
    'custom-headers' = '{"X-Custom-Header": "custom-value", "X-Request-ID": "req-123"}',
    'compression' = 'gzip'
);
"""
FLINK_SEQUENCE = """CREATE MODEL triton_sequence_model
INPUT (`input` STRING)
OUTPUT (`output` STRING)
WITH (
    'provider' = 'triton',
    'endpoint' = 'http://localhost:8000/v2/models',
    'model-name' = 'sequence-model',
    'model-version' = '1',
    'sequence-id' = 'seq-001',
    'sequence-start' = 'true',
    'sequence-end' = 'false'
);
"""


@pytest.mark.parametrize(
    ("text", "name", "count"),
    [
        (FLINK_SENTIMENT, "triton_sentiment_classifier", 6),
        (FLINK_ADVANCED, "triton_advanced_model", 11),
        (FLINK_SEQUENCE, "triton_sequence_model", 7),
    ],
)
def test_flink_page(text: str, name: str, count: int) -> None:
    """Every statement of Flink's own page about Triton is read as it is printed there."""
    columns = (Column("input", "STRING"),), (Column("output", "STRING"),)
    options = dict(re.findall("'(.*)' = '(.*)'", text))
    assert len(options) == count
    assert parse_create_model(text) == ModelDefinition((name,), *columns, options)


MODEL = ModelDefinition(("m",), (Column("a", "STRING"),), (Column("b", "STRING"),), {"k": "v"})
TAIL = "INPUT (a STRING) OUTPUT (b STRING) WITH ('k' = 'v')"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"CREATE MODEL m {TAIL}", MODEL),
        ("create model m input (a STRING) output (b STRING) with ('k' = 'v')", MODEL),
        (f"CREATE OR REPLACE MODEL m {TAIL}", MODEL),
        (f"CREATE TEMPORARY MODEL m {TAIL}", MODEL),
        (f"CREATE MODEL IF NOT EXISTS m {TAIL}", MODEL),
        (f"CREATE OR REPLACE TEMPORARY MODEL IF NOT EXISTS m {TAIL}", MODEL),
        (f"CREATE MODEL cat.db.m {TAIL}", replace(MODEL, name=("cat", "db", "m"))),
        (f'CREATE MODEL `c.1` . "d ""2""".`m``3` {TAIL}', replace(MODEL, name=("c.1", 'd "2"', "m`3"))),
        (f"CREATE MODEL 分类器 {TAIL}", replace(MODEL, name=("分类器",))),
        (f'CREATE MODEL "моя модель" {TAIL}', replace(MODEL, name=("моя модель",))),
        (f"CREATE MODEL model {TAIL}", replace(MODEL, name=("model",))),
        (f"CREATE MODEL m {TAIL};", MODEL),
        (f"CREATE MODEL m {TAIL} ; ;\n-- the end\n", MODEL),
        (f"/* CREATE MODEL x */ CREATE -- really\n MODEL m/**/{TAIL}", MODEL),
        (f"-- it's a comment with a quote\nCREATE MODEL m {TAIL}", MODEL),
        (
            """CREATE MODEL m INPUT (a STRING COMMENT 'the ''text''', c INT COMMENT '') OUTPUT (b STRING)
            COMMENT 'says -- so; /* all */' WITH ('k' = 'v')""",
            replace(
                MODEL,
                inputs=(Column("a", "STRING", "the 'text'"), Column("c", "INT", "")),
                comment="says -- so; /* all */",
            ),
        ),
        (
            "CREATE MODEL m INPUT (comment STRING, input INT, with_ INT) OUTPUT (b STRING) WITH ('k' = 'v')",
            replace(MODEL, inputs=(Column("comment", "STRING"), Column("input", "INT"), Column("with_", "INT"))),
        ),
        (
            "CREATE MODEL m INPUT (a STRING) OUTPUT (b STRING) WITH ('k' = 'v', 'it''s' = 'C:\\', '' = '')",
            replace(MODEL, options={"k": "v", "it's": "C:\\", "": ""}),
        ),
        (
            "CREATE MODEL m INPUT (a STRING) OUTPUT (b STRING) WITH ('k' = '{\"x\": \"好\n;\"}')",
            replace(MODEL, options={"k": '{"x": "好\n;"}'}),
        ),
    ],
)
def test_grammar(text: str, expected: ModelDefinition) -> None:
    """All of Flink's grammar is accepted: optional words, dotted and quoted names, comments, semicolons."""
    assert parse_create_model(text) == expected


@pytest.mark.parametrize(
    "kind",
    [
        "VARCHAR(10)",
        "DOUBLE PRECISION",
        "STRING NOT NULL",
        "DECIMAL(10, 2) NOT NULL",
        "TIMESTAMP(3) WITH LOCAL TIME ZONE",
        "ARRAY<FLOAT>",
        "ARRAY<ARRAY<ARRAY<INT>>>",
        "MAP<STRING, ROW<`a,b` INT, c ARRAY<DECIMAL(5, 1)>>>",
        "ROW<a INT COMMENT 'x', b INT>",
        "INT[]",
        "STRUCT(a INT, b VARCHAR[3])",
    ],
)
def test_type_text(kind: str) -> None:
    """A type is kept as it was written, however deep it nests, and the columns after it are still found."""
    text = f"CREATE MODEL m INPUT (a {kind} COMMENT 'x', z INT) OUTPUT (b {kind}) WITH ('k' = 'v')"
    found = parse_create_model(text)
    assert found.inputs == (Column("a", kind, "x"), Column("z", "INT"))
    assert found.outputs == (Column("b", kind),)


@pytest.mark.parametrize(
    ("text", "line", "expected", "found"),
    [
        ("", 1, "expected CREATE", END),
        ("\n\nSELECT 1", 3, "expected CREATE", "'SELECT'"),
        ("CREATE TABLE m", 1, "expected MODEL", "'TABLE'"),
        ("CREATE OR\nMODEL m", 2, "expected REPLACE", "'MODEL'"),
        ("CREATE MODEL IF EXISTS m", 1, "expected NOT", "'EXISTS'"),
        ("CREATE MODEL IF NOT m", 1, "expected EXISTS", "'m'"),
        ("CREATE MODEL 'm' INPUT", 1, "expected the name of the model", "\"'m'\""),
        ("CREATE MODEL 1 INPUT", 1, "expected the name of the model", "'1'"),
        ("CREATE MODEL a.\n(x INT)", 2, "expected the name of the model", "'('"),
        ("CREATE MODEL m\nINPUTS (a INT)", 2, "expected INPUT, OUTPUT, COMMENT or WITH", "'INPUTS'"),
        ("CREATE MODEL m\nOUTPUT (b INT)", 2, "expected COMMENT or WITH", END),
        ("CREATE MODEL m OUTPUT (b INT)\nINPUT (a INT)", 2, "expected COMMENT or WITH", "'INPUT'"),
        ("CREATE MODEL m INPUT ()\nWITH ('k' = 'v')", 1, "expected a column name", "')'"),
        ("CREATE MODEL m COMMENT 'x'\nOUTPUT (b INT)", 2, "expected WITH", "'OUTPUT'"),
        ("CREATE MODEL m INPUT a INT", 1, "expected ( and the columns", "'a'"),
        ("CREATE MODEL m INPUT (\n)", 2, "expected a column name", "')'"),
        ("CREATE MODEL m INPUT ('a' INT)", 1, "expected a column name", "\"'a'\""),
        ("CREATE MODEL m INPUT (\n  a,\n  b INT)", 2, "expected the SQL type of column a", "','"),
        ("CREATE MODEL m INPUT (a COMMENT 'x')", 1, "expected the SQL type of column a", "'COMMENT'"),
        ("CREATE MODEL m INPUT (a ARRAY<INT)", 1, "expected , or ) after a column", END),
        ("CREATE MODEL m INPUT (a INT COMMENT b)", 1, "expected a comment in single quotes", "'b'"),
        ("CREATE MODEL m INPUT (a INT COMMENT 'x' b INT)", 1, "expected , or ) after a column", "'b'"),
        ("CREATE MODEL m INPUT (a INT,)", 1, "expected a column name", "')'"),
        ("CREATE MODEL m INPUT (a INT)\nOUTPUTS (b INT)", 2, "expected OUTPUT, COMMENT or WITH", "'OUTPUTS'"),
        ("CREATE MODEL m INPUT (a INT) OUTPUT (b INT) COMMENT\n'x'", 2, "expected WITH", END),
        ("CREATE MODEL m INPUT (a INT) OUTPUT (b INT)\nWITH 'k' = 'v'", 2, "expected ( and the options", "\"'k'\""),
        ("CREATE MODEL m INPUT (a INT) OUTPUT (b INT) WITH ()", 1, "expected an option in single quotes", "')'"),
        ("CREATE MODEL m INPUT (a INT) OUTPUT (b INT) WITH (k = 'v')", 1, "expected an option in single", "'k'"),
        ("CREATE MODEL m INPUT (a INT) OUTPUT (b INT) WITH ('k' 'v')", 1, "expected = after 'k'", "\"'v'\""),
        ("CREATE MODEL m INPUT (a INT) OUTPUT (b INT) WITH ('k' = 5)", 1, "expected the value of 'k' in single", "'5'"),
        ("CREATE MODEL m INPUT (a INT) OUTPUT (b INT) WITH ('k' = \"v\")", 1, "expected the value of 'k'", "'\"v\"'"),
        ("CREATE MODEL m INPUT (a INT) OUTPUT (b INT) WITH ('k' = 'v'\n'l' = 'w')", 2, "expected , or )", "\"'l'\""),
        ("CREATE MODEL m INPUT (a INT) OUTPUT (b INT) WITH ('k' = 'v',)", 1, "expected an option in single", "')'"),
        (f"CREATE MODEL m {TAIL}\nSELECT 1", 2, "expected nothing after WITH", "'SELECT'"),
        (f"CREATE MODEL m {TAIL};\n;\nCREATE MODEL n", 3, "expected nothing after WITH", "'CREATE'"),
    ],
)
def test_syntax_errors(text: str, line: int, expected: str, found: str) -> None:
    """A syntax error says the line, what was expected there, and what was found."""
    with pytest.raises(SqlSyntaxError) as caught:
        parse_create_model(text)
    assert caught.value.line == line
    assert str(caught.value).startswith(f"line {line}: {expected}")
    assert str(caught.value).endswith(f", found {found}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "CREATE MODEL m INPUT (a INT,\n  A INT)\nOUTPUT (b INT) WITH ('k' = 'v')",
            "line 2: column A is declared twice",
        ),
        ("CREATE MODEL m INPUT (a INT) OUTPUT (b INT,\nb INT\n)", "line 2: column b is declared twice"),
        (f"CREATE MODEL m {TAIL[:-1]},\n'k' = 'w'\n)", "line 2: option k is given twice"),
    ],
)
def test_duplicates(text: str, message: str) -> None:
    """A column or option that stands there twice is reported with the line of the second one."""
    with pytest.raises(SqlSyntaxError, match=f"^{message}"):
        parse_create_model(text)


@pytest.mark.parametrize(
    "text",
    [
        "CREATE MODEL m\nINPUT (a INT) OUTPUT (b INT) WITH ('k' = 'v)",
        "CREATE MODEL\n`m INPUT (a INT)\nOUTPUT (b INT)",
        "CREATE MODEL m\n/* INPUT (a INT)\nOUTPUT (b INT)",
    ],
)
def test_open_quote(text: str) -> None:
    """A quote or comment that is never closed is reported with the line on which it opens."""
    with pytest.raises(SqlSyntaxError, match=r"^line 2: .*never closed"):
        parse_create_model(text)


PLAIN_NAMES = st.text(string.ascii_letters + "_好яé", min_size=1, max_size=6).filter(
    lambda name: name.upper() not in {"IF", "COMMENT"}
)
# Anything that a database takes as a quoted name.
ANY_TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from("`'\"-/*;"), max_size=8)
NAMES = PLAIN_NAMES | ANY_TEXT.filter(bool)
TYPES = st.sampled_from(["STRING", "INT", "VARCHAR(3)", "ARRAY<ROW<a INT>>", "DOUBLE PRECISION NOT NULL"])
COMMENTS = st.none() | ANY_TEXT
COLUMNS = st.lists(
    st.builds(Column, NAMES, TYPES, COMMENTS), min_size=1, max_size=3, unique_by=lambda c: c.name.lower()
)
DEFINITIONS = st.builds(
    ModelDefinition,
    st.lists(NAMES, min_size=1, max_size=3).map(tuple),
    st.just(()) | COLUMNS.map(tuple),
    st.just(()) | COLUMNS.map(tuple),
    st.dictionaries(ANY_TEXT, ANY_TEXT, min_size=1, max_size=3),
    COMMENTS,
)
GAPS = st.sampled_from([" ", "\n", "\t ", "/* it's (a) */", " -- c'\n", " /* a\nb */ "])


def _quoted(text: str, quote: str) -> str:
    return quote + text.replace(quote, 2 * quote) + quote


@st.composite
def _statements(draw: st.DrawFn) -> tuple[ModelDefinition, str]:
    """Write a random definition as SQL, in random case and with random white space and comments."""
    definition = draw(DEFINITIONS)
    pieces: list[str] = []

    def words(text: str) -> None:
        pieces.extend(draw(st.sampled_from([word, word.lower(), word.title()])) for word in text.split())

    def name(text: str) -> None:
        bare = text.isidentifier() and set(text) <= set(string.ascii_letters + "_好яé")
        pieces.append(text if bare and draw(st.booleans()) else _quoted(text, draw(st.sampled_from('`"'))))

    def comment(text: str | None) -> None:
        if text is not None:
            words("COMMENT")
            pieces.append(_quoted(text, "'"))

    words(draw(st.sampled_from(["CREATE MODEL", "CREATE OR REPLACE MODEL", "CREATE TEMPORARY MODEL IF NOT EXISTS"])))
    for position, part in enumerate(definition.name):
        pieces.extend(["."] * bool(position))
        name(part)
    for side, columns in (("INPUT", definition.inputs), ("OUTPUT", definition.outputs)):
        words(side if columns else "")
        for position, column in enumerate(columns):
            pieces.append("," if position else "(")
            name(column.name)
            pieces.append(column.type)
            comment(column.comment)
        pieces.extend([")"] * bool(columns))
    comment(definition.comment)
    words("WITH")
    for position, (key, value) in enumerate(definition.options.items()):
        pieces += ["," if position else "(", _quoted(key, "'"), "=", _quoted(value, "'")]
    pieces += [")", *[";"] * draw(st.integers(0, 2))]
    return definition, "".join(draw(GAPS) + piece for piece in pieces)


@settings(max_examples=150)
@given(_statements())
def test_round_trip(statement: tuple[ModelDefinition, str]) -> None:
    """However a definition is laid out, what is read is what was written."""
    definition, text = statement
    assert parse_create_model(text) == definition


@pytest.mark.parametrize("sides", ["", "INPUT (a STRING)", "OUTPUT (b STRING)"])
@pytest.mark.parametrize("comment", ["", "COMMENT 'c'"])
def test_sides_may_be_left_out(sides: str, comment: str) -> None:
    """INPUT, OUTPUT or both may be left out, as in Flink's grammar, in SQL and in YAML alike."""
    definition = replace(
        MODEL,
        inputs=MODEL.inputs if "INPUT" in sides else (),
        outputs=MODEL.outputs if "OUTPUT" in sides else (),
        comment="c" if comment else None,
    )
    assert parse_create_model(f"CREATE MODEL m {sides} {comment} WITH ('k' = 'v')") == definition
    meta = {"input": {"a": "STRING"}} if "INPUT" in sides else {}
    meta |= {"output": {"b": "STRING"}} if "OUTPUT" in sides else {}
    assert definition_from_yaml("m", meta | {"k": "v", "comment": definition.comment}) == definition


def test_yaml_is_the_same_definition() -> None:
    """The YAML door gives the definition that the SQL door gives; an empty key counts as not given."""
    meta = {"input": {"a": "STRING"}, "output": {"b": "STRING"}, "k": "v", "auth-token": None}
    assert definition_from_yaml("m", meta) == MODEL
    assert definition_from_yaml("m", meta | {"name": "n", "comment": "c"}) == replace(MODEL, name=("n",), comment="c")


@pytest.mark.parametrize(
    ("meta", "problems"),
    [
        ({"input": None, "output": {}}, ["input must map each column", "output must map each column"]),
        ({"input": "STRING", "output": {}}, ["input must map", "output must map"]),
        ({"inputs": {"a": "STRING"}, "outputs": {}}, ["inputs is no key; the columns stand under input", "outputs is"]),
        ({"input": {"a": None}, "output": {"b": ""}}, ["input column a has no SQL type", "output column b has no"]),
    ],
)
def test_yaml_problems(meta: Mapping[str, Any], problems: list[str]) -> None:
    """YAML with a side without columns or types is refused, with every problem and the model's name."""
    with pytest.raises(ConfigurationError, match='inference model "m"') as caught:
        definition_from_yaml("m", meta)
    assert len(caught.value.problems) == len(problems)
    assert all(found.startswith(start) for found, start in zip(caught.value.problems, problems, strict=True))
