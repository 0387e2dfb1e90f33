"""Train the smaller models of the example, one of each kind, and write the images that one of them reads.

All of it takes some seconds. As in train.py, rows whose number is a multiple of five are held out.
"""

# ruff: noqa: T201 - a command that prints what it did

from __future__ import annotations

import csv
import os
from pathlib import Path

import joblib
import numpy as np
from PIL import Image

PROJECT = Path(__file__).resolve().parent
HOLD_OUT_EVERY = 5
WINE_INPUTS = ("alcohol", "malic_acid", "flavanoids", "color_intensity", "proline")
CULTIVARS = ("barolo", "grignolino", "barbera")
EMBEDDING_SIZE = 128
# scikit-learn's digits have 17 shades of grey.
SHADES = 16
WHITE = 255


def prepare(project_dir: Path = PROJECT) -> list[str]:
    """Make what is missing or older than this file, and return what was made."""
    makers = {
        "model_repository/wine-cultivar/1/model.joblib": _train_wine,
        "model_repository/review-embedding/1/model.joblib": _train_embedding,
        "model_repository/digit-image/1/model.joblib": _train_digits,
    }
    made = []
    for name, make in makers.items():
        artifact = project_dir / name
        if not artifact.exists() or artifact.stat().st_mtime < Path(__file__).stat().st_mtime:
            model = make(project_dir)
            # At once or not at all: a server may be loading the file.
            partial = artifact.with_name(f".{artifact.name}.{os.getpid()}")
            joblib.dump(model, partial)
            partial.replace(artifact)
            made.append(artifact.parts[-3])
    return made


def _train_wine(project_dir: Path) -> object:
    """Learn the cultivar of a wine from five measurements."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rows = _training_rows(project_dir / "seeds" / "wines.csv")
    measurements = np.array([[float(row[name]) for name in WINE_INPUTS] for row in rows])
    cultivars = [CULTIVARS.index(row["cultivar"]) for row in rows]
    return make_pipeline(StandardScaler(), LogisticRegression()).fit(measurements, cultivars)


def _train_embedding(project_dir: Path) -> object:
    """Learn a vector for a text: latent semantic analysis."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    texts = [row["user_review"] for row in _training_rows(project_dir / "seeds" / "movie_review_snippets.csv")]
    terms = TfidfVectorizer(stop_words="english", min_df=3, sublinear_tf=True, decode_error="replace")
    weights = terms.fit_transform(texts)
    return terms, TruncatedSVD(EMBEDDING_SIZE, n_iter=3, random_state=0).fit(weights)


def _train_digits(project_dir: Path) -> object:
    """Learn handwritten digits from their pixels, and write the held-out ones as images."""
    from sklearn.datasets import load_digits
    from sklearn.svm import SVC

    digits = load_digits()
    held_out = np.arange(len(digits.target)) % HOLD_OUT_EVERY == 0
    folder = project_dir / "images"
    folder.mkdir(exist_ok=True)
    for number in np.flatnonzero(held_out):
        pixels = (digits.images[number] * (WHITE / SHADES)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"digit_{number:04}_{digits.target[number]}.png")
    return SVC(gamma=0.001, C=10).fit(digits.data[~held_out], digits.target[~held_out])


def _training_rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return [row for row in csv.DictReader(file) if int(row["id"]) % HOLD_OUT_EVERY != 0]


if __name__ == "__main__":
    print(f"made {', '.join(prepare()) or 'nothing: all is up to date'}")
