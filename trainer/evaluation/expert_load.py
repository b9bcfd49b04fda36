"""What routers did with the tokens of documents, by mixture layer: load, drops and entropy, as sums that add up.

P mixture layers, N tokens, K choices of a token, G groups, T tokens of a group, E experts.

In: the experts of every token. Out: sums for each document, and what the sums of some documents come to. An
evaluation drops nothing; what is told of drops is what the training's capacity would drop if the groups of a batch held
these documents alone, one after the other as training joins them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from trainer.config import ModelSettings
from trainer.model.routing import TokenRouting, expert_capacity

Sums = dict[str, Any]
"""Of a document, plain values: `load` [P][E] and `dropped` [P][K], choices; `entropy` [P], nats."""


def routed_sums(documents: Sequence[TokenRouting], settings: ModelSettings) -> list[Sums]:
    """Return the sums of documents that stand one after the other, whose experts are (P, N, K) each."""
    expert = np.concatenate([routing.expert for routing in documents], axis=1)
    dropped = np.stack(
        [dropped_choices(layer, settings.experts, settings.group_size, settings.capacity_factor) for layer in expert]
    )
    ends = np.cumsum([routing.expert.shape[1] for routing in documents])[:-1]
    parts = zip(np.split(expert, ends, axis=1), np.split(dropped, ends, axis=1), documents, strict=True)
    return [
        {
            "load": [np.bincount(layer.ravel(), minlength=settings.experts).tolist() for layer in chosen],
            "dropped": lost.sum(axis=1).tolist(),
            "entropy": np.asarray(routing.entropy, np.float64).sum(axis=1).tolist(),
        }
        for chosen, lost, routing in parts
    ]


def dropped_choices(expert: np.ndarray, experts: int, group: int, factor: float | None) -> np.ndarray:
    """Return which choices find their expert full, (N, K) bool, where every `group` tokens in a row are a group.

    Tokens queue as in `trainer.model.routing.route`: second choices behind the first ones that were kept.
    """
    tokens, choices = expert.shape
    groups = -(-tokens // group)
    padded = np.full((groups * group, choices), -1, np.int32)
    padded[:tokens] = expert
    capacity = expert_capacity(group, experts, factor)
    filled = np.zeros((groups, 1, experts), np.int32)
    dropped = np.empty_like(padded, bool)
    for choice in range(choices):
        sent = padded[:, choice].reshape(groups, group, 1) == np.arange(experts)
        places = np.cumsum(sent, axis=1, dtype=np.int32) - 1 + filled
        dropped[:, choice] = ((places >= capacity) & sent).any(axis=2).ravel()
        filled = np.minimum(filled + sent.sum(axis=1, keepdims=True, dtype=np.int32), capacity)
    return dropped[:tokens]


def load_of(sums: Sequence[Sums]) -> np.ndarray:
    """Return the share of each expert in the choices of documents, (P, E)."""
    load = np.asarray(np.sum([one["load"] for one in sums], axis=0, dtype=np.float64))
    return load / load.sum(axis=1, keepdims=True)


def per_token(sums: Sequence[Sums], name: str, tokens: int) -> np.ndarray:
    """Return `dropped` (P, K) or `entropy` (P,) of documents of so many tokens, a token."""
    return np.asarray(np.sum([one[name] for one in sums], axis=0, dtype=np.float64)) / tokens


def moved_share(load: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the share of choices that would have to go to other experts for one load (P, E) to be the other: (P,).

    0 where both use the experts alike, 1 where no expert serves both (the total variation distance).
    """
    return np.asarray(np.abs(load - other).sum(axis=1)) / 2
