"""The parts of a study file, each frozen and checked when it is read: arms, comparisons, savings, budget, search,
fine-tuning, slice. `trainer.ablation.study` puts them together. Importing this module does not import JAX.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from pipelines.config import Amount, Name
from pipelines.contamination.settings import TaskName
from pipelines.store.configuration import Settings
from trainer.fine_tuning.settings import FineTuningSettings

Seed = Annotated[int, Field(ge=0, lt=2**31)]


class Arm(Settings):
    """One arm: a dataset version, and how it differs from the study's configurations.

    Attributes:
        version: of the corpus.
        corpus: values of the corpus configuration in other ones' place, for this arm alone.
        expected_tokens: of components, where they are expected otherwise than the corpus configuration says.
        mixture: weights of the components in training.
        model: values of this part of the training configuration.
        optimizer: likewise.
        training: likewise.
    """

    version: Name
    corpus: dict[str, Any] = Field(default_factory=dict)
    expected_tokens: dict[Name, Amount] = Field(default_factory=dict)
    mixture: dict[Name, float] = Field(default_factory=dict)
    model: dict[str, Any] = Field(default_factory=dict)
    optimizer: dict[str, Any] = Field(default_factory=dict)
    training: dict[str, Any] = Field(default_factory=dict)


class Slice(Settings):
    """The TPUs that each run has, for the plan: their topology, and which share of their peak is expected of them."""

    topology: str
    utilization: float = Field(default=0.3, gt=0, le=1)


class Comparison(Settings):
    """Two arms, the claim that holds if `a` is better, and in what they may differ.

    Attributes:
        differ: keys of the training configuration (`model`, `model.experts`) and parts of the data: components,
            `tokenizer`. Empty: what the arms change of the training, and components of which they take other documents.
    """

    a: Name
    b: Name
    claim: str = Field(min_length=1)
    differ: list[str] = Field(default_factory=list)


Axis = Literal["flops", "cpu_seconds", "seconds", "tokens"]


class Saving(Settings):
    """How much less the arms of `saver` cost than those of `reference` where they score the same
    (`trainer.ablation.saving`).

    Attributes:
        saver: arms whose costs differ; between them is interpolated.
        reference: arms whose scores are the targets.
        claim: holds if the factor is above 1.
        axes: what a cost is: of a run's training, in closed form (`flops`), as measured, or in tokens.
    """

    saver: list[Name] = Field(min_length=2)
    reference: list[Name] = Field(min_length=1)
    claim: str = Field(min_length=1)
    axes: list[Axis] = Field(default=["flops", "cpu_seconds", "seconds"], min_length=1)


class Budget(Settings):
    """What a run of any arm is trained for; one of the two.

    Attributes:
        tokens: of the batches.
        flops: of training, in closed form; a cheaper model is trained for more steps.
    """

    tokens: Amount | None = None
    flops: Amount | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.tokens is None) == (self.flops is None):
            raise ValueError("budget: give either tokens or flops")
        return self


class Search(Settings):
    """The same search of a learning rate for each arm: it takes the rate with which a short training ends at the lowest
    loss of its batches. Nothing held out is looked at.

    Attributes:
        learning_rates: to try.
        steps: of a training of the search; 0: as many as the arm's.
        seed: of the search, none of the study's.
    """

    learning_rates: list[Annotated[float, Field(gt=0, allow_inf_nan=False)]] = Field(min_length=2)
    steps: int = Field(default=0, ge=0)
    seed: Seed = 1000


class StudyFineTuning(Settings):
    """Full-shot fine-tuning of every run on tasks: on one part of a task's examples, scored on the other.

    Attributes:
        catalogue: folder with sets.toml and tasks/, relative to the study file.
        data: folder of the tasks' files; empty: the one that GLAM_EVAL names, or the catalogue's own.
        tasks: by name, scored by the accuracy of a choice between options; each is a fine-tuning of its own.
        train_share: of a task's examples that is trained on, chosen by keyed hash; the others are never trained on.
        steps: updates of a fine-tuning.
        batch_rows: sequences a batch, several examples each.
        learning_rate: highest rate, relative to the root mean square of each parameter; it falls in a straight line.
    """

    catalogue: str = "../evaluation"
    data: str = ""
    tasks: list[TaskName] = Field(min_length=1)
    train_share: float = Field(default=0.7, gt=0, lt=1)
    steps: int = Field(ge=1)
    batch_rows: int = Field(default=8, ge=1)
    learning_rate: float = Field(default=0.02, gt=0, allow_inf_nan=False)

    def settings(self, seed: int) -> FineTuningSettings:
        """Return how the run of a seed is fine-tuned."""
        chosen = self.model_dump(include={"steps", "batch_rows", "learning_rate"})
        return FineTuningSettings(seed=seed, **chosen)
