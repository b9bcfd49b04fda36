"""How far a quality classifier can be trusted: labeled texts in, figures out.

Every score here is out of sample: a text is scored by the model of its fold, which never learned from it. That alone
does not show the classic failure, a classifier that learned to tell sources apart. So there are figures by source,
host, language and length, and for some sources and hosts, chosen by keyed hash, a model is trained without any text
of theirs and scores them: if the order then falls apart, it was the name of the source that was learned.

AUC is the chance that a positive and a negative have scores in that order, a tie counting half. That of a group pairs
its texts with all of the other class; `within` pairs only texts of the group.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.classifier import class_figures, rounded, score_by_fold
from pipelines.folds import Folds
from pipelines.quality_texts import LabeledText
from pipelines.store.hashing import KeyedHash
from quality_filter.classifier import LinearClassifier
from quality_filter.evaluation import auc, bootstrap_auc, count_scores, histogram_by_source
from quality_filter.examples import document_examples, length_bucket
from quality_filter.settings import QualitySettings
from quality_filter.train import train_classifier

LEAST_TEXTS = 15
"""A source or host with fewer texts is not left out: its figure would tell nothing."""
SHOWN = 12
SNIPPET_CHARACTERS = 500
HISTOGRAM_BINS = 20

Say = Callable[[str], None]


@dataclass(frozen=True)
class Training:
    """What models are trained with: settings, and the seed of folds and of the order of examples."""

    settings: QualitySettings
    seed: int

    def train(self, texts: Sequence[LabeledText]) -> LinearClassifier:
        """Train one model on texts.

        Raises:
            ValueError: when a class has no text.
        """
        order = KeyedHash(self.seed, "classifier")
        examples = [
            example
            for text in texts
            for example in document_examples(text.id, text.source, text.positive, text.text, self.settings, order)
        ]
        return train_classifier(examples, self.settings, order)

    def folds(self, texts: Sequence[LabeledText]) -> np.ndarray:
        """Return each text's fold."""
        ids = np.array([text.id for text in texts], "V16")
        return Folds(self.seed, self.settings.folds).of(ids, (text.host if text.by_host else None for text in texts))


def train_folds(texts: Sequence[LabeledText], training: Training, say: Say) -> list[LinearClassifier]:
    """Train a model a fold, each without the texts of its own fold.

    Raises:
        ValueError: when a class has too few texts for the folds.
    """
    fold, folds = training.folds(texts).tolist(), training.settings.folds
    learned = [
        [text for text, its_fold in zip(texts, fold, strict=True) if its_fold != number and text.seen]
        for number in range(folds)
    ]
    for positive, name in ((True, "positive"), (False, "negative")):
        if not all(any(text.positive is positive for text in some) for some in learned):
            count = sum(text.positive is positive for text in texts)
            raise ValueError(
                f"too few {name} texts for {folds} folds: of {count}, none is left to learn from without one of the "
                f"folds; give more {name} texts"
            )
    models = []
    for number, some in enumerate(learned):
        say(f"  training without fold {number + 1} of {folds}")
        models.append(training.train(some))
    return models


def evaluate(
    texts: Sequence[LabeledText], models: list[LinearClassifier], training: Training, groups: int, say: Say
) -> dict[str, Any]:
    """Return the figures (docs/formats.md, "JSON on stdout", `quality evaluate`).

    Args:
        texts: labeled texts of both classes, each once.
        models: one a fold of `training`, or one that learned from none of the texts.
        training: how models without a group are trained.
        groups: sources and hosts to leave out, at most so many of each.
        say: told what is being done.
    """
    fold = training.folds(texts) if len(models) > 1 else np.zeros(len(texts), np.int8)
    scores = score_by_fold(models, pa.array([text.text for text in texts], pa.large_string()), fold)
    positive = np.array([text.positive for text in texts])
    seen = np.array([text.seen for text in texts])
    judged = ("heldout", ~seen), ("cross_fitted", seen)
    by: dict[str, list[Any]] = {
        "sources": [text.source for text in texts],
        "hosts": [text.host for text in texts],
        "languages": [text.language for text in texts],
        "lengths": [length_bucket(text.text) for text in texts],
    }
    left_out = [
        row
        for kind in ("sources", "hosts")
        for row in _leave_out(kind, by[kind], texts, fold, scores, training, groups, say)
    ]
    histograms = {
        name: count_scores(scores[np.array([text.source == name for text in texts])]) for name in set(by["sources"])
    }
    return {
        **{name: _with_interval(scores[chosen], positive[chosen], name) for name, chosen in judged},
        **{kind: _by_group(names, scores, positive) for kind, names in by.items() if kind != "lengths"},
        "lengths": sorted(_by_group(by["lengths"], scores, positive), key=lambda row: int(row["group"])),
        "left_out": left_out,
        "histogram": histogram_by_source(histograms, HISTOGRAM_BINS),
        **_pages_to_read(texts, scores),
    }


def _with_interval(scores: np.ndarray, positive: np.ndarray, purpose: str) -> dict[str, Any]:
    figures = class_figures(scores, positive)
    if "auc" in figures:
        low, high = bootstrap_auc(scores[positive], scores[~positive], KeyedHash(0, "bootstrap")(purpose.encode()))
        figures |= {"auc_low": round(low, 6), "auc_high": round(high, 6)}
    return figures


def _auc(scores: np.ndarray, positives: np.ndarray, negatives: np.ndarray) -> Fraction | None:
    if not positives.any() or not negatives.any():
        return None
    return auc(count_scores(scores[positives]), count_scores(scores[negatives]))


def _against_others(scores: np.ndarray, positive: np.ndarray, group: np.ndarray) -> Fraction | None:
    """Return the AUC of a group's texts, each class paired with all texts of the other, weighted by pairs."""
    pairs = [
        (_auc(scores, group & positive, ~positive), int((group & positive).sum()) * int((~positive).sum())),
        (_auc(scores, positive, group & ~positive), int((group & ~positive).sum()) * int(positive.sum())),
    ]
    known = [(figure, weight) for figure, weight in pairs if figure is not None]
    total = sum(weight for _, weight in known)
    return sum((figure * weight for figure, weight in known), Fraction(0)) / total if total else None


def _by_group(groups: Sequence[Any], scores: np.ndarray, positive: np.ndarray) -> list[dict[str, Any]]:
    """Return a row for every group (None is no group), the largest first."""
    rows = []
    counts = Counter(group for group in groups if group is not None)
    for group, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        chosen = np.array([name == group for name in groups])
        rows.append(
            {
                "group": group,
                "positives": int((chosen & positive).sum()),
                "negatives": int((chosen & ~positive).sum()),
                "mean": rounded(
                    Fraction(2 * int(scores[chosen].sum()) + len(scores[chosen]), len(scores[chosen]) << 17)
                ),
                "auc": rounded(_against_others(scores, positive, chosen)),
                "within": rounded(_auc(scores, chosen & positive, chosen & ~positive)),
            }
        )
    return rows


def _leave_out(
    kind: str,
    groups: Sequence[Any],
    texts: Sequence[LabeledText],
    fold: np.ndarray,
    scores: np.ndarray,
    training: Training,
    count: int,
    say: Say,
) -> list[dict[str, Any]]:
    """Return what models say of groups that they learned nothing from.

    Such a model learns neither from the group nor from the first fold, whose texts of other groups it is compared on.
    """
    draw = KeyedHash(training.seed, "left-out")
    sizes = Counter(group for group in groups if group is not None)
    large = [group for group, size in sizes.items() if size >= LEAST_TEXTS]
    ranked = sorted(large, key=lambda group: (draw(f"{kind} {group}".encode()), group))
    positive = np.array([text.positive for text in texts])
    rows: list[dict[str, Any]] = []
    for name in ranked:
        if len(rows) == count:
            break
        group = np.array([one == name for one in groups])
        learned = [t for t, out, number in zip(texts, group, fold, strict=True) if t.seen and not out and number != 0]
        if len({text.positive for text in learned}) < 2:
            say(f"  {kind[:-1]} {name} cannot be left out: a class has no other text")
            continue
        say(f"  training without the {kind[:-1]} {name}")
        apart = group | ((fold == 0) & ~group) | ~np.array([text.seen for text in texts])
        rows_of = np.flatnonzero(apart).tolist()
        without = scores.copy()
        model = training.train(learned)
        without[rows_of] = model.score_batch(pa.array([texts[row].text for row in rows_of], pa.large_string()))
        figures = [_against_others(s[apart], positive[apart], group[apart]) for s in (scores, without)]
        mean = Fraction(2 * int(without[group].sum()) + int(group.sum()), int(group.sum()) << 17)
        rows.append(
            {
                "kind": kind[:-1],
                "group": name,
                "positives": int((group & positive).sum()),
                "negatives": int((group & ~positive).sum()),
                "auc": rounded(figures[0]),
                "auc_left_out": rounded(figures[1]),
                "mean_left_out": rounded(mean),
            }
        )
    return rows


def _pages_to_read(texts: Sequence[LabeledText], scores: np.ndarray) -> dict[str, list[dict[str, Any]]]:
    """Return the negatives of the highest and the positives of the lowest scores, and both ends of all negatives."""

    def shown(rows: list[tuple[int, bytes, LabeledText]]) -> list[dict[str, Any]]:
        return [
            {
                "score": score,
                "id": text.id.hex(),
                "source": text.source,
                "host": text.host,
                "language": text.language,
                "text": text.text[:SNIPPET_CHARACTERS],
            }
            for score, _, text in rows[:SHOWN]
        ]

    ranked = sorted(
        ((int(score), text.id, text) for score, text in zip(scores, texts, strict=True)), key=lambda row: row[:2]
    )
    negatives = [row for row in ranked if not row[2].positive]
    return {
        "top_negatives": shown(negatives[::-1]),
        "bottom_negatives": shown(negatives),
        "bottom_positives": shown([row for row in ranked if row[2].positive]),
    }
