"""Interfaces as published configurations have them: reshaped tensors, axes that may be empty, names of exporters."""

from __future__ import annotations

import numpy as np

from support.interfaces.interface import Interface, formula_model, tensors

_TOKENS = "select i as id, list_transform(range(i), lambda j: 11 + j) as ids from range(1, 4) t(i)"
_TOKEN_ROWS = [[11], [11, 12], [11, 12, 13]]

PUBLISHED = [
    Interface(
        # The model has other axes than its clients see.
        formula_model(
            "reshaped_both_ways",
            "max_batch_size: 4\n"
            'input { name: "image" data_type: TYPE_FP32 dims: [ 4 ] reshape { shape: [ 1, 2, 2 ] } }\n'
            'output { name: "detection_classes" data_type: TYPE_FP32 dims: [ 4 ] reshape { shape: [ 1, 4 ] } }\n',
            detection_classes="image.reshape(len(image), 1, 4) * 2",
        ),
        "INPUT (image FLOAT[4]) OUTPUT (detection_classes FLOAT[4])",
        "select i as id, [i, 1, 2, 3] as image from range(1, 4) t(i)",
        [((2.0 * i, 2.0, 4.0, 6.0),) for i in (1, 2, 3)],
    ),
    Interface(
        # A list column of NVTabular: the values of a request, and where each row's begin. One row a request.
        formula_model(
            "list_columns_offsets",
            tensors(0, "genres__values INT64 -1; genres__offsets INT32 -1; user FP32 -1,1", "score FP32 -1,1"),
            score="[[genres__values[a:b].sum()] for a, b in zip(genres__offsets, genres__offsets[1:])] + user",
        ),
        "INPUT (genres__values BIGINT[], genres__offsets INT[], user FLOAT) OUTPUT (score FLOAT)",
        "select i as id, list_transform(range(i - 1), lambda j: 5 + j) as v, [0, i - 1] as o, i / 2 as u "
        "from range(1, 4) t(i)",
        [(0.5,), (6.0,), (12.5,)],
    ),
    Interface(
        # Nodes and edges of a graph; the first has no edge.
        formula_model(
            "graph_embedding",
            tensors(0, "x FP32 -1,2; edge_index INT64 2,-1; batch INT64 -1", "embedding FP32 -1,3"),
            embedding="x[:, :1] * np.arange(3) + edge_index.sum() + batch[:, None]",
        ),
        "INPUT (x FLOAT[2][], edge_index BIGINT[][2], batch BIGINT[]) OUTPUT (embedding FLOAT[3][])",
        "select i as id, list_transform(range(i), lambda j: [j, 1]) as x, "
        "list_transform([0, 1], lambda k: list_transform(range(i - 1), lambda j: j + k)) as edges, "
        "list_transform(range(i), lambda j: 0) as batch from range(1, 4) t(i)",
        [([tuple(float(j * k + s) for k in range(3)) for j in range(i)],) for i, s in ((1, 0), (2, 1), (3, 4))],
    ),
    Interface(
        formula_model("denoiser", tensors(0, "noisy FP32 1,1,-1", "clean FP32 1,1,-1"), clean="noisy * 2"),
        "INPUT (noisy FLOAT[]) OUTPUT (clean FLOAT[])",
        "select i as id, list_transform(range(i), lambda j: j) as noisy from range(1, 4) t(i)",
        [([2.0 * j for j in range(i)],) for i in (1, 2, 3)],
    ),
    Interface(
        # Diffusion: halves, and a step that has no batch axis.
        formula_model(
            "denoising_step",
            tensors(0, "sample FP16 -1,4,2,2; timestep FP16 1; encoder_hidden_states FP16 -1,3,2", "out FP16 -1,4,2,2"),
            out="sample * timestep + encoder_hidden_states.sum()",
        ),
        "INPUT (sample FLOAT16[2][2][4], timestep FLOAT16, encoder_hidden_states FLOAT16[2][3]) "
        "OUTPUT (out FLOAT[2][2][4])",
        "select i as id, [[[0.5, 0.5], [0.5, 0.5]] for _ in range(4)] as s, i as t, [[1, 1] for _ in range(3)] as e "
        "from range(1, 4) t(i)",
        [((((i / 2 + 6,) * 2,) * 2,) * 4,) for i in (1, 2, 3)],
    ),
    Interface(
        # Names as TensorFlow's exporter gives them, and maps of half the size.
        formula_model(
            "scene_text",
            tensors(
                2,
                "input_images:0 FP32 -1,-1,3",
                "feature_fusion/Conv_7/Sigmoid:0 FP32 -1,-1,1; feature_fusion/concat_3:0 FP32 -1,-1,5",
            ),
            **{
                "feature_fusion/Conv_7/Sigmoid:0": "inputs['input_images:0'][:, ::2, ::2, :1]",
                "feature_fusion/concat_3:0": "inputs['input_images:0'][:, ::2, ::2, :1] * np.arange(5)",
            },
        ),
        "INPUT (image FLOAT[3][][]) "
        "OUTPUT (`feature_fusion/Conv_7/Sigmoid:0` FLOAT[][], `feature_fusion/concat_3:0` FLOAT[5][][])",
        "select i as id, list_transform(range(2 * i), lambda r: list_transform(range(4), lambda c: [i, 1, 1])) as x "
        "from range(1, 4) t(i)",
        [([[float(i)] * 2] * i, [[tuple(float(i * k) for k in range(5))] * 2] * i) for i in (1, 2, 3)],
    ),
    Interface(
        # As many faces as were found, none in the first picture.
        formula_model(
            "faces_with_landmarks",
            tensors(1, "input.1 FP32 3,4", "num_dets INT32 1; 448 FP32 -1,4; 471 FP32 -1; 451 FP32 -1,5,2"),
            num_dets="inputs['input.1'][:, 0, :1] - 1",
            **{
                "448": "np.ones((1, int(inputs['input.1'][0, 0, 0]) - 1, 4))",
                "471": "np.arange(int(inputs['input.1'][0, 0, 0]) - 1)[None]",
                "451": "np.ones((1, int(inputs['input.1'][0, 0, 0]) - 1, 5, 2))",
            },
        ),
        "INPUT (image FLOAT[4][3]) OUTPUT (num_dets INT, `448` FLOAT[4][], `471` FLOAT[], `451` FLOAT[2][5][])",
        "select i as id, [[i, i, i, i] for _ in range(3)] as x from range(1, 4) t(i)",
        [
            (i - 1, [(1.0,) * 4] * (i - 1), [float(k) for k in range(i - 1)], [((1.0, 1.0),) * 5] * (i - 1))
            for i in (1, 2, 3)
        ],
    ),
    Interface(
        # Points of any number, of which the first row has none, and their number as a scalar.
        formula_model(
            "point_cloud",
            "max_batch_size: 4\n"
            'input { name: "points" data_type: TYPE_FP32 dims: [ -1, 4 ] }\n'
            'input { name: "num_points" data_type: TYPE_INT32 dims: [ 1 ] reshape { shape: [ ] } }\n'
            'output { name: "boxes" data_type: TYPE_FP32 dims: [ 2, 3 ] }\n'
            'output { name: "num_boxes" data_type: TYPE_INT32 dims: [ 1 ] reshape { shape: [ ] } }\n',
            boxes="points.sum((1, 2))[:, None, None] * np.ones((1, 2, 3))",
            num_boxes="num_points + 10 * points.shape[1]",
        ),
        "INPUT (points FLOAT[4][], num_points INT) OUTPUT (boxes FLOAT[3][2], num_boxes INT)",
        "select i as id, list_transform(range(i - 1), lambda j: [1, 2, 3, 4]) as p, i - 1 as n from range(1, 4) t(i)",
        [(((10.0 * n,) * 3,) * 2, 11 * n) for n in (0, 1, 2)],
    ),
    Interface(
        # The same with rows filled up: none becomes two points of zeros.
        formula_model(
            "point_cloud_padded",
            tensors(4, "points FP32 -1,4; valid BOOL -1", "total FP32 1; slots INT32 1; kept FP32 -1,4"),
            total="(points * valid[:, :, None]).sum((1, 2))[:, None]",
            slots="np.full((len(points), 1), valid.sum(1, keepdims=True))",
            kept="points + 1",
        ),
        "INPUT (points FLOAT[4][]) OUTPUT (total FLOAT, slots INT, kept FLOAT[4][])",
        "select i as id, list_transform(range(i - 1), lambda j: [1, 2, 3, 4]) as p from range(1, 4) t(i)",
        [(10.0 * n, n, [(2.0, 3.0, 4.0, 5.0)] * n) for n in (0, 1, 2)],
        {"pad": "0", "mask.valid": "points"},
    ),
    Interface(
        # The cache of a decoder has no entries at the first step; its empty axis is not the last one.
        formula_model(
            "decoder_cache",
            tensors(
                0,
                "input_ids INT32 -1,-1; past_key_values.0.key FP32 -1,2,-1,2; use_cache INT32 1",
                "logits FP32 -1,-1,3; present.0.key FP32 -1,2,-1,2",
            ),
            logits="input_ids[:, :, None] * np.arange(3)",
            **{"present.0.key": "np.concatenate([inputs['past_key_values.0.key'], np.ones((1, 2, 1, 2))], 2)"},
        ),
        "INPUT (input_ids INT[], past FLOAT[2][][2], use_cache INT) "
        "OUTPUT (logits FLOAT[][], `present.0.key` FLOAT[2][][2])",
        "select i as id, list_transform(range(i), lambda j: 11 + j) as ids, "
        "[list_transform(range(i - 1), lambda j: [0, 0]), list_transform(range(i - 1), lambda j: [0, 0])] as past, "
        "1 as use_cache "
        "from range(1, 4) t(i)",
        [
            ([[float(token * k) for k in range(3)] for token in row], ([(0.0, 0.0)] * i + [(1.0, 1.0)],) * 2)
            for i, row in enumerate(_TOKEN_ROWS)
        ],
        {"tensor.past": "past_key_values.0.key"},
    ),
    Interface(
        # Texts to be avoided are optional: none is no list, and an empty list is one.
        formula_model(
            "llm_preprocessing",
            tensors(
                8,
                "QUERY BYTES 1; BAD_WORDS BYTES -1 optional; END_ID INT32 1 optional; PROMPT_TABLE FP16 -1,-1 optional",
                "INPUT_ID INT32 -1; REQUEST_INPUT_LEN INT32 1; BAD_WORDS_IDS INT32 2,-1; OUT_END_ID INT32 1",
            ),
            INPUT_ID="np.array([list(text) for text in QUERY.ravel()])",
            REQUEST_INPUT_LEN="np.array([[len(text)] for text in QUERY.ravel()])",
            BAD_WORDS_IDS="np.zeros((len(QUERY), 2, 0 if BAD_WORDS is None else BAD_WORDS.shape[1]))",
            OUT_END_ID="np.full((len(QUERY), 1), -1) if END_ID is None else END_ID",
        ),
        "INPUT (query STRING, bad_words STRING[], end_id INT) "
        "OUTPUT (input_id INT[], request_input_len INT, bad_words_ids INT[][2], out_end_id INT)",
        "select i as id, 'aa' as query, case i when 2 then ['x', 'y'] when 3 then [] end::varchar[] as bad, "
        "case when i = 3 then 7 end as e from range(1, 4) t(i)",
        [([97, 97], 2, ([0] * bad,) * 2, end) for bad, end in ((0, -1), (2, -1), (0, 7))],
    ),
    Interface(
        # The mask in halves, the batch in the model's own first axis, one number a token with an axis of its own.
        formula_model(
            "half_precision_mask",
            tensors(0, "input_ids INT64 -1,-1; attention_mask FP16 -1,-1", "logits FP16 -1,-1,1"),
            logits="(input_ids * attention_mask)[:, :, None]",
        ),
        "INPUT (input_ids BIGINT[]) OUTPUT (logits FLOAT[])",
        _TOKENS,
        [([float(token) for token in row],) for row in _TOKEN_ROWS],
        {"batch-dim": "true", "pad": "0", "mask.attention_mask": "input_ids"},
    ),
    Interface(
        # Any number of documents a query, none too.
        formula_model(
            "rerank_documents",
            tensors(4, "query BYTES 1; documents BYTES -1", "scores FP32 -1; best BYTES 1"),
            scores="[[len(q[0]) + len(text) for text in texts] for q, texts in zip(query, documents)]",
            best="np.array([[max(texts, key=len, default=b'')] for texts in documents], dtype=object)",
        ),
        "INPUT (query STRING, documents STRING[]) OUTPUT (scores FLOAT[], best STRING)",
        "select i as id, 'q' as query, ['', 'é', 'abc'][1:i - 1] as documents from range(1, 4) t(i)",
        [([], ""), ([1.0], ""), ([1.0, 3.0], "é")],
    ),
    Interface(
        # Frames of features, in columns of frames, and as many outputs for half of them.
        formula_model(
            "conformer",
            tensors(0, "audio_signal FP32 -1,2,-1; length INT64 -1", "outputs FP32 -1,3,-1; encoded_lengths INT64 -1"),
            outputs="audio_signal[:, :1, ::2] * np.ones((1, 3, 1))",
            encoded_lengths="(length + 1) // 2",
        ),
        "INPUT (audio_signal FLOAT[][2], length BIGINT) OUTPUT (outputs FLOAT[][3], encoded_lengths BIGINT)",
        "select i as id, [list_transform(range(i), lambda j: j) for _ in range(2)] as signal, i as n "
        "from range(1, 4) t(i)",
        [(([float(k) for k in range(0, i, 2)],) * 3, (i + 1) // 2) for i in (1, 2, 3)],
        {"batch-dim": "true"},
    ),
    Interface(
        formula_model(
            "medical_volume",
            tensors(2, "volume FP32 1,-1,-1,-1", "segmentation INT32 2,-1,-1,-1; dice FP32 1"),
            segmentation="np.concatenate([volume, volume + 1], 1)",
            dice="volume.mean((1, 2, 3, 4))[:, None]",
        ),
        "INPUT (volume FLOAT[][][]) OUTPUT (segmentation INT[][][][], dice FLOAT)",
        "select i as id, list_transform(range(i), lambda d: [[i, i], [i, i], [i, i]]) as v from range(1, 4) t(i)",
        [(np.stack([np.full((i, 3, 2), i), np.full((i, 3, 2), i + 1)]).tolist(), float(i)) for i in (1, 2, 3)],
    ),
    Interface(
        # Missing numbers are NaN; a history that is missing as a whole is left out.
        formula_model(
            "forecast_with_covariates",
            tensors(8, "past FP64 -1; covariates FP64 -1,2 optional; level FP64 1", "mean FP64 2; given BOOL 1"),
            mean="np.nansum(past, 1)[:, None] + np.nan_to_num(level) * np.ones((1, 2))"
            " + (1000 if covariates is None else np.nansum(covariates, (1, 2))[:, None])",
            given="np.full((len(past), 1), covariates is not None)",
        ),
        "INPUT (past DOUBLE[], covariates DOUBLE[2][], level DOUBLE) OUTPUT (mean DOUBLE[2], given BOOLEAN)",
        "select i as id, [1, null, i] as past, case i when 1 then [[1, null]] when 2 then [] end as covariates, "
        "case when i <> 2 then 0.5 end as level from range(1, 4) t(i)",
        [((3.5,) * 2, True), ((3.0,) * 2, True), ((1004.5,) * 2, False)],
        {"null-as": "nan"},
    ),
]
