"""Settings of a training: the model, the optimizer, the run. Importing this module does not import JAX.

A training configuration is a TOML file:

    version = "filtered"      # name, id or prefix of the id of a dataset version in the store
    mixture = { web = 1.0 }   # weights in place of the version's, if any
    [model]                   # ModelSettings; vocabulary and sequence length are the version's
    [optimizer]               # OptimizerSettings
    [training]                # TrainingSettings
    [stability]               # StabilitySettings
    [preflight]               # PreflightSettings
    [mesh]                    # MeshSettings

Defaults follow the GLaM paper and, where it is silent, its authors' public code; the sizes default to a model
for study on a CPU.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from pipelines.store.configuration import ConfigError, Settings, load_settings, merge, validate
from trainer.family import ARCHITECTURE, FAMILY


class ModelSettings(Settings):
    """A decoder of pairs: (attention, mixture of experts), (attention, gated-GELU feed-forward).

    `size` names one of `trainer.family` whose settings take the place of the defaults; it is no setting of its own.

    Attributes:
        layers: attention layers, an even number; layers 0, 2, … have experts, layers 1, 3, … a gated feed-forward.
        model_dim: width of the residual stream, M.
        hidden_dim: width inside a feed-forward and inside an expert, H.
        heads: attention heads, N.
        head_dim: width of a head, D.
        experts: experts in each mixture layer, E; 0 makes the model dense.
        choices: experts that a token is sent to: 2 as in the paper, or 1.
        second_expert: `all`: the second choice is always sent; `random`: with probability 2·gate (GShard), by keyed
            hash, in training only.
        twin: what a dense model has in place of the experts: `flops`, the two-matrix feed-forward that costs what a
            token's experts cost; `family`, the feed-forward of the other layers, as the paper's dense models.
        feed_forward: of the layers without experts: `gated`, three matrices with GELU (the paper); `plain`, two
            (Artetxe et al.).
        expert_activation: of the experts, of the `flops` twin and of plain feed-forwards.
        capacity_factor: slots of all experts per token (GShard's meaning: all choices count), so 2.0 is just enough
            for the two choices of an even router.
        group_size: tokens that are routed together and share a capacity.
        padding: `left_out`: it takes no expert's slot and counts in no mean; `counted`: it is routed like text, and the
            losses are divided by all positions (the authors' code).
        dispatcher: how tokens reach the experts, with equal results: `gather` moves rows, `einsum` multiplies by
            one-hots.
        relative_buckets: buckets of the relative position bias.
        relative_max_distance: distance from which all positions share the last bucket.
        attention_extra_logit: adds a logit 0 to each attention softmax, so that a head may attend to nothing.
        attend_across_documents: lets attention cross the document boundaries within a packed sequence.
        auxiliary_loss_weight: of the load-balancing loss.
        router_z_loss_weight: of the mean squared log-partition of the router.
        output_z_loss_weight: of the mean squared log-partition of the output.
        activation_dtype: of activations; weights, router, attention logits and loss are always float32. `auto` is
            float32 on a CPU and bfloat16 on accelerators.
        layer_loop: `scan` compiles one pair of layers, which saves compile time on accelerators; `unroll` all of
            them, which saves copies on a CPU; `auto` chooses by the backend.
        remat: what the backward pass computes again to save memory: `none`; `pair`, all within a pair of layers;
            `dots`, all but the outputs of matrix multiplications.
    """

    layers: int = Field(default=4, ge=2, multiple_of=2)
    model_dim: int = Field(default=64, ge=1)
    hidden_dim: int = Field(default=256, ge=1)
    heads: int = Field(default=4, ge=1)
    head_dim: int = Field(default=16, ge=1)
    experts: int = Field(default=4, ge=0)
    choices: Literal[1, 2] = 2
    second_expert: Literal["all", "random"] = "all"
    twin: Literal["flops", "family"] = "flops"
    feed_forward: Literal["gated", "plain"] = "gated"
    expert_activation: Literal["relu", "gelu"] = "relu"
    capacity_factor: float = Field(default=2.5, gt=0, allow_inf_nan=False)
    group_size: int = Field(default=256, ge=1)
    padding: Literal["left_out", "counted"] = "left_out"
    dispatcher: Literal["gather", "einsum"] = "gather"
    relative_buckets: int = Field(default=32, ge=4, multiple_of=2)
    relative_max_distance: int = Field(default=128, ge=2)
    attention_extra_logit: bool = True
    attend_across_documents: bool = False
    auxiliary_loss_weight: float = Field(default=0.01, ge=0, allow_inf_nan=False)
    router_z_loss_weight: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    output_z_loss_weight: float = Field(default=1e-4, ge=0, allow_inf_nan=False)
    activation_dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    layer_loop: Literal["auto", "unroll", "scan"] = "auto"
    remat: Literal["none", "pair", "dots"] = "none"

    @model_validator(mode="before")
    @classmethod
    def _expand_size(cls, values: Any) -> Any:
        if not isinstance(values, Mapping) or "size" not in values:
            return values
        given = dict(values)
        name = given.pop("size")
        if name not in FAMILY:
            raise ValueError(f"size {name!r} is none of {', '.join(FAMILY)} (see `glam models`)")
        return FAMILY[name].settings | given

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.experts == 1:
            raise ValueError("experts: routing needs at least 2 experts; use 0 for a dense model")
        if self.choices == 1 and self.second_expert == "random":
            raise ValueError("second_expert: there is no second expert with choices = 1; use `all`")
        if self.relative_max_distance <= self.relative_buckets // 2:
            raise ValueError(
                f"relative_max_distance: {self.relative_max_distance} must exceed half of relative_buckets, "
                f"{self.relative_buckets // 2}, the distances that have a bucket each"
            )
        return self

    def on(self, backend: str) -> Self:
        """Return these settings with every `auto` decided for a backend of JAX (`cpu`, `gpu`, `tpu`)."""
        cpu = backend == "cpu"
        decided = {"activation_dtype": "float32" if cpu else "bfloat16", "layer_loop": "unroll" if cpu else "scan"}
        return self.model_copy(update={name: value for name, value in decided.items() if getattr(self, name) == "auto"})


class OptimizerSettings(Settings):
    """Adafactor (Shazeer and Stern, 2018) without first moment, and its learning rate.

    Attributes:
        learning_rate: highest rate, relative to the root mean square of each parameter.
        schedule: `linear`: up over the warm-up, then down in a straight line to `final_share` of it at the end;
            `inverse_square_root`: level for `constant_steps`, then falling as 1/√t (the paper).
        warmup_share: share of the steps that `linear` warms up for.
        final_share: see `schedule`.
        constant_steps: see `schedule`.
        decay_exponent: the second moment's decay at step t is 1 − t^−exponent.
        clipping_threshold: highest root mean square of an update before the rate.
        gradient_epsilon: added to squared gradients.
        parameter_epsilon: least root mean square that a parameter counts as having.
        min_factored_dim: matrices whose two largest dimensions reach it keep row and column moments only.
    """

    learning_rate: float = Field(default=0.1, gt=0, allow_inf_nan=False)
    schedule: Literal["linear", "inverse_square_root"] = "linear"
    warmup_share: float = Field(default=0.1, ge=0, lt=1)
    final_share: float = Field(default=0.1, ge=0, le=1)
    constant_steps: int = Field(default=10_000, ge=1)
    decay_exponent: float = Field(default=0.8, gt=0, le=1)
    clipping_threshold: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    gradient_epsilon: float = Field(default=1e-30, ge=0, allow_inf_nan=False)
    parameter_epsilon: float = Field(default=1e-3, gt=0, allow_inf_nan=False)
    min_factored_dim: int = Field(default=128, ge=2)


DEFAULT_BATCH_ROWS = 8


class TrainingSettings(Settings):
    """The run: how long, on what batches, what is kept.

    Attributes:
        steps: updates in all; the schedule ends there.
        batch_tokens: tokens a batch, padding counted: a multiple of the version's sequence length.
        batch_rows: sequences a batch, where no `batch_tokens` are given; 8 with neither. 0 takes either back.
        micro_batches: equal parts in which a batch is read, one after the other, to save memory.
        seed: of the weights and of the order of the data.
        loss_chunk: tokens whose output logits exist at one time; 0 means all of a batch.
        checkpoint_every: steps between checkpoints; 0 keeps the last one only. It is part of what a run is while
            `stability.roll_backs` is not 0: the checkpoint that a run goes back to decides its weights.
        checkpoints_kept: newest checkpoints that stay.
        log_every: steps between reports to the caller; the metrics file has every step.
        verify_share: share of the bytes of the version's training files that are hashed before the first update, and
            again where a run goes on; less than 1 takes a sample of whole files, for a corpus of terabytes.
    """

    steps: int = Field(default=250, ge=1)
    batch_tokens: int = Field(default=0, ge=0)
    batch_rows: int = Field(default=0, ge=0)
    micro_batches: int = Field(default=1, ge=1)
    seed: int = Field(default=0, ge=0, lt=2**31)
    loss_chunk: int = Field(default=0, ge=0)
    checkpoint_every: int = Field(default=100, ge=0)
    checkpoints_kept: int = Field(default=2, ge=1)
    log_every: int = Field(default=10, ge=1)
    verify_share: float = Field(default=1.0, gt=0, le=1)

    @model_validator(mode="before")
    @classmethod
    def _default_batch(cls, values: Any) -> Any:
        if not isinstance(values, Mapping) or values.get("batch_tokens") or values.get("batch_rows"):
            return values
        return {**values, "batch_rows": DEFAULT_BATCH_ROWS}

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.batch_tokens and self.batch_rows:
            raise ValueError(
                f"batch_tokens = {self.batch_tokens} and batch_rows = {self.batch_rows} are both given; give one of "
                "them, and 0 for the other where a file has it"
            )
        return self


class StabilitySettings(Settings):
    """When a run goes back to a healthy checkpoint and passes over the batches since (`trainer.stability`).

    Attributes:
        window: losses before an update whose median and spread it is held against.
        deviations: robust standard deviations above the median that make a spike.
        patience: updates in a row that spike, or whose gradients are not finite, before the run goes back.
        healthy_after: updates without trouble after a checkpoint that make it one to go back to.
        roll_backs: most times that a run goes back; the next time it stops. 0 never goes back nor stops.
    """

    window: int = Field(default=64, ge=8)
    deviations: float = Field(default=12.0, gt=0, allow_inf_nan=False)
    patience: int = Field(default=3, ge=1)
    healthy_after: int = Field(default=20, ge=0)
    roll_backs: int = Field(default=5, ge=0)


class PreflightSettings(Settings):
    """A small model that is trained before the run, if that is asked for, and what it must show (`trainer.preflight`).

    Attributes:
        size: of `trainer.family`; empty: the smallest that has experts if, and only if, the run's model has.
        steps: updates.
        loss_fall: least fall (nats) from the first to the last tenth of the updates.
        input_share: largest share of the time that the input may starve it.
    """

    size: str = ""
    steps: int = Field(default=100, ge=2)
    loss_fall: float = Field(default=0.2, gt=0, allow_inf_nan=False)
    input_share: float = Field(default=0.2, ge=0, le=1)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.size and self.size not in FAMILY:
            raise ValueError(f"size {self.size!r} is none of {', '.join(FAMILY)} (see `glam models`)")
        return self


class MeshSettings(Settings):
    """The devices of a run, `data` × `model` of them (`trainer.sharding`). It decides where things are computed, never
    what: a run goes on from its checkpoints on another mesh.

    Attributes:
        data: parts in which batches, and the experts, are split.
        model: parts in which heads, hidden widths and the vocabulary are split.
    """

    data: int = Field(default=1, ge=1)
    model: int = Field(default=1, ge=1)


class TrainingConfig(Settings):
    """Everything about a training but the data itself.

    Attributes:
        version: id, prefix of it, or name of the dataset version.
        mixture: weights by component in place of the version's; `{web = 1}` trains on one component alone.
        model: see its class.
        optimizer: see its class.
        training: see its class.
        stability: see its class.
        preflight: see its class; no part of what the run is.
        mesh: see its class.
    """

    version: str = Field(min_length=1)
    mixture: dict[str, Annotated[float, Field(gt=0, allow_inf_nan=False)]] = Field(default_factory=dict)
    model: ModelSettings = Field(default_factory=ModelSettings)
    optimizer: OptimizerSettings = Field(default_factory=OptimizerSettings)
    training: TrainingSettings = Field(default_factory=TrainingSettings)
    stability: StabilitySettings = Field(default_factory=StabilitySettings)
    preflight: PreflightSettings = Field(default_factory=PreflightSettings)
    mesh: MeshSettings = Field(default_factory=MeshSettings)

    def changed(self, changes: Mapping[str, Any], place: str) -> TrainingConfig:
        """Return this configuration with other values.

        Args:
            changes: nested values, e.g. `{"version": "all", "model": {"experts": 0}}`.
            place: where they are written, for errors.

        Raises:
            ConfigError: when a key or a value is refused.
        """
        values = self.model_dump()
        if {"batch_rows", "batch_tokens"} & set(changes.get("training", {})):
            values["training"] |= {"batch_rows": 0, "batch_tokens": 0}
        if "size" in changes.get("model", {}):
            values["model"] = {key: value for key, value in values["model"].items() if key not in ARCHITECTURE}
        return validate(TrainingConfig, merge(values, changes), place)

    def resolved(self, sequence_length: int, backend: str) -> Self:
        """Return the configuration that decides a run: the batch in rows, and no `auto`.

        Args:
            sequence_length: of the version.
            backend: of JAX: `cpu`, `gpu` or `tpu`.

        Raises:
            ConfigError: when the tokens of a batch are no multiple of the sequence length.
        """
        training, tokens = self.training, self.training.batch_tokens
        if tokens % sequence_length:
            below = tokens - tokens % sequence_length
            nearest = " or ".join(str(n) for n in (below, below + sequence_length) if n)
            raise ConfigError(
                f"training.batch_tokens: {tokens} is no multiple of the {sequence_length} tokens of a sequence of the "
                f"version; choose {nearest}"
            )
        if tokens:
            training = training.model_copy(update={"batch_rows": tokens // sequence_length, "batch_tokens": 0})
        return self.model_copy(update={"training": training, "model": self.model.on(backend)})


def load_training_config(path: str, overrides: Sequence[str] = ()) -> TrainingConfig:
    """Read a training configuration.

    Args:
        path: the TOML file.
        overrides: `key=value`, the key dotted (`model.experts=8`), the value as in TOML; a bare word is a string.

    Raises:
        ConfigError: when the file, a key or a value is refused.
    """
    return load_settings(TrainingConfig, path, overrides)
