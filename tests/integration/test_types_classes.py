"""Triton's classification extension as typed columns, and what of it would end the server."""

from __future__ import annotations

from collections.abc import Generator

import pytest
from support.session import StepError, Steps
from support.triton import Triton
from support.warehouses import duckdb_only

SELECT = "select {columns} from ML_PREDICT(TABLE scored, MODEL classes, DESCRIPTOR(scores)) order by id"


@pytest.fixture(scope="module")
def model(triton: Triton) -> Generator[str, None, None]:
    """A model with scores of four classes, three of which have labels."""
    with triton.serving("classes") as name:
        yield name


@pytest.fixture
def session(session: Steps) -> Steps:
    """A warehouse with four rows of scores."""
    session.sql("create table scored (id integer, scores float[])")
    session.sql(
        "insert into scored values (1, [0.5, 0.2, 0.7, 0.1]), (2, [0, 0, 0, 0.9]), (3, [0.2, 0.2, 0, 0]), (4, null)"
    )
    return session


def _create(session: Steps, triton: Triton, model: str, schema: str, **options: str) -> None:
    pairs = {key.replace("_", "-").replace("tensor-", "tensor."): value for key, value in options.items()}
    session.create_model("classes", schema, {"endpoint": triton.url, "model-name": model} | pairs)


@pytest.mark.parametrize("binary", ["true", *duckdb_only("a request is the same on each warehouse", "false")])
def test_best_class(session: Steps, triton: Triton, model: str, binary: str) -> None:
    """With k = 1, STRING is the label, FLOAT the score and INT the index; a class without a label has none."""
    _create(
        session,
        triton,
        model,
        "INPUT (scores FLOAT[4]) OUTPUT (label STRING, score FLOAT, class INT)",
        classification="1",
        binary_data=binary,
        **dict.fromkeys(["tensor_label", "tensor_score", "tensor_class"], "PROBABILITIES"),
    )
    select = SELECT.format(columns=session.without("scores"))
    rows = session.ordered(session.build("out", select, ["classes"]))
    score = session.sql("select 0.7::float, 0.9::float, 0.2::float")[0]
    assert rows == [
        (1, "dog: big", score[0], 2),
        (2, None, score[1], 3),
        (3, "cat", score[2], 0),
        (4, None, None, None),
    ]


def test_best_classes(session: Steps, triton: Triton, model: str) -> None:
    """With k > 1 they are arrays, the best class first, fixed or not, of one output and of several."""
    _create(
        session,
        triton,
        model,
        "INPUT (scores ARRAY<FLOAT>) "
        "OUTPUT (labels STRING[], scores DOUBLE[3], classes ARRAY<BIGINT>, counts FLOAT[3])",
        classification="3",
        **dict.fromkeys(["tensor_labels", "tensor_classes"], "PROBABILITIES"),
        tensor_scores="PROBABILITIES",
        tensor_counts="COUNTS",
    )
    select = SELECT.format(columns="id, labels, scores0, classes, counts")
    rows = session.ordered(session.build("out", select, ["classes"]))
    assert rows[:1] == session.read([(1, ["dog: big", "cat", "fi:sh"], (0.7, 0.5, 0.2), [2, 0, 1], (7.0, 5.0, 2.0))])
    assert [rows[1][1:4]] == session.read([([None, "cat", "fi:sh"], (0.9, 0.0, 0.0), [3, 0, 1])])


@pytest.mark.duckdb_only("what CREATE MODEL asks the server and says of it is the same on each warehouse")
def test_fatal_requests_are_refused(session: Steps, triton: Triton, model: str) -> None:
    """Classification of BYTES, or of an output that may be empty, ends a server: it is refused at build."""
    before = triton.counters(model)
    with pytest.raises(StepError, match=r"classification is for outputs of numbers, .* is BYTES\[-1, 4\]"):
        _create(session, triton, model, "INPUT (scores FLOAT[4]) OUTPUT (TEXT STRING)", classification="1")
    with pytest.raises(StepError, match="needs a fixed number of classes"):
        _create(session, triton, model, "INPUT (scores FLOAT[4]) OUTPUT (any_length FLOAT)", classification="1")
    assert triton.counters(model) == before


@pytest.mark.duckdb_only("what CREATE MODEL asks the server and says of it is the same on each warehouse")
def test_every_mismatch_is_said(session: Steps, triton: Triton, model: str) -> None:
    """Too many classes, a missing label file, a type that is no part of a class: all at once, with what to write."""
    with pytest.raises(StepError) as raised:
        _create(
            session,
            triton,
            model,
            "INPUT (scores FLOAT[4]) OUTPUT (label STRING, score FLOAT, day DATE)",
            classification="2",
            tensor_label="COUNTS",
            tensor_score="PROBABILITIES",
            tensor_day="PROBABILITIES",
        )
    said = str(raised.value)
    assert "COUNTS is INT32[-1, 4] without label_filename" in said
    assert "classification is 2, for every OUTPUT; declare FLOAT[2]" in said
    assert "day is declared DATE; a class has a STRING" in said
    with pytest.raises(StepError, match=r"classification is 5, but the server's PROBABILITIES is FP32\[-1, 4\]"):
        _create(
            session,
            triton,
            model,
            "INPUT (scores FLOAT[4]) OUTPUT (score FLOAT[])",
            classification="5",
            tensor_score="PROBABILITIES",
        )


def test_nan_is_a_score(session: Steps, triton: Triton, model: str) -> None:
    """A score of NaN arrives as NaN."""
    session.sql("update scored set scores = ['nan'::float, 'nan', 'nan', 'nan']")
    _create(
        session,
        triton,
        model,
        "INPUT (scores FLOAT[4]) OUTPUT (score DOUBLE)",
        classification="1",
        tensor_score="PROBABILITIES",
    )
    session.build("out", SELECT.format(columns=session.without("scores")), ["classes"])
    assert session.sql("select count(*) from out where isnan(score)") == [(4,)]
