"""Sounds and time series."""

from __future__ import annotations

from support.interfaces.interface import Interface, formula_model, tensors

SERIES = [
    Interface(
        formula_model(
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
        formula_model(
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
        formula_model(
            "wav2vec_ctc",
            tensors(4, "input_values FP32 -1", "logits FP32 -1,2"),
            logits="input_values[:, ::2, None] * [[[1, 2]]]",
        ),
        "INPUT (input_values FLOAT[]) OUTPUT (logits FLOAT[][])",
        "select i as id, list_transform(range(2 * i), lambda j: j) as x from range(1, 4) t(i)",
        [([[2.0 * k, 4.0 * k] for k in range(i)],) for i in (1, 2, 3)],
    ),
    Interface(
        formula_model(
            "forecast",
            tensors(8, "past_values FP32 -1,2; horizon INT32 1", "mean FP32 3; quantiles FP32 3,2"),
            mean="past_values.mean((1, 2))[:, None] + np.arange(3)",
            quantiles="past_values.mean((1, 2))[:, None, None] + np.arange(6).reshape(3, 2)",
        ),
        "INPUT (past_values FLOAT[2][], horizon INT) OUTPUT (mean FLOAT[], quantiles FLOAT[2][3])",
        "select i as id, list_transform(range(i), lambda j: [i, i]) as past, 3 as h from range(1, 4) t(i)",
        [([i, i + 1.0, i + 2.0], ((i, i + 1.0), (i + 2.0, i + 3.0), (i + 4.0, i + 5.0))) for i in (1.0, 2.0, 3.0)],
    ),
]
