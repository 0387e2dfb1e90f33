"""The sentence model of the example, against values that PyTorch and the tokenizer of its authors gave."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import numpy as np
import pytest
from support.dbt import REPOSITORY

EXAMPLE = REPOSITORY / "example_project"
#: The numbers of a text's pieces, by the package tokenizers 0.23.
PIECES = {
    "": [101, 102],
    "Naïve CAFÉ": [101, 15743, 7668, 102],
    "don't -- ok": [101, 2123, 1005, 1056, 1011, 1011, 7929, 102],
    "unbelievably antediluvian": [101, 4895, 8671, 2666, 3567, 6321, 14405, 2098, 4014, 2226, 18073, 102],
    "日本 films": [101, 1864, 1876, 3152, 102],
    "a\tb\x00c\u200bd\n": [101, 1037, 4647, 2094, 102],
    "x" * 101: [101, 100, 102],
    "\U0001f600 fun": [101, 100, 4569, 102],
}
#: The first and the last elements of a text's vector, by torch 2.13 and transformers 5.
VECTORS = {
    "The film was a joy to watch.": [-0.0332525, 0.0745361, -0.0461211, -0.0110058, 0.032099, 0.0133681],
    "I enjoyed every minute of this movie.": [-0.0331457, 0.0124236, -0.0055264, -0.0334642, -0.0220239, -0.0361795],
    "Paris is the capital of France.": [0.1007048, 0.0371528, 0.0282255, -0.0416677, 0.1048607, -0.0095315],
    "": [-0.1188384, 0.0482988, -0.0025482, -0.0110112, 0.046549, -0.0157173],
}


@pytest.fixture(scope="module")
def model() -> Any:
    """From a text to its vector, as the server computes it; the other function is from a text to its pieces."""
    folders = [str(EXAMPLE), str(EXAMPLE / "model_repository" / "sentence-embedding" / "1")]
    sys.path[:0] = folders
    try:
        train_kinds, minilm, wordpiece = map(importlib.import_module, ("train_kinds", "minilm", "wordpiece"))
    finally:
        del sys.path[: len(folders)]
    pieces, weights = train_kinds._sentence_model(EXAMPLE)
    return wordpiece.WordPiece(pieces, 256), minilm.MiniLM(weights)


@pytest.mark.parametrize("text", PIECES, ids=repr)
def test_pieces_are_those_of_the_models_authors(model: Any, text: str) -> None:
    """Accents, punctuation, ideographs, what is not seen, and words that are not known are read as in training."""
    assert model[0](text) == PIECES[text]


def test_long_text_is_cut(model: Any) -> None:
    """Of a text with more pieces than the model has learned from, the first ones count."""
    pieces = model[0]("a " * 300)
    assert len(pieces) == 256
    assert pieces[-2:] == [1037, 102]


@pytest.mark.parametrize("text", VECTORS, ids=repr)
def test_vectors_are_those_of_pytorch(model: Any, text: str) -> None:
    """The vector that numpy computes is that of PyTorch to six digits, and of length 1."""
    vector = model[1](model[0](text))
    assert vector.shape == (384,)
    assert vector.dtype == np.float32
    assert np.abs([*vector[:4], *vector[-2:]] - np.array(VECTORS[text])).max() < 1e-6
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-6)


def test_texts_of_like_meaning_are_near(model: Any) -> None:
    """Two texts that mean the same without a word in common are nearer than two of other things."""
    joy, enjoyed, paris, _ = (model[1](model[0](text)) for text in VECTORS)
    assert joy @ enjoyed > 0.5
    assert joy @ paris < 0.1
