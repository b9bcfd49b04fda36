"""The proof that two arms differ in what is under test and in nothing else.

In: what a study file declares, the arms' configurations, the manifests of their dataset versions. Out: the differences
that there are, or an error that names those that nobody declared. Configurations are compared key by key, data by the
sha256 of every shard; equal shards and equal keys mean equal batches, since the order knows nothing else
(`trainer.order`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from pipelines.difference import configuration_changes
from pipelines.store.errors import GlamError
from pipelines.store.versions import Version
from trainer.ablation.study import LoadedStudy
from trainer.ablation.study_parts import Arm, Comparison
from trainer.config import TrainingConfig

HELD_OUT, TOKENIZER, WEIGHTS = "held-out text", "tokenizer", "weights"


class ArmsDifferError(GlamError):
    """Two arms differ in more than is under test."""


def check_configurations(loaded: LoadedStudy) -> None:
    """Refuse a study whose compared arms differ in undeclared keys of the training; before anything is built.

    Raises:
        ArmsDifferError: naming the keys.
    """
    for comparison in loaded.study.comparisons:
        a, b = (loaded.trainings[arm] for arm in (comparison.a, comparison.b))
        found = [change["key"] for change in training_differences(a, b)]
        _refuse_undeclared(loaded, comparison, found)


def prove(loaded: LoadedStudy, comparison: Comparison, a: Version, b: Version) -> dict[str, list[dict[str, Any]]]:
    """Return in what the arms of a comparison differ.

    Returns:
        {"training": [{key, a, b}], "data": [{part, a, b}]}; a part is a component, of which a side has variant,
        documents and tokens, or the tokenizer, the held-out text or the weights (both sides null).

    Raises:
        ArmsDifferError: when they differ in something that the study does not declare.
    """
    training = training_differences(loaded.trainings[comparison.a], loaded.trainings[comparison.b])
    parts = differing_parts(a, b)
    _refuse_undeclared(loaded, comparison, [*(change["key"] for change in training), *parts])
    data = [{"part": part, "a": _figures(a, part), "b": _figures(b, part)} for part in parts]
    return {"training": training, "data": data}


def training_differences(a: TrainingConfig, b: TrainingConfig) -> list[dict[str, Any]]:
    """Return the keys in which two trainings differ, with both values; not what their data are called."""
    return configuration_changes(a.model_dump(exclude={"version"}), b.model_dump(exclude={"version"}))


def differing_parts(a: Version, b: Version) -> list[str]:
    """Return the parts of two versions that are not the same, byte for byte."""
    left, right = _digests(a), _digests(b)
    parts = [part for part in sorted(left.keys() | right.keys()) if left.get(part) != right.get(part)]
    weights = [{name: part.weight for name, part in version.components.items()} for version in (a, b)]
    return [*parts, WEIGHTS] if weights[0] != weights[1] else parts


def _digests(version: Version) -> dict[str, dict[str, str]]:
    """Return the sha256 of every file by part."""
    found: dict[str, dict[str, str]] = {}
    for file in version.manifest["files"]:
        kind, name = file["path"].split("/")[:2]
        part = {"train": name, "heldout": HELD_OUT}.get(kind, TOKENIZER)
        found.setdefault(part, {})[file["path"]] = file["sha256"]
    return found


def _figures(version: Version, part: str) -> dict[str, Any] | None:
    component = version.components.get(part)
    if component is None:
        return None
    return {name: getattr(component, name) for name in ("variant", "documents", "tokens")}


def _refuse_undeclared(loaded: LoadedStudy, comparison: Comparison, found: Sequence[str]) -> None:
    allowed = declared(loaded, comparison)
    undeclared = [name for name in found if not any(name == key or name.startswith(f"{key}.") for key in allowed)]
    if undeclared:
        raise ArmsDifferError(
            f"{loaded.path}: arms {comparison.a} and {comparison.b} differ in {', '.join(undeclared)} too, which is "
            f"not under test (that is {', '.join(allowed) or 'nothing'}): make it equal, or name it in the "
            "comparison's `differ`"
        )


def declared(loaded: LoadedStudy, comparison: Comparison) -> list[str]:
    """Return the keys and parts in which the arms of a comparison may differ."""
    study = loaded.study
    tuned = (["optimizer.learning_rate"] if study.search else []) + (["training.steps"] if study.budget else [])
    if comparison.differ:
        return [*comparison.differ, *tuned]
    a, b = (study.arms[arm] for arm in (comparison.a, comparison.b))
    return sorted({*_changed_keys(a), *_changed_keys(b), *_other_documents(loaded, comparison), *tuned})


def _changed_keys(arm: Arm) -> Iterable[str]:
    stands_for = {"model.size": "model", "training.batch_tokens": "training.batch_rows"}
    for part in ("model", "optimizer", "training"):
        for name in getattr(arm, part):
            yield stands_for.get(f"{part}.{name}", f"{part}.{name}")
    if arm.mixture:
        yield "mixture"


def _other_documents(loaded: LoadedStudy, comparison: Comparison) -> list[str]:
    """Return the components of which the arms take other documents of one and the same corpus."""
    if any(loaded.study.arms[arm].corpus for arm in (comparison.a, comparison.b)):
        return []
    sides = [loaded.corpora[arm].versions[loaded.trainings[arm].version] for arm in (comparison.a, comparison.b)]
    a, b = ({name: side.get(name, "all") for name in loaded.corpora[comparison.a].mixture} for side in sides)
    return [name for name in a if a[name] != b[name]]
