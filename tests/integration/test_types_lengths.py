"""Rows of different lengths against a real server: padding, masks, and outputs that are cut to a row's own length."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from support.dbt import DbtProject
from support.proxy import RecordingProxy
from support.session import StepError, Steps
from support.triton import Triton
from support.warehouses import duckdb_only

Rows = list[tuple[object, ...]]
TOKENS = (
    "create table t as select i as id, list_transform(range(1 + (i * 5) % 7), lambda j: (i + 2 * j + 1)) as x "
    "from range(40) s(i)"
)
OUTPUTS = "logits FLOAT[2][], attentions FLOAT[][][2], pooled FLOAT[2], words STRING[], best BIGINT[]"


def _predict(session: Steps, schema: str, descriptor: str, options: dict[str, str], call: str = "") -> Rows:
    """Predict for the table ``t``, and return the OUTPUT columns in the order of ``id``."""
    session.create_model("m", schema, options)
    outputs = session.without(*(name for name in session.columns("t") if name != "id"))
    select = f"select {outputs} from ML_PREDICT(TABLE t, MODEL m, DESCRIPTOR({descriptor}){call}) order by id"
    return [row[1:] for row in session.ordered(session.build("out", select, ["m"]))]


def _expected(ids: list[int], type_id: int) -> tuple[object, ...]:
    """Return what the model ``tokens`` says of one text alone."""
    kept = [number + type_id for number in ids]
    total = sum(kept)
    pairs = [[[float(h * a * b) for b in kept] for a in kept] for h in (1, 2)]
    return (
        [(float(number), float(total)) for number in ids],
        tuple(pairs),
        (float(total), float(len(ids))),
        [str(number) for number in ids],
        [total, len(ids), 2 * total],
    )


@pytest.mark.parametrize("binary", ["true", *duckdb_only("a request is the same on each warehouse", "false")])
@pytest.mark.parametrize("batch_size", [*duckdb_only("a request is the same on each warehouse", "1", "64"), "7"])
def test_bert(session: Steps, proxy: RecordingProxy, serve: Callable[[str], str], binary: str, batch_size: str) -> None:
    """Ids are all that a table needs: the mask is made of their lengths, and every output is of the row alone."""
    session.sql(TOKENS)
    options = {
        "endpoint": proxy.url,
        "model-name": serve("tokens"),
        "pad": "0",
        "mask.attention_mask": "ids",
        "zeros.token_type_ids": "ids",
        "binary-data": binary,
        "batch-size": batch_size,
    }
    rows = _predict(session, f"INPUT (ids BIGINT[]) OUTPUT ({OUTPUTS})", "x", options)
    ids = [ids for (ids,) in session.sql("select x from t order by id")]
    assert rows == session.read(_expected(one, 0) for one in ids)


@pytest.mark.parametrize("fill", [*duckdb_only("a request is the same on each warehouse", "0"), "1"])
def test_roberta(session: Steps, proxy: RecordingProxy, serve: Callable[[str], str], fill: str) -> None:
    """Ids are filled with 1 and a mask that the table has with 0, each with its own filling."""
    session.sql(TOKENS)
    session.table("t", "select *, list_transform(x, lambda j: 1) as mask from t")
    options = {
        "endpoint": proxy.url,
        "model-name": serve("tokens"),
        "pad.input_ids": fill,
        "pad": "0",
        "binary-data": "false",
    }
    schema = f"INPUT (input_ids BIGINT[], attention_mask BIGINT[]) OUTPUT ({OUTPUTS})"
    rows = _predict(session, schema, "x, mask", options)
    assert rows == session.read(_expected(ids, 7) for (ids,) in session.sql("select x from t order by id"))
    for sent in (exchange.request.json["inputs"] for exchange in proxy.inferences):
        ids, mask = (tensor["data"] for tensor in sent)
        assert {number for number, kept in zip(ids, mask, strict=True) if not kept} <= {int(fill)}


@pytest.mark.duckdb_only("a request is the same on each warehouse")
def test_a_mask_without_padding(session: Steps, proxy: RecordingProxy, serve: Callable[[str], str]) -> None:
    """Without `pad` a mask is all ones, in requests of rows of one length."""
    session.sql(TOKENS)
    options = {
        "endpoint": proxy.url,
        "model-name": serve("tokens"),
        "mask.ATTENTION_MASK": "IDS",
        "binary-data": "false",
    }
    rows = _predict(session, f"INPUT (ids BIGINT[]) OUTPUT ({OUTPUTS})", "x", options)
    assert rows == session.read(_expected(ids, 7) for (ids,) in session.sql("select x from t order by id"))
    for sent in (exchange.request.json["inputs"] for exchange in proxy.inferences):
        assert [tensor["name"] for tensor in sent] == ["input_ids", "attention_mask"]
        assert set(sent[1]["data"]) == {1}


@pytest.mark.parametrize("longest", [*duckdb_only("an answer is cut without a warehouse", 1, 2, 4, 5), 3])
def test_an_axis_of_the_same_size_by_chance_is_kept(
    session: Steps, triton: Triton, serve: Callable[[str], str], longest: int
) -> None:
    """The three best are three, also where the longest text of a request has three tokens."""
    session.sql(
        "create table t as select i as id, list_transform(range(1 + i), lambda j: j + 1) as x "
        f"from range({longest}) s(i)"
    )
    options = {"endpoint": triton.url, "model-name": serve("tokens"), "pad": "0", "mask.attention_mask": "ids"}
    rows = _predict(session, "INPUT (ids BIGINT[]) OUTPUT (best BIGINT[], words STRING[])", "x", options)
    assert [(len(best), len(words)) for best, words in rows] == [(3, 1 + i) for i in range(longest)]  # type: ignore[arg-type]


def test_trim_may_be_said(session: Steps, triton: Triton, serve: Callable[[str], str]) -> None:
    """One output is kept as it comes, another is cut to the column that is named, in a call, too."""
    session.sql("create table t as select 1 as id, [5, 6] as x union all select 2, [5, 6, 7] union all select 3, [4]")
    options = {
        "endpoint": triton.url,
        "model-name": serve("tokens"),
        "pad": "0",
        "mask.attention_mask": "ids",
        "trim.logits": "false",
        "trim.words": "IDS",
    }
    schema = "INPUT (ids BIGINT[]) OUTPUT (logits FLOAT[2][], words STRING[])"
    logits, words = _predict(session, schema, "x", options)[0]
    assert (len(logits), words) == (3, ["5", "6"])  # type: ignore[arg-type]
    call = ", MAP['trim.logits', 'ids', 'trim.words', 'false']"
    logits, words = _predict(session, schema, "x", options, call)[0]
    assert (len(logits), words) == (2, ["5", "6", "0"])  # type: ignore[arg-type]


def test_two_inputs_of_different_lengths(session: Steps, proxy: RecordingProxy, serve: Callable[[str], str]) -> None:
    """Each axis of an output is cut to the input it belongs to, though both are padded in the same requests."""
    session.sql(
        "create table t as select i as id, range(1, 2 + i % 4)::int[] as x, range(5, 6 + i % 3)::int[] as y "
        "from range(24) s(i)"
    )
    schema = "INPUT (source INT[], target INT[]) OUTPUT (scores INT[], crossed INT[][])"
    options = {"endpoint": proxy.url, "model-name": serve("translation"), "pad": "0", "tensor.crossed": "cross"}
    rows = _predict(session, schema, "x, y", options)
    pairs = session.sql("select x, y from t order by id")
    assert rows == [([b + sum(x) for b in y], [[a * b for a in x] for b in y]) for x, y in pairs]


@pytest.mark.duckdb_only("what is another prediction is decided without a warehouse")
def test_stored_predictions_with_padding_are_not_taken(
    session: Steps, triton: Triton, serve: Callable[[str], str]
) -> None:
    """What was predicted with another filling or mask, or kept with its padding, is not taken for what is cut."""
    session.sql("create table t as select 1 as id, [5] as x union all select 2, [5, 6, 7]")
    options = {"endpoint": triton.url, "model-name": serve("tokens"), "pad": "0", "cache": "persistent"}
    schema = "INPUT (ids BIGINT[]) OUTPUT (words STRING[])"
    made = {"mask.attention_mask": "ids"}
    for more in ({"trim": "false"}, {}, {"pad.ids": "1"}, {"zeros.token_type_ids": "ids"}, {"trim.words": "false"}):
        rows = _predict(session, schema, "x", options | made | more)
        kept = more.get("trim", more.get("trim.words")) == "false"
        assert rows == [(["5", "0", "0"] if kept else ["5"],), (["5", "6", "7"],)]
        assert session.figures["rows_predicted"] == 2
    _predict(session, schema, "x", options | made)
    assert session.figures["rows_predicted"] == 2  # only the newest fingerprint is kept
    _predict(session, schema, "x", options | made)
    assert session.figures["rows_predicted"] == 0


@pytest.mark.duckdb_only("what CREATE MODEL asks the server and says of it is the same on each warehouse")
def test_options_that_do_not_fit_are_refused(session: Steps, triton: Triton, serve: Callable[[str], str]) -> None:
    """What is wrong with the options about lengths is said when the model is built, all at once."""
    with pytest.raises(StepError) as raised:
        session.create_model(
            "m",
            "INPUT (ids BIGINT[], n BIGINT) OUTPUT (words STRING[], pooled FLOAT[2], one FLOAT)",
            {
                "endpoint": triton.url,
                "model-name": serve("tokens"),
                "pad.idz": "0",
                "pad.n": "0",
                "trim.one": "ids",
                "trim.words": "n",
                "mask.attention_mask": "id",
            },
        )
    said = str(raised.value)
    for words in [
        "pad.idz names no column of INPUT; did you mean ids?",
        "pad.n is for an array, but n is declared BIGINT",
        "trim.one is for an array, but one is declared FLOAT",
        "trim.words needs an array, which has a length, but n is declared BIGINT",
        "what mask.attention_mask names is no column of INPUT; did you mean ids?",
    ]:
        assert words in said, said
    with pytest.raises(StepError) as raised:
        session.create_model(
            "m",
            "INPUT (input_ids BIGINT[]) OUTPUT (words STRING[])",
            {
                "endpoint": triton.url,
                "model-name": serve("tokens"),
                "pad.input_ids": "0",
                "mask.attention_msk": "input_ids",
                "zeros.input_ids": "input_ids",
            },
        )
    said = str(raised.value)
    for words in [
        "zeros.input_ids: the tensor input_ids is the column input_ids already",
        "mask.attention_msk: the model has no tensor attention_msk; did you mean attention_mask?",
        "input attention_mask INT64[-1, -1] of the model is not declared in INPUT",
    ]:
        assert words in said, said
    with pytest.raises(StepError, match=r"pad\.ids is 'x', which is no BIGINT"):
        session.create_model(
            "m",
            "INPUT (ids BIGINT[]) OUTPUT (words STRING[])",
            {"endpoint": triton.url, "model-name": serve("tokens"), "mask.attention_mask": "ids", "pad.ids": "x"},
        )
    session.create_model(
        "m",
        "INPUT (ids BIGINT[]) OUTPUT (words STRING[])",
        {"endpoint": triton.url, "model-name": serve("tokens"), "mask.attention_mask": "ids"},
    )
    session.sql("create or replace table t as select 1 as id, [5] as x")
    with pytest.raises(StepError, match=r"pad\.idz names no column of INPUT"):
        session.build("out", "from ML_PREDICT(TABLE t, MODEL m, DESCRIPTOR(x), MAP['pad.idz', '0'])", ["m"])


@pytest.mark.slow
@pytest.mark.duckdb_only("its Python model and SQL are DuckDB's; tests/spark/test_project.py has every door")
def test_tokens_in_yaml_and_in_python(triton: Triton, serve: Callable[[str], str], project: DbtProject) -> None:
    """YAML says fillings and masks as SQL does, and a Python model predicts the same."""
    definition = {
        "input": {"ids": "BIGINT[]"},
        "output": {"words": "ARRAY<STRING>", "logits": "FLOAT[2][]"},
        "provider": "triton",
        "endpoint": triton.url,
        "model-name": serve("tokens"),
        "pad.ids": 1,
        "mask.attention_mask": "ids",
        "trim.logits": False,
    }
    config = {"materialized": "inference_model", "meta": {"inference_model": definition}}
    project.write("models/models.yml", json.dumps({"models": [{"name": "tagger", "config": config}]}))
    project.model("tagger", "{{ dbt_triton.create_model() }}")
    project.model("texts", "select i as id, range(1, 2 + i) as x from range(3) s(i)")
    project.model(
        "tagged",
        "{{ config(materialized='ml_predict') }}\n"
        "select * from ML_PREDICT(TABLE {{ ref('texts') }}, MODEL {{ ref('tagger') }}, DESCRIPTOR(x))",
    )
    project.write(
        "models/tagged_in_python.py",
        "from dbt_triton import ml_predict\n\n\ndef model(dbt, session):\n"
        "    return ml_predict(dbt, session, dbt.ref('texts'), dbt.ref('tagger'), 'x')\n",
    )
    project.build()
    for name in ("tagged", "tagged_in_python"):
        rows = project.query(f"select id, words, len(logits) from {name} order by id")
        assert rows == [(0, ["1"], 1), (1, ["1", "2"], 3), (2, ["1", "2", "3"], 3)]
