"""A trained two-class fastText model in, a `LinearClassifier` out (quality_filter.classifier has the arithmetic)."""

from __future__ import annotations

from typing import Any

import numpy as np

from quality_filter.classifier import LOGIT_BITS, LinearClassifier
from quality_filter.features import hash_vocabulary
from quality_filter.word_bytes import LABEL_PREFIX
from quality_filter.word_table import LARGEST_WEIGHT

POSITIVE_LABEL = f"{LABEL_PREFIX}positive"
NEGATIVE_LABEL = f"{LABEL_PREFIX}negative"


def collapse(model: Any, training: dict[str, Any]) -> LinearClassifier:
    """Return the classifier that gives a fastText model's probabilities; `training` is kept in its header.

    Raises:
        ValueError: when the model has other labels than ours, or numbers that are not finite.
    """
    weights = _feature_weights(model)
    fraction_bits = _fraction_bits(float(np.abs(weights).max()))
    quantized = np.rint(weights * (1 << fraction_bits)).astype(np.int32)
    words = model.get_words()
    # fastText orders its words by frequency, so the first of equal hashes is the more frequent word's.
    hashes = hash_vocabulary(words)
    first = np.sort(np.unique(hashes, return_index=True)[1])
    details = training | {"words": len(words), "hash_collisions": len(words) - len(first)}
    return LinearClassifier(hashes[first], quantized[first], quantized[len(words) :], fraction_bits, details)


def _feature_weights(model: Any) -> np.ndarray:
    """Return (embedding) · (output of positive - output of negative) for each row of the input matrix, float64."""
    labels = model.get_labels()
    if sorted(labels) != sorted((POSITIVE_LABEL, NEGATIVE_LABEL)):
        raise ValueError(f"the fastText model has the labels {labels}, not {POSITIVE_LABEL} and {NEGATIVE_LABEL}")
    outputs = model.get_output_matrix().astype(np.float64)
    direction = outputs[labels.index(POSITIVE_LABEL)] - outputs[labels.index(NEGATIVE_LABEL)]
    embeddings = model.get_input_matrix()
    weights = np.zeros(len(embeddings), np.float64)
    # Column by column: a matrix product would add in an order that depends on the CPU.
    for column, factor in enumerate(direction.tolist()):
        weights += embeddings[:, column].astype(np.float64) * factor
    if not np.isfinite(weights).all():
        raise ValueError("training diverged: some weights are not finite; lower [quality.classifier] learning_rate")
    return weights


def _fraction_bits(largest: float) -> int:
    """Return the most binary places with which the largest weight still fits."""
    for bits in range(LOGIT_BITS, -1, -1):
        if largest * (1 << bits) <= LARGEST_WEIGHT:
            return bits
    raise ValueError(f"training diverged: the largest weight is {largest:g}; lower [quality.classifier] learning_rate")
