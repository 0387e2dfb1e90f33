"""Texts and their tokens: classes, entities, answers, embeddings."""

from __future__ import annotations

import numpy as np

from support.formulas import FormulaModel
from support.interfaces.interface import Interface, floats, formula_model, tensors

#: Three texts of tokens, of unequal length: [11], [11, 12], [11, 12, 13].
_TOKENS = "select i as id, list_transform(range(i), lambda j: 11 + j) as ids from range(1, 4) t(i)"
_TOKEN_ROWS = [[11], [11, 12], [11, 12, 13]]
_MASKED = _TOKENS.replace(" as ids", " as ids, list_transform(range(i), lambda j: 1) as mask")
_TYPED = _TOKENS.replace(
    " as ids", " as ids, list_transform(range(i), lambda j: 1) as mask, list_transform(range(i), lambda j: 0) as types"
)

TEXT = [
    Interface(
        formula_model(
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
        formula_model(
            "ner",
            tensors(8, "input_ids INT64 -1; attention_mask INT64 -1", "logits FP32 -1,3"),
            logits="(input_ids * attention_mask)[:, :, None] + np.arange(3)",
        ),
        "INPUT (input_ids BIGINT[], attention_mask BIGINT[]) OUTPUT (logits FLOAT[][])",
        _MASKED,
        [([[float(token + k) for k in range(3)] for token in row],) for row in _TOKEN_ROWS],
    ),
    Interface(
        formula_model(
            "question_answering",
            tensors(8, "input_ids INT32 -1; attention_mask INT32 -1", "start_logits FP32 -1; end_logits FP32 -1"),
            start_logits="input_ids",
            end_logits="input_ids + attention_mask",
        ),
        "INPUT (input_ids INT[], attention_mask INT[]) OUTPUT (start_logits FLOAT[], end_logits FLOAT[])",
        _MASKED,
        [(floats(row), floats(np.array(row) + 1)) for row in _TOKEN_ROWS],
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
            formula_model(
                "sentence_tokenizer",
                tensors(8, "TEXT BYTES 1", "input_ids INT64 -1; attention_mask INT64 -1"),
                input_ids="np.array([[len(text)] * 2 for text in TEXT.ravel()])",
                attention_mask="np.array([[1, 0] for text in TEXT.ravel()])",
            ),
            formula_model(
                "sentence_encoder",
                tensors(8, "input_ids INT64 -1; attention_mask INT64 -1", "sentence_embedding FP32 4"),
                sentence_embedding="(input_ids * attention_mask).sum(1)[:, None] * np.arange(4)",
            ),
        ),
    ),
    Interface(
        # One model asks another (business logic scripting).
        formula_model(
            "text_embedder_bls",
            tensors(8, "TEXT BYTES 1", "EMBEDDING FP16 3"),
            EMBEDDING="call('text_lengths', 'LENGTH', TEXT=TEXT) * [[1, 2, 0.5]]",
        ),
        "INPUT (text STRING) OUTPUT (embedding FLOAT[3])",
        "select i as id, repeat('a', i::int) as text from range(1, 4) t(i)",
        [((float(i), 2.0 * i, i / 2),) for i in (1, 2, 3)],
        before=(
            formula_model(
                "text_lengths",
                tensors(8, "TEXT BYTES 1", "LENGTH INT32 1"),
                LENGTH="[[len(text)] for text in TEXT.ravel()]",
            ),
        ),
    ),
    Interface(
        formula_model(
            "late_interaction",
            tensors(8, "input_ids INT64 -1", "token_embeddings FP32 -1,2; sentence_embedding FP32 1,2"),
            token_embeddings="input_ids[:, :, None] * [[[1, 2]]]",  # noqa: S106 - tokens of a text
            sentence_embedding="input_ids.sum(1)[:, None, None] * [[[1, 2]]]",
        ),
        "INPUT (input_ids BIGINT[]) OUTPUT (token_embeddings FLOAT[2][], sentence_embedding FLOAT[2])",
        _TOKENS,
        [([(float(token), 2.0 * token) for token in row], (float(sum(row)), 2.0 * sum(row))) for row in _TOKEN_ROWS],
    ),
    Interface(
        formula_model(
            "reranker",
            tensors(8, "QUERY BYTES 1; PASSAGE BYTES 1", "SCORE FP32 1"),
            SCORE="np.array([[len(q) + len(p) / 4] for q, p in zip(QUERY.ravel(), PASSAGE.ravel())])",
        ),
        "INPUT (query STRING, passage STRING) OUTPUT (score FLOAT)",
        "select i as id, repeat('q', i::int) as q, 'aé' as p from range(1, 4) t(i)",
        [(i + 0.75,) for i in (1, 2, 3)],
    ),
    Interface(
        # A request in JSON, an answer in JSON, as many Python models have it.
        formula_model(
            "json_service",
            tensors(8, "REQUEST BYTES 1", "RESPONSE BYTES 1"),
            RESPONSE="np.array([[b'{\"echo\": ' + text + b'}'] for text in REQUEST.ravel()], dtype=object)",
        ),
        "INPUT (request JSON) OUTPUT (response JSON)",
        "select i as id, to_json({'n': i}) as r from range(1, 4) t(i)",
        [(f'{{"echo": {{"n":{i}}}}}',) for i in (1, 2, 3)],
    ),
    Interface(
        # Labels of one's own, as many as one likes: two inputs of any length, of which one decides the output's.
        formula_model(
            "zero_shot",
            tensors(
                8, "text BYTES 1; candidate_labels BYTES -1; multi_label BOOL 1", "labels BYTES -1; scores FP32 -1"
            ),
            labels="candidate_labels[:, ::-1]",
            scores="[[len(label) + (100 if multi[0] else 0) for label in row[::-1]] "
            "for row, multi in zip(candidate_labels, multi_label)]",
        ),
        "INPUT (text STRING, candidate_labels STRING[], multi_label BOOLEAN) OUTPUT (labels STRING[], scores FLOAT[])",
        "select i as id, 'a text' as text, ['a', 'bb', 'ccc'][:i] as candidates, i = 3 as multi from range(1, 4) t(i)",
        [(["a", "bb", "ccc"][:i][::-1], [n + 100.0 * (i == 3) for n in range(i, 0, -1)]) for i in (1, 2, 3)],
    ),
    Interface(
        # Quantised, and packed into bytes.
        formula_model(
            "int8_embedder",
            tensors(8, "input_ids INT32 -1", "embedding INT8 3; packed UINT8 2"),
            embedding="input_ids.sum(1)[:, None] * [[1, -1, 0]]",
            packed="input_ids.sum(1)[:, None] * [[1, 2]]",
        ),
        "INPUT (input_ids INT[]) OUTPUT (embedding TINYINT[3], packed BLOB)",
        _TOKENS,
        [((sum(row), -sum(row), 0), bytes([sum(row), 2 * sum(row)])) for row in _TOKEN_ROWS],
    ),
]
