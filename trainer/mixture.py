"""What a training draws from: the weights of its components, and how often it reads each of them.

In: a dataset version and a training configuration. Out: weights of a sum of 1, and the verdict on their repetition.
Importing this module does not import JAX.
"""

from __future__ import annotations

from pipelines.store.configuration import ConfigError
from pipelines.store.repetition import ComponentUse, explain, largest_budget, plan_repetition
from pipelines.store.versions import Version
from trainer.config import TrainingConfig


def training_weights(version: Version, config: TrainingConfig) -> dict[str, float]:
    """Return the weights of a training: those of its configuration, or the version's.

    Raises:
        ConfigError: when the configuration names a component that the version has not.
    """
    weights = config.mixture or {name: part.weight for name, part in version.components.items()}
    if unknown := sorted(set(weights) - set(version.components)):
        raise ConfigError(
            f"mixture: version {version.name} has no component {', '.join(unknown)}; "
            f"it has {', '.join(sorted(version.components))}"
        )
    total = sum(weights.values())
    return {name: weight / total for name, weight in weights.items()}


def repetition(version: Version, config: TrainingConfig) -> list[ComponentUse]:
    """Return what a training takes of each component, and the verdict on it."""
    budget = config.training.steps * config.training.batch_rows * version.sequence_length
    available = {name: part.tokens for name, part in version.components.items()}
    return plan_repetition(training_weights(version, config), available, budget, version.repetition_limits)


def check_repetition(version: Version, config: TrainingConfig) -> list[str]:
    """Return a warning for each component that the training reads more often than is as good as new text.

    Raises:
        ConfigError: when it reads one more often than the version's limits allow, with the steps that they allow.
    """
    limits = version.repetition_limits
    tokens_a_step = config.training.batch_rows * version.sequence_length
    uses = repetition(version, config)
    refused = [use for use in uses if use.verdict == "refused"]
    if refused:
        most_steps = min(largest_budget(use, limits.max_epochs) for use in refused) // tokens_a_step
        raise ConfigError(
            f"training.steps = {config.training.steps}: {'; '.join(explain(use, limits) for use in refused)}. "
            f"Set it to {most_steps} or less, give these components less weight under [mixture], or raise "
            "mixture_limits.max_epochs in the corpus configuration and build again (which computes nothing anew)"
        )
    return [
        f"{explain(use, limits)}: more of it is worth less than new text" for use in uses if use.verdict == "warning"
    ]
