"""The interfaces of models that people deploy, in small: names, datatypes and axes are theirs, the lengths are not.

Each is served as a formula of its inputs, so that what comes back can be foreseen to the bit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from support.formulas import FormulaModel


@dataclass(frozen=True)
class Interface:
    """One interface, the statement that a user writes for it, and what must come back.

    Args:
        model: what is served.
        schema: ``INPUT (…) OUTPUT (…)``.
        rows: a query with the column ``id`` and one column for each INPUT column.
        expected: for each row, in the order of ``id``, the OUTPUT columns.
        options: of the inference model.
        before: models that this one needs.
    """

    model: FormulaModel
    schema: str
    rows: str
    expected: list[tuple[object, ...]]
    options: Mapping[str, str] = field(default_factory=dict)
    before: tuple[FormulaModel, ...] = ()


def tensors(batch: int, inputs: str, outputs: str) -> str:
    """Return the text of a config; ``inputs`` and ``outputs`` are such as ``images FP32 3,8,8; size INT64 2``."""
    config = f"max_batch_size: {batch}\n"
    for kind, text in (("input", inputs), ("output", outputs)):
        for tensor in text.split(";"):
            name, datatype, dims, *rest = tensor.split()
            optional = " optional: true" if rest == ["optional"] else ""
            datatype = "STRING" if datatype == "BYTES" else datatype
            config += f'{kind} {{ name: "{name}" data_type: TYPE_{datatype} dims: [ {dims} ]{optional} }}\n'
    return config


def _model(name: str, config: str, **formulas: str) -> FormulaModel:
    return FormulaModel(name, config, formulas)


def _floats(array: object) -> object:
    """Return nested lists."""
    return np.asarray(array, dtype=np.float32).tolist()


#: Three pictures, 3 x 4 x 4, of one colour each: 1, 2, 3.
_PICTURES = "select i as id, list_value({row}, {row}, {row}) as x from range(1, 4) t(i)".format(
    row="list_transform(range(4), lambda _: [i, i, i, i]::float[])"
)
#: Three texts of tokens, of unequal length: [11], [11, 12], [11, 12, 13].
_TOKENS = "select i as id, list_transform(range(i), lambda j: 11 + j) as ids from range(1, 4) t(i)"
_TOKEN_ROWS = [[11], [11, 12], [11, 12, 13]]
_MASKED = _TOKENS.replace(" as ids", " as ids, list_transform(range(i), lambda j: 1) as mask")
_TYPED = _TOKENS.replace(
    " as ids", " as ids, list_transform(range(i), lambda j: 1) as mask, list_transform(range(i), lambda j: 0) as types"
)

INTERFACES = {
    interface.model.name: interface
    for interface in [
        Interface(
            _model(
                "yolov8",
                tensors(8, "images FP32 3,4,4", "output0 FP32 6,5"),
                output0="images[:, :1, 0, 0, None] * np.arange(30).reshape(6, 5)",
            ),
            "INPUT (images FLOAT[][][]) OUTPUT (boxes FLOAT[][])",
            _PICTURES,
            [(_floats(i * np.arange(30).reshape(6, 5)),) for i in (1, 2, 3)],
        ),
        Interface(
            # As many rows as were found: one request a picture.
            _model(
                "yolov7_end2end",
                tensors(0, "images FP32 -1,3,4,4", "output FP32 -1,7"),
                output="np.arange(7)[None] + np.arange(images[0, 0, 0, 0] - 1)[:, None]",
            ),
            "INPUT (images FLOAT[][][]) OUTPUT (output FLOAT[7][])",
            _PICTURES,
            [([tuple(float(k + n) for k in range(7)) for n in range(found)],) for found in (0, 1, 2)],
        ),
        Interface(
            _model(
                "efficientnms",
                tensors(
                    8,
                    "images FP32 3,4,4",
                    "num_dets INT32 1; det_boxes FP32 3,4; det_scores FP32 3; det_classes INT32 3",
                ),
                num_dets="images[:, 0, 0, :1]",
                det_boxes="images[:, :1, :1, 0] * np.arange(12).reshape(3, 4)",
                det_scores="images[:, 0, :1, 0] / [2, 4, 8]",
                det_classes="images[:, 0, :1, 0] + np.arange(3)",
            ),
            "INPUT (images FLOAT[][][]) "
            "OUTPUT (num_dets INT, det_boxes FLOAT[4][3], det_scores FLOAT[], det_classes INT[3])",
            _PICTURES,
            [
                (
                    i,
                    tuple(tuple(float(i * (4 * row + k)) for k in range(4)) for row in range(3)),
                    [i / 2, i / 4, i / 8],
                    (i, i + 1, i + 2),
                )
                for i in (1, 2, 3)
            ],
        ),
        Interface(
            # Pictures of unequal size, with a mask, and the size that boxes are scaled to.
            _model(
                "detr",
                tensors(
                    4,
                    "pixel_values FP32 3,-1,-1; pixel_mask INT64 -1,-1; orig_size INT64 2",
                    "logits FP32 2,3; pred_boxes FP32 2,4",
                ),
                logits="pixel_values.sum((1, 2, 3))[:, None, None] + np.arange(6).reshape(2, 3)",
                pred_boxes="np.tile(orig_size, 2)[:, None, :] * np.ones((1, 2, 1))",
            ),
            "INPUT (pixel_values FLOAT[][][], pixel_mask BIGINT[][], orig_size BIGINT[2]) "
            "OUTPUT (logits FLOAT[][], pred_boxes FLOAT[][])",
            "select i as id, list_transform(range(3), lambda c: list_transform(range(i), lambda r: [1.0, 1.0])) as x, "
            "list_transform(range(i), lambda r: [1, 1]) as mask, [i, 2]::bigint[2] as size from range(1, 4) t(i)",
            [(_floats(6 * i + np.arange(6).reshape(2, 3)), [[i, 2.0, i, 2.0]] * 2) for i in (1, 2, 3)],
        ),
        Interface(
            _model(
                "pose",
                tensors(8, "input FP32 3,4,4", "keypoints FP32 5,3"),
                keypoints="input[:, :1, :1, 0] * np.ones((5, 3))",
            ),
            "INPUT (image FLOAT[][][]) OUTPUT (keypoints FLOAT[3][5])",
            _PICTURES,
            [(((float(i),) * 3,) * 5,) for i in (1, 2, 3)],
        ),
        Interface(
            # Height, width, channels as bytes, as a camera gives them.
            _model(
                "tf_mobilenet",
                tensors(8, "serving_default_input:0 UINT8 2,2,3", "StatefulPartitionedCall:0 FP32 4"),
                **{"StatefulPartitionedCall:0": "inputs['serving_default_input:0'][:, 0, 0, :1] * np.arange(4)"},
            ),
            "INPUT (pixels BLOB) OUTPUT (scores FLOAT[4])",
            "select i as id, repeat(chr(i::int), 12)::blob as pixels from range(1, 4) t(i)",
            [(tuple(float(i * k) for k in range(4)),) for i in (1, 2, 3)],
        ),
        Interface(
            _model(
                "segmentation_mask",
                tensors(8, "image FP32 3,4,4", "mask UINT8 4,4"),
                mask="np.minimum(image[:, 0], 2)",
            ),
            "INPUT (image FLOAT[][][]) OUTPUT (mask BLOB)",
            _PICTURES,
            [(bytes([min(i, 2)] * 16),) for i in (1, 2, 3)],
        ),
        Interface(
            _model(
                "segmentation_logits",
                tensors(8, "image FP32 3,-1,-1", "out FP32 2,-1,-1; aux FP32 2,-1,-1"),
                out="image[:, :2] * 2",
                aux="image[:, :2] * 3",
            ),
            "INPUT (image FLOAT[][][]) OUTPUT (out FLOAT[][][])",
            "select i as id, list_transform(range(3), lambda c: list_transform(range(i), lambda r: [1.0, 2.0])) as x "
            "from range(1, 4) t(i)",
            [([[[2.0, 4.0]] * i] * 2,) for i in (1, 2, 3)],
        ),
        Interface(
            _model(
                "video",
                tensors(2, "frames FP32 2,3,4,4", "logits FP32 3"),
                logits="frames.sum((1, 2, 3, 4))[:, None] * np.arange(3)",
            ),
            "INPUT (frames FLOAT[][][][]) OUTPUT (logits FLOAT[3])",
            f"select id, [x, x] as frames from ({_PICTURES})",
            [((0.0, 96.0 * i, 192.0 * i),) for i in (1, 2, 3)],
        ),
        Interface(
            _model(
                "bert_classifier",
                tensors(
                    8,
                    "input_ids INT64 -1; attention_mask INT64 -1; token_type_ids INT64 -1",
                    "logits FP32 2",
                ),
                logits="np.stack([(input_ids * attention_mask).sum(1), token_type_ids.sum(1)], 1)",
            ),
            "INPUT (input_ids BIGINT[], attention_mask BIGINT[], token_type_ids BIGINT[]) OUTPUT (logits FLOAT[2])",
            _TYPED,
            [((float(sum(row)), 0.0),) for row in _TOKEN_ROWS],
        ),
        Interface(
            _model(
                "ner",
                tensors(8, "input_ids INT64 -1; attention_mask INT64 -1", "logits FP32 -1,3"),
                logits="(input_ids * attention_mask)[:, :, None] + np.arange(3)",
            ),
            "INPUT (input_ids BIGINT[], attention_mask BIGINT[]) OUTPUT (logits FLOAT[][])",
            _MASKED,
            [([[float(token + k) for k in range(3)] for token in row],) for row in _TOKEN_ROWS],
        ),
        Interface(
            _model(
                "question_answering",
                tensors(8, "input_ids INT32 -1; attention_mask INT32 -1", "start_logits FP32 -1; end_logits FP32 -1"),
                start_logits="input_ids",
                end_logits="input_ids + attention_mask",
            ),
            "INPUT (input_ids INT[], attention_mask INT[]) OUTPUT (start_logits FLOAT[], end_logits FLOAT[])",
            _MASKED,
            [(_floats(row), _floats(np.array(row) + 1)) for row in _TOKEN_ROWS],
        ),
        Interface(
            # An ensemble: the text is cut into tokens on the server.
            FormulaModel(
                "sentence_ensemble",
                tensors(8, "TEXT BYTES 1", "embedding FP32 4") + 'platform: "ensemble"\nensemble_scheduling { step [ '
                '{ model_name: "sentence_tokenizer" model_version: -1 '
                'input_map { key: "TEXT" value: "TEXT" } '
                'output_map [ { key: "input_ids" value: "ids" }, { key: "attention_mask" value: "mask" } ] }, '
                '{ model_name: "sentence_encoder" model_version: -1 '
                'input_map [ { key: "input_ids" value: "ids" }, { key: "attention_mask" value: "mask" } ] '
                'output_map { key: "sentence_embedding" value: "embedding" } } ] }\n',
            ),
            "INPUT (text STRING) OUTPUT (embedding FLOAT[4])",
            "select i as id, repeat('é', i::int) as text from range(1, 4) t(i)",
            [(tuple(float(2 * i * k) for k in range(4)),) for i in (1, 2, 3)],
            before=(
                _model(
                    "sentence_tokenizer",
                    tensors(8, "TEXT BYTES 1", "input_ids INT64 -1; attention_mask INT64 -1"),
                    input_ids="np.array([[len(text)] * 2 for text in TEXT.ravel()])",
                    attention_mask="np.array([[1, 0] for text in TEXT.ravel()])",
                ),
                _model(
                    "sentence_encoder",
                    tensors(8, "input_ids INT64 -1; attention_mask INT64 -1", "sentence_embedding FP32 4"),
                    sentence_embedding="(input_ids * attention_mask).sum(1)[:, None] * np.arange(4)",
                ),
            ),
        ),
        Interface(
            # One model asks another (business logic scripting).
            _model(
                "text_embedder_bls",
                tensors(8, "TEXT BYTES 1", "EMBEDDING FP16 3"),
                EMBEDDING="call('text_lengths', 'LENGTH', TEXT=TEXT) * [[1, 2, 0.5]]",
            ),
            "INPUT (text STRING) OUTPUT (embedding FLOAT[3])",
            "select i as id, repeat('a', i::int) as text from range(1, 4) t(i)",
            [((float(i), 2.0 * i, i / 2),) for i in (1, 2, 3)],
            before=(
                _model(
                    "text_lengths",
                    tensors(8, "TEXT BYTES 1", "LENGTH INT32 1"),
                    LENGTH="[[len(text)] for text in TEXT.ravel()]",
                ),
            ),
        ),
        Interface(
            _model(
                "late_interaction",
                tensors(8, "input_ids INT64 -1", "token_embeddings FP32 -1,2; sentence_embedding FP32 1,2"),
                token_embeddings="input_ids[:, :, None] * [[[1, 2]]]",
                sentence_embedding="input_ids.sum(1)[:, None, None] * [[[1, 2]]]",
            ),
            "INPUT (input_ids BIGINT[]) OUTPUT (token_embeddings FLOAT[2][], sentence_embedding FLOAT[2])",
            _TOKENS,
            [
                ([(float(token), 2.0 * token) for token in row], (float(sum(row)), 2.0 * sum(row)))
                for row in _TOKEN_ROWS
            ],
        ),
        Interface(
            _model(
                "reranker",
                tensors(8, "QUERY BYTES 1; PASSAGE BYTES 1", "SCORE FP32 1"),
                SCORE="np.array([[len(q) + len(p) / 4] for q, p in zip(QUERY.ravel(), PASSAGE.ravel())])",
            ),
            "INPUT (query STRING, passage STRING) OUTPUT (score FLOAT)",
            "select i as id, repeat('q', i::int) as q, 'aé' as p from range(1, 4) t(i)",
            [(i + 0.75,) for i in (1, 2, 3)],
        ),
        Interface(
            _model(
                "fil_xgboost",
                tensors(64, "input__0 FP32 4", "output__0 FP32 1"),
                output__0="np.nansum(input__0, 1)[:, None]",
            ),
            "INPUT (features FLOAT[4]) OUTPUT (score FLOAT)",
            "select i as id, [i, 0.5, 2, 'nan'::float]::float[4] as features from range(1, 4) t(i)",
            [(i + 2.5,) for i in (1, 2, 3)],
        ),
        Interface(
            _model(
                "fil_lightgbm",
                tensors(64, "input__0 FP32 2", "output__0 FP32 2"),
                output__0="np.stack([input__0[:, 0], 1 - input__0[:, 0]], 1)",
            ),
            "INPUT (features FLOAT[2]) OUTPUT (probabilities FLOAT[2])",
            "select i as id, [i / 4, 0]::float[2] as features from range(1, 4) t(i)",
            [((i / 4, 1 - i / 4),) for i in (1, 2, 3)],
        ),
        Interface(
            # As skl2onnx exports it: the batch is the model's own first axis, and the label has no other.
            _model(
                "sklearn_onnx",
                tensors(0, "float_input FP32 -1,2", "output_label INT64 -1; output_probability FP32 -1,2"),
                output_label="float_input.argmax(1)",
                output_probability="float_input",
            ),
            "INPUT (features FLOAT[2]) OUTPUT (output_label BIGINT, output_probability FLOAT[2])",
            "select i as id, [i / 4, 0.5]::float[2] as features from range(1, 4) t(i)",
            [(1, (0.25, 0.5)), (0, (0.5, 0.5)), (0, (0.75, 0.5))],
            {"batch-dim": "true"},
        ),
        Interface(
            # Exported for one picture at a time.
            _model(
                "onnx_static_batch",
                tensors(0, "input FP32 1,3,4,4", "output FP32 1,3"),
                output="input[:, :1, 0, 0] * np.arange(3)",
            ),
            "INPUT (input FLOAT[][][]) OUTPUT (output FLOAT[3])",
            _PICTURES,
            [((0.0, float(i), 2.0 * i),) for i in (1, 2, 3)],
        ),
        Interface(
            _model(
                "recommender_forty_inputs",
                tensors(
                    64,
                    "; ".join(f"feature_{n} {('INT64', 'FP32', 'BYTES', 'BOOL')[n % 4]} 1" for n in range(40)),
                    "click FP32 1",
                ),
                click=" + ".join(
                    f"np.array(feature_{n}, dtype=np.float32)" if n % 4 != 2 else f"feature_{n}.astype(np.float32)"
                    for n in range(40)
                ),
            ),
            "INPUT ({}) OUTPUT (click FLOAT)".format(
                ", ".join(f"feature_{n} {('BIGINT', 'FLOAT', 'STRING', 'BOOLEAN')[n % 4]}" for n in range(40))
            ),
            "select i as id, {} from range(1, 4) t(i)".format(
                ", ".join(
                    ("i + {0} as f{0}", "i / 2 as f{0}", "cast(i as varchar) as f{0}", "i = 1 as f{0}")[n % 4].format(n)
                    for n in range(40)
                )
            ),
            [(sum(i + n for n in range(0, 40, 4)) + 5.0 * i + 10.0 * i + 10.0 * (i == 1),) for i in (1, 2, 3)],
        ),
        Interface(
            _model(
                "dlrm",
                tensors(64, "dense_x FP32 3; sparse_x INT64 2", "prediction FP32 1"),
                prediction="dense_x.sum(1, keepdims=True) + sparse_x.sum(1, keepdims=True)",
            ),
            "INPUT (dense_x FLOAT[3], sparse_x BIGINT[2]) OUTPUT (prediction FLOAT)",
            "select i as id, [i, 0.5, 0]::float[3] as d, [i, 7] as s from range(1, 4) t(i)",
            [(2 * i + 7.5,) for i in (1, 2, 3)],
        ),
        Interface(
            # What is not declared is not sent.
            _model(
                "two_tower_optional",
                tensors(8, "user_id INT64 1; item_id INT64 1; country BYTES 1 optional", "score FP32 1"),
                score="user_id + item_id + (100 if country is None else 0)",
            ),
            "INPUT (user_id BIGINT, item_id BIGINT) OUTPUT (score FLOAT)",
            "select i as id, i as u, 10 * i as v from range(1, 4) t(i)",
            [(11.0 * i + 100,) for i in (1, 2, 3)],
        ),
        Interface(
            _model(
                "whisper_encoder",
                tensors(4, "input_features FP32 4,6", "last_hidden_state FP32 3,2"),
                last_hidden_state="input_features[:, :3, :2] * 2",
            ),
            "INPUT (input_features FLOAT[6][4]) OUTPUT (last_hidden_state FLOAT[2][3])",
            "select i as id, [[i, i, i, i, i, i], [1, 1, 1, 1, 1, 1], [2, 2, 2, 2, 2, 2], [3, 3, 3, 3, 3, 3]]"
            "::float[6][4] as f from range(1, 4) t(i)",
            [(((2.0 * i, 2.0 * i), (2.0, 2.0), (4.0, 4.0)),) for i in (1, 2, 3)],
        ),
        Interface(
            # Sound of any length, with its length in another tensor; a text comes back.
            _model(
                "speech_to_text",
                tensors(1, "WAV FP32 -1; WAV_LENS INT32 1", "TRANSCRIPTS BYTES 1"),
                TRANSCRIPTS="np.array([[f'{int(w.sum())} in {n[0]}'.encode()] for w, n in zip(WAV, WAV_LENS)], object)",
            ),
            "INPUT (wav FLOAT[], wav_lens INT) OUTPUT (transcripts STRING)",
            "select i as id, list_transform(range(i), lambda j: 2.0) as wav, i as n from range(1, 4) t(i)",
            [(f"{2 * i} in {i}",) for i in (1, 2, 3)],
        ),
        Interface(
            # Fewer frames than samples: the open axis of the output is not the input's.
            _model(
                "wav2vec_ctc",
                tensors(4, "input_values FP32 -1", "logits FP32 -1,2"),
                logits="input_values[:, ::2, None] * [[[1, 2]]]",
            ),
            "INPUT (input_values FLOAT[]) OUTPUT (logits FLOAT[][])",
            "select i as id, list_transform(range(2 * i), lambda j: j) as x from range(1, 4) t(i)",
            [([[2.0 * k, 4.0 * k] for k in range(i)],) for i in (1, 2, 3)],
        ),
        Interface(
            # As many texts as the page has; each request has one page.
            _model(
                "ocr",
                tensors(1, "image BYTES 1", "rec_texts BYTES -1; rec_scores FP32 -1; det_boxes INT32 -1,4,2"),
                rec_texts="np.array([image[0, 0].split()], dtype=object)",
                rec_scores="[[len(word) / 4 for word in image[0, 0].split()]]",
                det_boxes="[[[[n, n]] * 4 for n, _ in enumerate(image[0, 0].split())]]",
            ),
            "INPUT (image BLOB) OUTPUT (rec_texts STRING[], rec_scores FLOAT[], det_boxes INT[2][4][])",
            "select i as id, encode(array_to_string(['one', 'two', 'three'][1:i], ' ')) as page from range(1, 4) t(i)",
            [
                (
                    ["one", "two", "three"][:i],
                    [0.75, 0.75, 1.25][:i],
                    [((n, n),) * 4 for n in range(i)],
                )
                for i in (1, 2, 3)
            ],
        ),
        Interface(
            _model(
                "clip",
                tensors(
                    8,
                    "input_ids INT32 3; pixel_values FP32 3,4,4",
                    "logits_per_image FP32 1; text_embeds FP32 2; image_embeds FP32 2",
                ),
                logits_per_image="input_ids.sum(1, keepdims=True) + pixel_values[:, :1, 0, 0]",
                text_embeds="input_ids[:, :2]",
                image_embeds="pixel_values[:, :2, 0, 0]",
            ),
            "INPUT (input_ids INT[3], pixel_values FLOAT[][][]) "
            "OUTPUT (similarity FLOAT, text_embeds FLOAT[2], image_embeds FLOAT[2])",
            f"select id, [1, 2, 3] as ids, x from ({_PICTURES})",
            [(6.0 + i, (1.0, 2.0), (float(i), float(i))) for i in (1, 2, 3)],
            {"tensor.similarity": "logits_per_image"},
        ),
        Interface(
            _model(
                "forecast",
                tensors(8, "past_values FP32 -1,2; horizon INT32 1", "mean FP32 3; quantiles FP32 3,2"),
                mean="past_values.mean((1, 2))[:, None] + np.arange(3)",
                quantiles="past_values.mean((1, 2))[:, None, None] + np.arange(6).reshape(3, 2)",
            ),
            "INPUT (past_values FLOAT[2][], horizon INT) OUTPUT (mean FLOAT[], quantiles FLOAT[2][3])",
            "select i as id, list_transform(range(i), lambda j: [i, i]) as past, 3 as h from range(1, 4) t(i)",
            [([i, i + 1.0, i + 2.0], ((i, i + 1.0), (i + 2.0, i + 3.0), (i + 4.0, i + 5.0))) for i in (1.0, 2.0, 3.0)],
        ),
        Interface(
            _model(
                "anomaly_scalar",
                "max_batch_size: 64\n"
                'input { name: "reading" data_type: TYPE_FP64 dims: [ 1 ] reshape { shape: [ ] } }\n'
                'output { name: "is_anomaly" data_type: TYPE_BOOL dims: [ 1 ] reshape { shape: [ ] } }\n'
                'output { name: "severity" data_type: TYPE_INT8 dims: [ 1 ] reshape { shape: [ ] } }\n',
                is_anomaly="reading > 1",
                severity="reading * 10",
            ),
            "INPUT (reading DOUBLE) OUTPUT (is_anomaly BOOLEAN, severity TINYINT)",
            "select i as id, i as x from range(1, 4) t(i)",
            [(i > 1, 10 * i) for i in (1, 2, 3)],
        ),
        Interface(
            # A request in JSON, an answer in JSON, as many Python models have it.
            _model(
                "json_service",
                tensors(8, "REQUEST BYTES 1", "RESPONSE BYTES 1"),
                RESPONSE="np.array([[b'{\"echo\": ' + text + b'}'] for text in REQUEST.ravel()], dtype=object)",
            ),
            "INPUT (request JSON) OUTPUT (response JSON)",
            "select i as id, to_json({'n': i}) as r from range(1, 4) t(i)",
            [(f'{{"echo": {{"n":{i}}}}}',) for i in (1, 2, 3)],
        ),
    ]
}
