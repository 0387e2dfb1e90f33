"""Rows of a table: gradient boosting, scikit-learn, recommenders."""

from __future__ import annotations

from support.interfaces.interface import Interface, formula_model, tensors

TABULAR = [
    Interface(
        formula_model(
            "fil_xgboost",
            tensors(64, "input__0 FP32 4", "output__0 FP32 1"),
            output__0="np.nansum(input__0, 1)[:, None]",
        ),
        "INPUT (features FLOAT[4]) OUTPUT (score FLOAT)",
        "select i as id, [i, 0.5, 2, 'nan'::float]::float[4] as features from range(1, 4) t(i)",
        [(i + 2.5,) for i in (1, 2, 3)],
    ),
    Interface(
        formula_model(
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
        formula_model(
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
        formula_model(
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
        formula_model(
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
        formula_model(
            "two_tower_optional",
            tensors(8, "user_id INT64 1; item_id INT64 1; country BYTES 1 optional", "score FP32 1"),
            score="user_id + item_id + (100 if country is None else 0)",
        ),
        "INPUT (user_id BIGINT, item_id BIGINT) OUTPUT (score FLOAT)",
        "select i as id, i as u, 10 * i as v from range(1, 4) t(i)",
        [(11.0 * i + 100,) for i in (1, 2, 3)],
    ),
    Interface(
        formula_model(
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
        # Histories of any length, of which one may be empty; ids that are hashes; a time.
        formula_model(
            "session_recommender",
            tensors(16, "item_history UINT64 -1; weights FP16 -1; now INT64 1", "next_items UINT64 2; scores FP32 2"),
            next_items="item_history.sum(1)[:, None].astype(np.uint64) + np.arange(2, dtype=np.uint64)",
            scores="weights.sum(1)[:, None] * [[1, 2]] + now % 1000000",
        ),
        "INPUT (item_history UBIGINT[], weights FLOAT16[], now TIMESTAMP) "
        "OUTPUT (next_items UBIGINT[2], scores FLOAT[2])",
        "select i as id, list_transform(range(i - 1), lambda j: 9223372036854775808::ubigint + j::ubigint)[:1] as h, "
        "list_transform(range(i), lambda j: 0.5) as w, timestamp '2026-01-01 00:00:00.000007' as n "
        "from range(1, 4) t(i)",
        [((2**63 * (i > 1), 2**63 * (i > 1) + 1), (i / 2 + 7, i + 7.0)) for i in (1, 2, 3)],
    ),
    Interface(
        # A batch in the model's own first axis, scalars in and out.
        formula_model(
            "onnx_scalars",
            tensors(0, "age FP32 -1; plan BYTES -1", "label BYTES -1; score FP64 -1"),
            label="np.array([p + b'!' for p in plan], dtype=object)",
            score="age * 2",
        ),
        "INPUT (age FLOAT, plan STRING) OUTPUT (label STRING, score DOUBLE)",
        "select i as id, i / 2 as a, 'p' || i as p from range(1, 4) t(i)",
        [(f"p{i}!", float(i)) for i in (1, 2, 3)],
        {"batch-dim": "true"},
    ),
]
