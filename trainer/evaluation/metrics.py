"""From what a model answered to scores: each example is a row of sums, a score is a function of the sums of all rows.

In: log-likelihoods of options, or decoded texts. Out: columns of figures, one row an example, and the score that their
sums make. So a score, its bootstrap, the level of chance and that of always saying the same are all one function:
a question's columns are linear in the shares of credit that its options have. The best options share the credit, which
is all there is for one of them alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from trainer.evaluation import answers as rules
from trainer.evaluation.task import Generation, Ranking

Columns = np.ndarray
"""(examples, columns) float64."""

Score = Callable[[np.ndarray], np.ndarray]
"""(…, columns) of sums to (…,) scores."""


@dataclass(frozen=True)
class Choices:
    """The questions of a task as they were answered.

    Attributes:
        shares: of every question, (options,) the share of the credit of each option.
        gold: of every question, the numbers of the right options.
        wins: of every question, (options, options), 1 where the first option is better than the second, 1/2 where both
            are equal.
    """

    shares: Sequence[np.ndarray]
    gold: Sequence[Sequence[int]]
    wins: Sequence[np.ndarray]

    @classmethod
    def of(cls, scores: Sequence[np.ndarray], gold: Sequence[Sequence[int]]) -> Choices:
        """Make choices by what options are compared by."""
        return cls([credit(one) for one in scores], gold, [_wins(one) for one in scores])


def credit(scores: np.ndarray) -> np.ndarray:
    """Return the share of credit of every option: the best ones have equal shares."""
    best = scores == scores.max()
    return best / best.sum()


def _wins(scores: np.ndarray) -> np.ndarray:
    return (scores[:, None] > scores) + (scores[:, None] == scores) / 2


def option_scores(record: Mapping[str, Any], ranking: Ranking, unconditional: bool) -> np.ndarray:
    """Return what the options of a record are compared by."""
    likelihoods = np.array(record["log_likelihoods"], np.float64)
    if unconditional and "unconditional" in record:
        return likelihoods - np.array(record["unconditional"], np.float64)
    return likelihoods / np.array(record["tokens"]) if ranking.normalization == "tokens" else likelihoods


def ranking_metric(name: str, choices: Choices, positive: int = 1) -> tuple[Columns, Score]:
    """Return the columns of a metric of questions, and its score in 0…100."""
    if name == "f1a":
        return np.array([_f1_row(*pair, positive) for pair in _pairs(choices)]), _f1_of_sums
    if name == "macro_f1":
        classes = max(map(len, choices.shares))
        rows = [[_f1_row(*pair, number) for number in range(classes)] for pair in _pairs(choices)]
        return np.array(rows).reshape(len(rows), -1), _macro_f1_of_sums
    if name in _STEREOSET:
        return np.array([[wins[1, 0], wins[:2, 2].mean(), 1.0] for wins in choices.wins]), _STEREOSET[name]
    if name == "preference":
        return np.array([[shares[0], 1.0] for shares in choices.shares]), percent_of_sums
    return np.array([[shares[list(gold)].sum(), 1.0] for shares, gold in _pairs(choices)]), percent_of_sums


def _pairs(choices: Choices) -> list[tuple[np.ndarray, Sequence[int]]]:
    return list(zip(choices.shares, choices.gold, strict=True))


def _f1_row(shares: np.ndarray, gold: Sequence[int], positive: int) -> list[float]:
    """Return [twice the true positives, predicted and actual positives] of one class."""
    said, is_right = float(shares[positive]), float(positive in gold)
    return [2 * said * is_right, said + is_right]


def percent_of_sums(sums: np.ndarray) -> np.ndarray:
    """100 · Σ right / Σ examples; not a number where a resample holds none of them."""
    with np.errstate(invalid="ignore"):
        return 100 * sums[..., 0] / sums[..., 1]


def _stereotypes_of_sums(sums: np.ndarray) -> np.ndarray:
    return 100 * sums[..., 0] / sums[..., 2]


def _meaningful_of_sums(sums: np.ndarray) -> np.ndarray:
    return 100 * sums[..., 1] / sums[..., 2]


def _icat_of_sums(sums: np.ndarray) -> np.ndarray:
    stereotypes = _stereotypes_of_sums(sums)
    return _meaningful_of_sums(sums) * np.minimum(stereotypes, 100 - stereotypes) / 50


_STEREOSET: dict[str, Score] = {"ss": _stereotypes_of_sums, "lms": _meaningful_of_sums, "icat": _icat_of_sums}
"""StereoSet's scores (Nadeem et al. 2021), over all examples: how often the stereotype is likelier than the
anti-stereotype; how often either is likelier than the unrelated; and the two in one, 100 at best."""


def _f1_of_sums(sums: np.ndarray) -> np.ndarray:
    return 100 * sums[..., 0] / np.maximum(sums[..., 1], 1e-300)


def _macro_f1_of_sums(sums: np.ndarray) -> np.ndarray:
    return _f1_of_sums(sums.reshape(*sums.shape[:-1], -1, 2)).mean(axis=-1)


def generation_metric(name: str, generation: Generation, records: Sequence[Mapping[str, Any]]) -> tuple[Columns, Score]:
    """Return the columns of a metric of decoded answers, and its score in 0…100."""
    scorer = _answer_scorer(name, generation)
    return np.array([[scorer(record["prediction"], record["answers"]), 1.0] for record in records]), percent_of_sums


def _answer_scorer(name: str, generation: Generation) -> Callable[[str, Sequence[Any]], float]:
    if generation.rules == "drop":
        of_spans = rules.drop_exact if name == "em" else rules.drop_f1
        return lambda prediction, answers: max(of_spans(rules.drop_spans(prediction), answer) for answer in answers)
    if generation.rules == "first_word":
        return lambda prediction, answers: max(
            float(rules.first_word(prediction) == rules.first_word(answer)) for answer in answers
        )
    text = rules.triviaqa_text if generation.rules == "triviaqa" else rules.squad_text
    of_pair = rules.exact if name == "em" else rules.f1
    over = rules.leave_one_out if name == "f1_leave_one_out" else rules.best

    def score(prediction: str, answers: Sequence[str]) -> float:
        right = rules.quac_answers(answers) if generation.rules == "quac" else answers
        said = "" if generation.no_answer is not None and text(prediction) == text(generation.no_answer) else prediction
        return over(lambda one, other: of_pair(one, other, text), said, right)

    return score


def perplexity_metric(name: str, records: Sequence[Mapping[str, Any]]) -> tuple[Columns, Score]:
    """Return the columns of a metric of texts, and its score: perplexity of a word, or bits a byte."""
    unit, score = ("words", perplexity) if name == "word_perplexity" else ("bytes", bits)
    columns = np.array([[record["nats"], record[unit]] for record in records], np.float64)
    return columns, lambda sums: score(sums[..., 0], sums[..., 1])


def perplexity(nats: np.ndarray, units: np.ndarray) -> np.ndarray:
    """Return e to the nats a unit, a token or a word."""
    return np.exp(np.minimum(nats / units, 700.0))


def bits(nats: np.ndarray, units: np.ndarray) -> np.ndarray:
    """Return the bits a unit, a byte."""
    return nats / np.log(2) / units
