"""What ML_EVALUATE says besides what ML_PREDICT does: the label, the task, and which predictions are measured.

Source: Flink's ML_EVALUATE (FLIP-525) and Confluent's manual.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

#: Flink's words for what a model is for. Confluent has the same.
TASKS = ("classification", "clustering", "embedding", "regression", "text_generation")
#: Those whose metrics are measured here.
CLASSIFICATION, REGRESSION = MEASURED = ("classification", "regression")
#: Keys of MAP that only ML_EVALUATE reads.
KEYS = ("predicted", "score", "positive")


@dataclass(frozen=True)
class Evaluation:
    """What is measured of the predictions of a call.

    Args:
        label: the column of the input that holds what is true.
        task: as the call says it; None where it does not.
        predicted: the OUTPUT column that is compared with the label; None where there is only one.
        score: the OUTPUT column that is the probability of `positive`.
        positive: the class that `score` is the probability of; None for the later one of two.
    """

    label: str
    task: str | None = None
    predicted: str | None = None
    score: str | None = None
    positive: str | None = None


def split(config: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the options of a call, and apart from them what only ML_EVALUATE reads."""
    own = {key: value for key, value in config.items() if key in KEYS}
    return {key: value for key, value in config.items() if key not in KEYS}, own
