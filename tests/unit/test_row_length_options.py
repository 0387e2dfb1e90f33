"""How the options about lengths bind: fillings, masks, and what outputs are cut to."""

from __future__ import annotations

import pytest

from dbt_triton.client.served import ServedModel, ServedTensor
from dbt_triton.ddl.create_model import definition_from_yaml
from dbt_triton.errors import ConfigurationError
from dbt_triton.inference_model import Binding, InferenceModel, bind, metadata_row, model_from_row

FLOATS = {"a": "FLOAT[]", "b": "FLOAT[]"}


def _model(inputs: dict[str, str], outputs: dict[str, str], **options: object) -> InferenceModel:
    """Read a definition; an option's first underscore is a point."""
    given = {"provider": "triton", "endpoint": "http://h:8000", "model-name": "served"}
    named = {key.replace("_", ".", 1): value for key, value in options.items()}
    return InferenceModel.from_definition(
        definition_from_yaml("m", {"input": inputs, "output": outputs} | given | named)
    )


def _bind(model: InferenceModel, inputs: dict[str, ServedTensor], outputs: dict[str, ServedTensor]) -> Binding:
    served = ServedModel(
        name="served",
        version="3",
        inputs=tuple(inputs.values()),
        outputs=tuple(outputs.values()),
        max_batch_size=64,
        decoupled=False,
        sequence_batching=False,
        dynamic_batching=True,
        server_version="2.51.0",
        binary_data=True,
    )
    return bind(model, served)


def _tensors(*said: tuple[str, str, tuple[int, ...]], optional: tuple[str, ...] = ()) -> dict[str, ServedTensor]:
    return {name: ServedTensor(name, datatype, (-1, *dims), optional=name in optional) for name, datatype, dims in said}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [(True, None), (True, None)]),
        ({"trim": "false"}, [(False, None), (False, None)]),
        ({"trim": False, "trim_b": True}, [(False, None), (True, None)]),
        ({"trim_A": "FALSE"}, [(False, None), (True, None)]),
        ({"trim_a": "X", "trim_b": False}, [(True, "x"), (False, None)]),
    ],
)
def test_what_is_said_of_one_output_wins(options: dict[str, object], expected: list[tuple[bool, str | None]]) -> None:
    """`trim.<column>` wins over `trim`, in SQL's spelling and in YAML's."""
    outputs = _tensors(("A", "FP32", (-1,)), ("B", "FP32", (-1,)))
    bound = _bind(_model({"x": "FLOAT[]"}, FLOATS, **options), _tensors(("X", "FP32", (-1,))), outputs)
    assert [(spec.trim, spec.trim_to) for spec in bound.outputs] == expected


def test_a_filling_by_column_wins() -> None:
    """`pad.<column>` wins over `pad`, which is for all others; outputs have none."""
    tensors = _tensors(("A", "FP32", (-1,)), ("B", "FP32", (-1,)))
    bound = _bind(_model(FLOATS, {"o": "FLOAT"}, pad=0, pad_B=1), tensors, _tensors(("O", "FP32", (1,))))
    assert [spec.pad for spec in bound.inputs] == ["0", "1"]
    bound = _bind(_model(FLOATS, {"o": "FLOAT"}, pad_b="1"), tensors, _tensors(("O", "FP32", (1,))))
    assert [spec.pad for spec in bound.inputs] == [None, "1"]


def test_a_tensor_that_is_made_needs_no_column() -> None:
    """A single column binds to the tensor that is left, and a mask is as long as its column is made."""
    inputs = _tensors(("IDS", "INT64", (128,)), ("MASK", "INT32", (-1,)))
    model = _model({"x": "BIGINT[]"}, {"o": "FLOAT"}, mask_mask="X", pad="7")
    bound = _bind(model, inputs, _tensors(("O", "FP32", (1,))))
    (made,) = bound.made
    assert (bound.inputs[0].name, made.spec.name, made.spec.row_shape, made.spec.pad) == ("IDS", "MASK", (128,), "0")


def test_a_mask_of_vectors_is_one_of_their_number() -> None:
    """A mask with fewer axes than its column has levels is of the outer ones."""
    inputs = _tensors(("FEATURES", "FP32", (-1, 80)), ("MASK", "BOOL", (1, -1)))
    model = _model({"features": "FLOAT[80][]"}, {"o": "FLOAT"}, mask_MASK="features")
    (made,) = _bind(model, inputs, _tensors(("O", "FP32", (1,)))).made
    assert (made.spec.sql.dims, made.spec.row_shape, made.spec.axes, made.spec.pad) == ((None,), (1, -1), (1,), None)


def test_what_a_required_tensor_is_made_of_is_required() -> None:
    """An optional input is not left out where a tensor is made of it that must be there."""
    tensors = (("IDS", "INT64", (-1,)), ("MASK", "INT64", (-1,)), ("N", "INT64", (1,)))
    model = _model({"n": "BIGINT", "ids": "BIGINT[]"}, {"o": "FLOAT"}, mask_mask="ids")
    outputs = _tensors(("O", "FP32", (1,)))
    assert not _bind(model, _tensors(*tensors, optional=("IDS",)), outputs).inputs[1].optional
    assert _bind(model, _tensors(*tensors, optional=("IDS", "MASK")), outputs).inputs[1].optional


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"mask_mask": "ids", "zeros_MASK": "ids"}, "zeros.MASK: the tensor MASK is mask.mask already"),
        ({"mask_ids": "ids"}, "mask.ids: the tensor IDS is the column ids already"),
        ({"mask_masc": "ids"}, "mask.masc: the model has no tensor masc; did you mean MASK?"),
        (
            {"mask_mask": "ids", "mask_text": "ids"},
            "mask.text: it is of numbers or BOOL, but the server's TEXT is BYTES",
        ),
        ({"mask_mask": "ids", "zeros_three": "ids"}, "the lengths of ids (BIGINT[]) do not fit"),
    ],
)
def test_masks_that_do_not_fit_are_refused(options: dict[str, object], why: str) -> None:
    """Each says which option it is, and what the server serves."""
    optional = ("TEXT", "THREE")
    inputs = _tensors(
        ("IDS", "INT64", (-1,)),
        ("MASK", "INT64", (-1,)),
        ("TEXT", "BYTES", (-1,)),
        ("THREE", "INT8", (3, 3)),
        optional=optional,
    )
    model = _model({"ids": "BIGINT[]"}, {"o": "FLOAT"}, **options)
    with pytest.raises(ConfigurationError) as raised:
        _bind(model, inputs, _tensors(("O", "FP32", (1,))))
    assert why in str(raised.value)


def test_options_survive_the_metadata_row() -> None:
    """They are read back from the row as they were written."""
    model = _model({"x": "BIGINT[]"}, {"o": "FLOAT[]"}, pad_x=1, trim_o="x", trim=False, mask_m="x", zeros_t="x")
    assert model_from_row(metadata_row(model, None)).options == model.options


def test_only_what_is_said_is_in_the_fingerprint() -> None:
    """Without these options predictions are found again as before; each that matters makes them other ones."""
    inputs, outputs = (
        _tensors(("X", "INT64", (-1,)), ("M", "INT64", (-1,)), optional=("M",)),
        _tensors(("O", "FP32", (-1,))),
    )
    said: list[dict[str, object]] = [
        {},
        {"pad": 0},
        {"pad": 0, "trim": False},
        {"pad_x": 0},
        {"pad": 0, "trim_o": "x"},
        {"mask_m": "x"},
        {"zeros_m": "x"},
    ]
    found = [_bind(_model({"x": "BIGINT[]"}, {"o": "FLOAT[]"}, **one), inputs, outputs).fingerprint for one in said]
    assert len(set(found)) == len(said)
    without_pad = _bind(_model({"x": "BIGINT[]"}, {"o": "FLOAT[]"}, trim=False, trim_o="x"), inputs, outputs)
    assert without_pad.fingerprint == found[0]
