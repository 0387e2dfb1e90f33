"""Columns and tensors that are not one to one: several columns of a tensor, padded rows, masks, NULLs, raw bytes."""

from __future__ import annotations

from support.interfaces.interface import Interface, formula_model, tensors

#: Texts of one, two and three tokens, and their scores.
_TOKENS = "select i as id, list_transform(range(i), lambda j: 11 + j) as ids from range(1, 4) t(i)"
_TOKEN_ROWS = [[11], [11, 12], [11, 12, 13]]
_FEATURES = "select i as id, i as a, i / 2 as b, case when i < 3 then 1.5 end as c from range(1, 4) t(i)"

BINDINGS = [
    Interface(
        # All columns of a model's only input, in their order; NULL is missing, as in training.
        formula_model(
            "xgboost_columns",
            tensors(64, "input__0 FP32 3", "output__0 FP32 1"),
            output__0="np.nansum(input__0 * [100, 10, 1], 1, keepdims=True)",
        ),
        "INPUT (a FLOAT, b FLOAT, c FLOAT) OUTPUT (score FLOAT)",
        _FEATURES,
        [(106.5,), (211.5,), (315.0,)],
        {"null-as": "nan"},
        of_nulls=(0.0,),
    ),
    Interface(
        # Without null-as, a NULL in any of them predicts NULL.
        formula_model(
            "sklearn_columns",
            tensors(64, "features FP64 3", "label INT64 1; probabilities FP64 2"),
            label="features.argmax(1)[:, None]",
            probabilities="features[:, :2]",
        ),
        "INPUT (a DOUBLE, b DOUBLE, c DOUBLE) OUTPUT (label BIGINT, probabilities DOUBLE[2])",
        _FEATURES,
        [(2, (1.0, 0.5)), (0, (2.0, 1.0)), (None, None)],
    ),
    Interface(
        formula_model(
            "dlrm_columns",
            tensors(64, "dense_x FP32 2; sparse_x INT64 2", "prediction FP32 1"),
            prediction="(dense_x * [1000, 100]).sum(1, keepdims=True) + (sparse_x * [10, 1]).sum(1, keepdims=True)",
        ),
        "INPUT (price FLOAT, age FLOAT, user_id BIGINT, item_id BIGINT) OUTPUT (prediction FLOAT)",
        "select i as id, i as p, 2 as a, 3 as u, 4 as v from range(1, 4) t(i)",
        [(1000.0 * i + 234,) for i in (1, 2, 3)],
        {
            "tensor.price": "dense_x",
            "tensor.age": "dense_x",
            "tensor.user_id": "sparse_x",
            "tensor.item_id": "sparse_x",
        },
    ),
    Interface(
        # Outputs as long as the row's own text, whatever its neighbours are, and a mask that nobody has to make.
        formula_model(
            "ner_padded",
            tensors(8, "input_ids INT64 -1; attention_mask INT64 -1", "logits FP32 -1,2"),
            logits="np.stack([input_ids * attention_mask, attention_mask], 2)",
        ),
        "INPUT (input_ids BIGINT[]) OUTPUT (logits FLOAT[][])",
        _TOKENS,
        [([[float(token), 1.0] for token in row],) for row in _TOKEN_ROWS],
        {"pad": "0", "mask.attention_mask": "input_ids"},
    ),
    Interface(
        # Each input is filled up with what is its own: what the model sees of it is in the sums.
        formula_model(
            "roberta_padded",
            tensors(8, "input_ids INT32 -1; attention_mask INT32 -1", "logits FP32 2"),
            logits="np.stack([((input_ids == 1) == (attention_mask == 0)).all(1), attention_mask.sum(1)], 1)",
        ),
        "INPUT (input_ids INT[], attention_mask INT[]) OUTPUT (logits FLOAT[2])",
        _TOKENS.replace(" as ids", " as ids, list_transform(range(i), lambda j: 1) as mask"),
        [((1.0, float(len(row))),) for row in _TOKEN_ROWS],
        {"pad.input_ids": "1", "pad.attention_mask": "0"},
    ),
    Interface(
        formula_model(
            "qa_padded",
            tensors(8, "input_ids INT64 -1; attention_mask INT64 -1", "start_logits FP32 -1; end_logits FP32 -1"),
            start_logits="input_ids * attention_mask",
            end_logits="input_ids + attention_mask",
        ),
        "INPUT (input_ids BIGINT[]) OUTPUT (start_logits FLOAT[], end_logits FLOAT[])",
        _TOKENS,
        [([float(token) for token in row], [token + 1.0 for token in row]) for row in _TOKEN_ROWS],
        {"pad": "0", "mask.attention_mask": "input_ids"},
    ),
    Interface(
        # BERT's three inputs, of which the table has one.
        formula_model(
            "bert_padded",
            tensors(8, "input_ids INT32 -1; attention_mask INT32 -1; token_type_ids INT32 -1", "logits FP32 2"),
            logits="np.stack([(input_ids * attention_mask).sum(1), token_type_ids.sum(1) + attention_mask.sum(1)], 1)",
        ),
        "INPUT (input_ids INT[]) OUTPUT (logits FLOAT[2])",
        _TOKENS,
        [((float(sum(row)), float(len(row))),) for row in _TOKEN_ROWS],
        {"pad": "0", "mask.attention_mask": "input_ids", "zeros.token_type_ids": "input_ids"},
    ),
    Interface(
        # Pictures of unequal size share a request; the mask says which pixels are a picture's own.
        formula_model(
            "detr_padded",
            tensors(8, "pixel_values FP32 3,-1,-1; pixel_mask INT64 -1,-1", "area INT64 1; segments FP32 -1,-1"),
            area="pixel_mask.sum((1, 2))[:, None]",
            segments="pixel_values[:, 0] * pixel_mask",
        ),
        "INPUT (pixel_values FLOAT[][][]) OUTPUT (area BIGINT, segments FLOAT[][])",
        "select i as id, list_transform(range(3), lambda c: list_transform(range(i), lambda r: [i, i])) as x "
        "from range(1, 4) t(i)",
        [(2 * i, [[float(i)] * 2] * i) for i in (1, 2, 3)],
        {"pad": "0", "mask.pixel_mask": "pixel_values"},
    ),
    Interface(
        # Both sides of an attention are the text's own tokens.
        formula_model(
            "attentions_padded",
            tensors(8, "input_ids INT64 -1", "attentions FP32 2,-1,-1"),
            attentions="np.stack([input_ids[:, :, None] * input_ids[:, None, :]] * 2, 1)",
        ),
        "INPUT (input_ids BIGINT[]) OUTPUT (attentions FLOAT[][][])",
        _TOKENS,
        [([[[float(a * b) for b in row] for a in row]] * 2,) for row in _TOKEN_ROWS],
        {"pad": "0"},
    ),
    Interface(
        # The question and its passages have lengths of their own, and so have the outputs.
        formula_model(
            "zero_shot_padded",
            tensors(8, "tokens INT64 -1; candidate_labels BYTES -1", "scores FP32 -1; token_weights FP32 -1"),
            scores="[[len(label) + tokens[n, 0] for label in row] for n, row in enumerate(candidate_labels)]",
            token_weights="tokens * 2",  # noqa: S106 - tokens of a text
        ),
        "INPUT (tokens BIGINT[], candidate_labels STRING[]) OUTPUT (scores FLOAT[], token_weights FLOAT[])",
        "select i as id, list_transform(range(i), lambda j: 11 + j) as ids, "
        "['a', 'bb', 'ccc', 'dddd'][:5 - i] as labels from range(1, 4) t(i)",
        [([12.0, 13.0, 14.0, 15.0][: 5 - len(row)], [2.0 * token for token in row]) for row in _TOKEN_ROWS],
        {"pad.tokens": "0", "pad.candidate_labels": ""},
    ),
    Interface(
        # What a row has not is left out for this row alone, and the model's own default holds.
        formula_model(
            "two_tower_nulls",
            tensors(
                8, "user_id INT64 1; country BYTES 1 optional; age FP32 1 optional", "score FP32 1; had_country BOOL 1"
            ),
            score="user_id + (1000 if age is None else age)",
            had_country="np.full(user_id.shape, country is not None)",
        ),
        "INPUT (user_id BIGINT, country STRING, age FLOAT) OUTPUT (score FLOAT, had_country BOOLEAN)",
        "select i as id, i as u, case when i <> 2 then 'de' end as c, case when i = 1 then 0.5 end as a "
        "from range(1, 4) t(i)",
        [(1.5, True), (1002.0, False), (1003.0, True)],
    ),
    Interface(
        # Pictures of floats as numpy writes them, each with its own height.
        formula_model(
            "depth_bytes",
            tensors(8, "depth FP32 -1,2,1", "deepest FP32 1"),
            deepest="depth.max((1, 2, 3))[:, None] + depth.shape[1]",
        ),
        "INPUT (depth BLOB) OUTPUT (deepest FLOAT)",
        r"select i as id, repeat('\x00\x00\x80\x3F\x00\x00\x00\x40'::blob, i::int) as depth from range(1, 4) t(i)",
        [(2.0 + i,) for i in (1, 2, 3)],
        {"shape.depth": "-1,2,1"},
    ),
    Interface(
        formula_model(
            "embedding_bytes",
            tensors(8, "vector FP64 2; ids INT16 -1", "total FP64 1"),
            total="vector.sum(1, keepdims=True) + ids.sum(1, keepdims=True)",
        ),
        "INPUT (vector BLOB, ids BLOB) OUTPUT (total DOUBLE)",
        r"select i as id, repeat('\x00\x00\x00\x00\x00\x00\xF0\x3F'::blob, 2) as v, "
        r"repeat('\x02\x01'::blob, i::int) as ids from range(1, 4) t(i)",
        [(2.0 + 258 * i,) for i in (1, 2, 3)],
    ),
    Interface(
        formula_model(
            "schema_of_server",
            tensors(8, "text BYTES 1; limit INT32 1", "shorter BYTES 1; vector FP32 2"),
            shorter="np.array([[t[:n]] for t, n in zip(text.ravel(), limit.ravel())], dtype=object)",
            vector="limit * [[1, 2]]",
        ),
        "",
        "select i as id, 'abcdef' as text, i::int as most from range(1, 4) t(i)",
        [("abcdef"[:i], (float(i), 2.0 * i)) for i in (1, 2, 3)],
    ),
    Interface(
        # As many Python models answer: without the axis of length 1.
        formula_model(
            "flat_answers",
            tensors(8, "x FP32 1", "score FP32 1; label BYTES 1"),
            score="x.ravel()",
            label="np.array([str(int(v)).encode() for v in x.ravel()], dtype=object)",
        ),
        "INPUT (x FLOAT) OUTPUT (score FLOAT, label STRING)",
        "select i as id, i as x from range(1, 4) t(i)",
        [(float(i), str(i)) for i in (1, 2, 3)],
    ),
]
