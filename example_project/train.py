"""Train the classifier that Triton serves as ``movie-review-sentiment``.

Rows whose id is a multiple of five are held out; the dbt model review_accuracy measures the server on them.
"""

# ruff: noqa: T201 - a command that prints what it did

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import NamedTuple

import joblib

PROJECT = Path(__file__).resolve().parent
REVIEWS = Path("seeds", "movie_review_snippets.csv")
ARTIFACT = Path("model_repository", "movie-review-sentiment", "1", "model.joblib")
HOLD_OUT_EVERY = 5
POLAR = {"positive", "negative"}


class Training(NamedTuple):
    """Row counts of one training, and its accuracy (0 to 1) on the held-out rows."""

    training_rows: int
    held_out_rows: int
    held_out_accuracy: float


def train(project_dir: Path = PROJECT) -> Training | None:
    """Train and write the artifact, or return None when it is newer than its inputs.

    Args:
        project_dir: the folder that holds seeds/ and model_repository/.
    """
    reviews, artifact = project_dir / REVIEWS, project_dir / ARTIFACT
    if _is_newer(artifact, than=[reviews, Path(__file__)]):
        return None

    # Slow to import, and mostly there is nothing to train.
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    training, held_out = _read_polar_reviews(reviews)
    pipeline = make_pipeline(
        # Triton hands over bytes. One bad byte must not fail the other rows of its batch.
        TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True, encoding="utf-8", decode_error="replace"),
        # C and the settings above: the best of nine by cross-validation on the training rows.
        LogisticRegression(C=3),
    )
    pipeline.fit(*_columns(training))
    accuracy = float(pipeline.score(*_columns(held_out)))
    _write(pipeline, artifact)
    return Training(len(training), len(held_out), accuracy)


def _is_newer(artifact: Path, than: list[Path]) -> bool:
    if not artifact.exists():
        return False
    return artifact.stat().st_mtime > max(path.stat().st_mtime for path in than)


def _read_polar_reviews(path: Path) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """Return the training rows and the held-out rows, without the neutral ones."""
    with path.open(encoding="utf-8", newline="") as file:
        polar = [row for row in csv.DictReader(file) if row["actual_sentiment"] in POLAR]
    training = [row for row in polar if int(row["id"]) % HOLD_OUT_EVERY != 0]
    held_out = [row for row in polar if int(row["id"]) % HOLD_OUT_EVERY == 0]
    return training, held_out


def _columns(rows: list[dict[str, str]]) -> tuple[list[str], list[str]]:
    return [row["user_review"] for row in rows], [row["actual_sentiment"] for row in rows]


def _write(pipeline: object, artifact: Path) -> None:
    """Write at once or not at all: a server may be loading the file."""
    partial = artifact.with_name(f".{artifact.name}.{os.getpid()}")
    joblib.dump(pipeline, partial)
    partial.replace(artifact)


if __name__ == "__main__":
    result = train()
    if result is None:
        print(f"{ARTIFACT} is up to date")
    else:
        print(
            f"{ARTIFACT}: trained on {result.training_rows:,} rows, "
            f"accuracy {result.held_out_accuracy:.1%} on {result.held_out_rows:,} held-out rows"
        )
