"""Interfaces that need several of the ways to bind at once."""

from __future__ import annotations

from support.interfaces.interface import Interface, formula_model, tensors

_PICTURE = (
    "list_transform(range(64), lambda r: list_transform(range(64), lambda c: list_transform(range(3), lambda p: {})))"
)

TOGETHER = [
    Interface(
        # Nothing is declared: the columns of DESCRIPTOR are the elements, and NULL is NaN.
        formula_model(
            "features_of_server",
            tensors(64, "input__0 FP32 3", "output__0 FP32 1"),
            output__0="np.nansum(input__0 * [100, 10, 1], 1, keepdims=True)",
        ),
        "",
        "select i as id, i as a, i / 2 as b, case when i < 3 then 1.5 end as c from range(1, 4) t(i)",
        [(106.5,), (211.5,), (315.0,)],
        {"null-as": "nan"},
        of_nulls=(0.0,),
    ),
    Interface(
        # The mask is no input of INPUT, although the server wants it, and nothing is declared.
        formula_model(
            "tokens_of_server",
            tensors(8, "input_ids INT64 -1; attention_mask INT64 -1", "kept INT64 -1; total INT64 1"),
            kept="input_ids * attention_mask",
            total="(input_ids * attention_mask).sum(1, keepdims=True)",
        ),
        "",
        "select i as id, list_transform(range(i), lambda j: 11 + j) as ids from range(1, 4) t(i)",
        [([11], 11), ([11, 12], 23), ([11, 12, 13], 36)],
        {"pad": "7", "mask.attention_mask": "input_ids"},
    ),
    Interface(
        # Values of 48 KiB, known by their bytes, one of them optional: NULL there is another input than zeros.
        formula_model(
            "pictures_with_overlay",
            tensors(8, "picture FP32 64,64,3; overlay FP32 64,64,3 optional", "total FP32 1; seen BOOL 1"),
            total="(picture.sum((1, 2, 3)) + (0 if overlay is None else overlay.sum((1, 2, 3))))[:, None]",
            seen="np.full((len(picture), 1), overlay is not None)",
        ),
        "INPUT (picture FLOAT[3][64][64], overlay FLOAT[3][64][64]) OUTPUT (total FLOAT, seen BOOLEAN)",
        f"select i as id, {_PICTURE.format('1::float')} as picture, "
        f"case i when 2 then {_PICTURE.format('0::float')} when 3 then {_PICTURE.format('1::float')} end as overlay "
        "from range(1, 4) t(i)",
        [(12288.0, False), (12288.0, True), (24576.0, True)],
    ),
    Interface(
        # Raw elements beside several columns of one tensor, and one that is left out.
        formula_model(
            "document_with_features",
            tensors(8, "page FP32 -1,-1; features FP64 2; language BYTES 1 optional", "mean FP32 1; known BOOL 1"),
            mean="(page.mean((1, 2)) + features.sum(1))[:, None]",
            known="np.full((len(page), 1), language is not None)",
        ),
        "INPUT (page BLOB, height INT, width INT, a INT, b DOUBLE, language STRING) OUTPUT (mean FLOAT, known BOOLEAN)",
        r"select i as id, '\x00\x00\x80\x3F\x00\x00\x40\x40'::blob as page, case i when 2 then 2 else 1 end as height, "
        "case i when 2 then 1 else 2 end as width, i as a, 0.5 as b, case i when 3 then 'de' end as language "
        "from range(1, 4) t(i)",
        [(3.5, False), (4.5, False), (5.5, True)],
        {"tensor.a": "features", "tensor.b": "features", "shape.page": "height,width"},
    ),
]
