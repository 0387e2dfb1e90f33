"""The sentence model all-MiniLM-L6-v2 in numpy: six layers of BERT, the mean of their vectors, of length 1."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy.special import erf

HEADS = 12
EPSILON = 1e-12


class MiniLM:
    """Vectors of texts.

    Args:
        weights: float32, under the names that the model's file gives them.
    """

    def __init__(self, weights: Mapping[str, np.ndarray]) -> None:
        self.weights = weights
        self.layers = sum(name.endswith(".intermediate.dense.weight") for name in weights)
        self.attention = [self._attention_weights(f"encoder.layer.{layer}") for layer in range(self.layers)]

    def __call__(self, numbers: list[int]) -> np.ndarray:
        """Return the vector of one text, float32 of length 1, from the numbers of its word pieces.

        Texts are not computed together: one that is padded to the length of another has other last digits.
        """
        hidden = self.weights["embeddings.word_embeddings.weight"][numbers]
        hidden = hidden + self.weights["embeddings.position_embeddings.weight"][: len(numbers)]
        hidden = hidden + self.weights["embeddings.token_type_embeddings.weight"][0]
        hidden = self._normalized(hidden, "embeddings.LayerNorm")
        for layer in range(self.layers):
            hidden = self._layer(hidden, layer)
        mean = hidden.mean(axis=0)
        return mean / np.linalg.norm(mean)

    def _layer(self, hidden: np.ndarray, layer: int) -> np.ndarray:
        name = f"encoder.layer.{layer}"
        attended = self._dense(self._attend(hidden, *self.attention[layer]), f"{name}.attention.output.dense")
        hidden = self._normalized(hidden + attended, f"{name}.attention.output.LayerNorm")
        inner = _gelu(self._dense(hidden, f"{name}.intermediate.dense"))
        return self._normalized(hidden + self._dense(inner, f"{name}.output.dense"), f"{name}.output.LayerNorm")

    def _attend(self, hidden: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
        """Return what each piece takes from all pieces, [pieces, width]."""
        pieces, width = hidden.shape
        parts = (hidden @ weight + bias).reshape(pieces, 3, HEADS, width // HEADS)
        query, key, value = parts.transpose(1, 2, 0, 3)
        scores = query @ key.transpose(0, 2, 1)
        scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
        scores /= scores.sum(axis=-1, keepdims=True)
        return (scores @ value).transpose(1, 0, 2).reshape(pieces, width)

    def _attention_weights(self, layer: str) -> tuple[np.ndarray, np.ndarray]:
        """Return the weights and the biases of query, key and value side by side; the scores' scale is in the query."""
        names = [f"{layer}.attention.self.{part}" for part in ("query", "key", "value")]
        weights = [self.weights[f"{name}.weight"].T for name in names]
        biases = [self.weights[f"{name}.bias"] for name in names]
        scale = np.float32((weights[0].shape[1] // HEADS) ** -0.5)
        scaled = [scale, np.float32(1), np.float32(1)]
        return (
            np.hstack([weight * by for weight, by in zip(weights, scaled, strict=True)]),
            np.hstack([bias * by for bias, by in zip(biases, scaled, strict=True)]),
        )

    def _dense(self, hidden: np.ndarray, name: str) -> np.ndarray:
        return hidden @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]

    def _normalized(self, hidden: np.ndarray, name: str) -> np.ndarray:
        centred = hidden - hidden.mean(axis=-1, keepdims=True)
        deviation = np.sqrt((centred * centred).mean(axis=-1, keepdims=True) + np.float32(EPSILON))
        return centred / deviation * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]


def _gelu(values: np.ndarray) -> np.ndarray:
    return np.float32(0.5) * values * (1 + erf(values * np.float32(2**-0.5)))
