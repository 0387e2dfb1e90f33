"""The two statements, as a project that is built on another kind of Spark."""

from __future__ import annotations

from support.triton import Counters, counted

#: Distinct inputs, each of which stands in two rows; and a NULL, which is not sent.
DISTINCT = 60


def shop(url: str, model: str, **options: str) -> dict[str, str]:
    """Return the models of a project: an inference model, its input, and what is predicted.

    Args:
        url: of the server.
        model: as the server has it.
        options: of the inference model; ``batch_size`` is ``batch-size``.
    """
    pairs = {"provider": "triton", "endpoint": url, "model-name": model}
    pairs |= {name.replace("_", "-"): value for name, value in options.items()}
    written = ", ".join(f"'{name}' = '{value}'" for name, value in pairs.items())
    return {
        "upper_": "{{ config(materialized='inference_model') }}\n"
        f"CREATE MODEL upper_ INPUT (`input` STRING) OUTPUT (`output` STRING) WITH ({written})",
        "reviews": "{{ config(materialized='table', file_format='parquet') }}\n"
        f"select id, if(id = 0, null, concat('text ', id % {DISTINCT})) as review from range({2 * DISTINCT + 1})",
        "moods": "{{ config(materialized='ml_predict', file_format='parquet') }}\n"
        "select id, review, output as mood "
        "from ML_PREDICT(TABLE {{ ref('reviews') }}, MODEL {{ ref('upper_') }}, DESCRIPTOR(review))",
    }


#: Rows, and right ones.
RIGHT = "select count(*), count_if(mood <=> upper(review)), count(mood) from shop.moods"
ALL_RIGHT = [[2 * DISTINCT + 1, 2 * DISTINCT + 1, 2 * DISTINCT]]
#: Of a store that is kept: predictions, and inputs.
STORED = "select count(*), count(distinct ml_key) from shop.moods__ml_predictions where ml_kind = 'ok'"


def between(before: str, after: str, model: str) -> Counters:
    """Return what the server counted between two texts of its metrics."""
    return counted(after, model) - counted(before, model)
