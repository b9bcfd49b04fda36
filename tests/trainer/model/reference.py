"""The decoder, its routers and its losses in float64 and in loops, written from the table of docs/deviations.md.

B batch, S sequence, M model, N heads, D head, H hidden, G groups, T tokens of a group, E experts, K choices,
V vocabulary, L layers.

In: parameters by name, those of a kind of layer stacked as in `trainer.model.parameters`; settings. Out: float64. Of
the trainer nothing but the names of parameters and settings is used, so a test that compares the two holds each row
that the table has of the forward pass.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from trainer.batch import Batch
from trainer.config import ModelSettings

Arrays = Mapping[str, np.ndarray]

Draws = Sequence[np.ndarray]
"""Of the random policy for second experts: for each router (G, T) in [0, 1)."""


def rms_norm(x: np.ndarray, scale: np.ndarray) -> np.ndarray:
    return x / np.sqrt(np.mean(x**2, axis=-1, keepdims=True) + 1e-6) * scale


def relu(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0)


def gelu(x: np.ndarray) -> np.ndarray:
    """The approximation by tanh, as the authors' code has it."""
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def t5_bucket(distance: int, buckets: int, max_distance: int) -> int:
    """The bucket of a distance into the past, as in T5's code for causal attention."""
    exact = buckets // 2
    if distance < exact:
        return distance
    far = exact + int(math.log(distance / exact) / math.log(max_distance / exact) * (buckets - exact))
    return min(far, buckets - 1)


def attention(layer: Arrays, x: np.ndarray, segments: np.ndarray, settings: ModelSettings) -> np.ndarray:
    """What each token takes from those before it in its document; logits have no 1/√D."""
    rows = rms_norm(x, layer["norm"])
    query, key, value = (np.einsum("BSM,MND->BSND", rows, layer[name]) for name in ("query", "key", "value"))
    change = np.zeros_like(x)
    for b, s in np.ndindex(*x.shape[:2]):
        seen = [t for t in range(s + 1) if settings.attend_across_documents or segments[b, t] == segments[b, s]]
        buckets = [t5_bucket(s - t, settings.relative_buckets, settings.relative_max_distance) for t in seen]
        logits = np.einsum("ND,TND->TN", query[b, s], key[b, seen]) + layer["relative_bias"][buckets]
        exponentials = np.exp(logits)
        weights = exponentials / (exponentials.sum(0) + (1 if settings.attention_extra_logit else 0))
        change[b, s] = np.einsum("TN,TND,NDM->M", weights, value[b, seen], layer["output"])
    return change


def queue(best: np.ndarray, sent: np.ndarray, experts: int, capacity: int) -> np.ndarray:
    """Return which choices (T, K) of a group are kept: all first choices in order, then all second ones."""
    free = [capacity] * experts
    kept = np.zeros(best.shape, bool)
    for choice in range(best.shape[1]):
        for token, expert in enumerate(best[:, choice]):
            if sent[token, choice] and free[expert]:
                free[expert] -= 1
                kept[token, choice] = True
    return kept


class Routed(NamedTuple):
    """What a router did: gates of all experts (G, T, E); of each choice (G, T, K) its expert, gate, whether it was
    sent and kept; its losses, and what the metrics tell."""

    shares: np.ndarray
    best: np.ndarray
    gate: np.ndarray
    sent: np.ndarray
    kept: np.ndarray
    auxiliary: float
    router_z: float
    entropy: float

    @property
    def load(self) -> np.ndarray:
        """Choices sent to each expert before capacity, (K, E)."""
        experts, choices = self.shares.shape[-1], self.best.shape[-1]
        return np.stack([np.bincount(self.best[..., k][self.sent[..., k]], minlength=experts) for k in range(choices)])

    @property
    def dropped(self) -> np.ndarray:
        """Choices that found their expert full, (K,)."""
        return (self.sent & ~self.kept).sum((0, 1))


def route(
    x: np.ndarray,
    router: np.ndarray,
    real: np.ndarray,
    factor: float | None,
    choices: int,
    uniform: np.ndarray | None = None,
) -> Routed:
    """Route x (G, T, M), each group on its own; `uniform` (G, T) are the draws of the random policy: a second choice is
    sent where they are below twice its gate."""
    tokens, experts = x.shape[1], router.shape[1]
    capacity = tokens if factor is None else min(tokens, 4 * math.ceil(tokens * factor / experts / 4))
    logits = x @ router
    partition = np.exp(logits).sum(-1)
    shares = np.exp(logits) / partition[..., None]
    best = np.argsort(-shares, axis=-1, kind="stable")[..., :choices]
    gate = np.take_along_axis(shares, best, axis=-1)
    if choices > 1:
        gate = gate / (gate.sum(-1, keepdims=True) + 1e-9)
    sent = np.repeat(real[..., None], choices, axis=-1)
    if uniform is not None:
        sent[..., 1] &= uniform < 2 * gate[..., 1]
    kept = np.stack([queue(*group, experts, capacity) for group in zip(best, sent, strict=True)])
    return Routed(
        *(shares, best, gate, sent, kept),
        auxiliary=_auxiliary_loss(shares, best[..., 0], real),
        router_z=float(np.mean(np.log(partition[real]) ** 2)),
        entropy=float(np.mean(-np.sum(shares[real] * np.log(shares[real]), axis=-1))),
    )


def _auxiliary_loss(shares: np.ndarray, first: np.ndarray, real: np.ndarray) -> float:
    """E² · mean over experts of f · P, averaged over groups by their real tokens."""
    experts, total, weight = shares.shape[-1], 0.0, 0
    for group_shares, chosen, kind in zip(shares, first, real, strict=True):
        if count := int(kind.sum()):
            share_of_choices = np.bincount(chosen[kind], minlength=experts) / count
            total += count * experts**2 * np.mean(share_of_choices * group_shares[kind].mean(0))
            weight += count
    return total / weight


def mixture(
    layer: Arrays,
    x: np.ndarray,
    real: np.ndarray,
    settings: ModelSettings,
    factor: float | None,
    uniform: np.ndarray | None,
) -> tuple[np.ndarray, Routed]:
    """What the experts add to x (B, S, M), token by token; a choice that was dropped adds nothing."""
    rows = rms_norm(x, layer["norm"]).reshape(-1, settings.group_size, x.shape[-1])
    routed = route(rows, layer["router"], real.reshape(rows.shape[:2]), factor, settings.choices, uniform)
    change = np.zeros_like(rows)
    for g, t, k in np.argwhere(routed.kept):
        expert = routed.best[g, t, k]
        hidden = ACTIVATIONS[settings.expert_activation](rows[g, t] @ layer["input"][expert])
        change[g, t] += routed.gate[g, t, k] * hidden @ layer["output"][expert]
    return change.reshape(x.shape), routed


ACTIVATIONS = {"relu": relu, "gelu": gelu}


def gated_feed_forward(layer: Arrays, x: np.ndarray) -> np.ndarray:
    rows = rms_norm(x, layer["norm"])
    return (gelu(rows @ layer["gate"]) * (rows @ layer["linear"])) @ layer["output"]


def plain_feed_forward(layer: Arrays, x: np.ndarray, settings: ModelSettings) -> np.ndarray:
    return ACTIVATIONS[settings.expert_activation](rms_norm(x, layer["norm"]) @ layer["input"]) @ layer["output"]


def is_real(segments: np.ndarray, settings: ModelSettings) -> np.ndarray:
    """Which tokens are routed and count in the routers' means."""
    return (segments > 0) | (settings.padding == "counted")


def decoder(
    arrays: Arrays, batch: Batch, settings: ModelSettings, uniform: Draws | None = None
) -> tuple[np.ndarray, list[Routed]]:
    """Return the logits (B, S, V) of a batch in training and what each router did: layers 0, 2, … have the experts."""
    x, segments = arrays["embedding"][batch.inputs], batch.segments
    real, routers = is_real(segments, settings), []
    for number in range(settings.layers):
        prefix = "odd_layers/" if number % 2 else "even_layers/"
        layer = {name.removeprefix(prefix): a[number // 2] for name, a in arrays.items() if name.startswith(prefix)}
        x = x + attention(_part(layer, "attention"), x, segments, settings)
        weights = _part(layer, "feed_forward")
        if number % 2 == 0 and settings.experts:
            drawn = uniform[number // 2] if uniform is not None else None
            change, routed = mixture(weights, x, real, settings, settings.capacity_factor, drawn)
            routers.append(routed)
        elif settings.feed_forward == "plain" or (number % 2 == 0 and settings.twin == "flops"):
            change = plain_feed_forward(weights, x, settings)
        else:
            change = gated_feed_forward(weights, x)
        x = x + change
    hidden = rms_norm(x, arrays["norm"])
    return hidden @ arrays["embedding"].T / math.sqrt(x.shape[-1]), routers


def _part(layer: Arrays, name: str) -> dict[str, np.ndarray]:
    return {path.removeprefix(f"{name}/"): array for path, array in layer.items() if path.startswith(f"{name}/")}


class ReferenceLosses(NamedTuple):
    """Means over the targets that count, sums over the routers."""

    cross_entropy: float
    output_z: float
    auxiliary: float
    router_z: float


def losses(arrays: Arrays, batch: Batch, settings: ModelSettings, uniform: Draws | None = None) -> ReferenceLosses:
    """Return the losses of a batch in training."""
    logits, routers = decoder(arrays, batch, settings, uniform)
    log_partition = np.log(np.exp(logits).sum(-1))
    entropy = log_partition - np.take_along_axis(logits, batch.targets[..., None], axis=-1)[..., 0]
    places = batch.counted.size if settings.padding == "counted" else batch.counted.sum()
    return ReferenceLosses(
        cross_entropy=float(entropy[batch.counted].sum() / places),
        output_z=float((log_partition[batch.counted] ** 2).sum() / places),
        auxiliary=sum(routed.auxiliary for routed in routers),
        router_z=sum(routed.router_z for routed in routers),
    )


def objective(arrays: Arrays, batch: Batch, settings: ModelSettings) -> float:
    """What the optimizer lowers."""
    parts = losses(arrays, batch, settings)
    return (
        parts.cross_entropy
        + settings.auxiliary_loss_weight * parts.auxiliary
        + settings.router_z_loss_weight * parts.router_z
        + settings.output_z_loss_weight * parts.output_z
    )
