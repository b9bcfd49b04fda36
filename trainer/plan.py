"""What a training configuration means, before anything is computed: sizes, twins, routing, memory, epochs.

In: a dataset version and a resolved configuration. Out: plain values, for a table and for `--json` (docs/formats.md).
"""

from __future__ import annotations

from typing import Any

from pipelines.store.versions import Version
from trainer.accounting import Cost, cost
from trainer.config import ModelSettings, TrainingConfig
from trainer.even_router import expected_drops
from trainer.memory import memory
from trainer.mixture import repetition
from trainer.model.routing import expert_capacity

EVEN_ROUTER = "closed form for an even router: choices drawn evenly and independently, no padding, every choice sent"


def plan(version: Version, config: TrainingConfig) -> dict[str, Any]:
    """Return what a training would be: {version, model, twins, routing, training, memory, components}."""
    model, training = config.model, config.training
    size = _cost(model, version)
    tokens = training.batch_rows * version.sequence_length
    parts = memory(config, version.vocabulary_size, version.sequence_length)
    return {
        "version": {"id": version.id, "name": version.name},
        "model": {
            **size._asdict(),
            **model.model_dump(include={"activation_dtype", "layer_loop", "remat"}),
            "vocabulary": version.vocabulary_size,
            "sequence_length": version.sequence_length,
        },
        "twins": twins(model, version) if model.experts else None,
        "routing": routing(model, size) if model.experts else None,
        "training": {
            **training.model_dump(include={"steps", "batch_rows", "micro_batches"}),
            "batch_tokens": tokens,
            "devices": config.mesh.data * config.mesh.model,
            "tokens": training.steps * tokens,
            "flops": training.steps * tokens * size.training_flops,
        },
        "memory": {**parts._asdict(), "total": sum(parts)},
        "components": {use.component: use.to_json() for use in repetition(version, config)},
    }


def twins(model: ModelSettings, version: Version) -> dict[str, Any]:
    """Return the sizes of a mixture's dense twins: `flops`, of equal FLOPs a token, and `family`, as published."""
    dense = {kind: model.model_copy(update={"experts": 0, "twin": kind}) for kind in ("flops", "family")}
    return {kind: _cost(twin, version)._asdict() for kind, twin in dense.items()}


def routing(model: ModelSettings, size: Cost) -> dict[str, Any]:
    """Return what a mixture layer does with a group of tokens.

    `slots` are those of an expert for a group; `slots_a_choice` how many rows the experts compute for a choice that is
    sent; `expected_drops` the shares of first and second choices; `einsum_overhead` what multiplying by one-hots adds,
    as shares of the FLOPs of the rows that the experts compute and of the whole forward pass, whether this
    configuration does it (`dispatcher`) or not.
    """
    capacity = expert_capacity(model.group_size, model.experts, model.capacity_factor)
    rows = model.experts * capacity / model.group_size
    one_hots = 4 * model.experts * capacity * model.model_dim * (model.layers // 2)  # dispatch and combine, of a token
    return {
        **model.model_dump(include={"experts", "choices", "second_expert", "capacity_factor", "dispatcher"}),
        "group_tokens": model.group_size,
        "slots": capacity,
        "slots_a_choice": rows / model.choices,
        "expected_drops": expected_drops(model.group_size, model.experts, capacity, model.choices),
        "expected_drops_of": EVEN_ROUTER,
        "einsum_overhead": {
            "of_experts": model.group_size / model.hidden_dim,
            "of_forward": one_hots / size.forward_flops,
        },
    }


def _cost(model: ModelSettings, version: Version) -> Cost:
    return cost(model, version.vocabulary_size, version.sequence_length)
