"""How a decoded answer is compared with the right ones: the owners' rules, restated.

In: a prediction and answers, both texts (of DROP, answers are lists of spans). Out: exact match and F1 over words, each
in 0…1. Sources: the evaluation scripts of SQuAD 2.0, TriviaQA, DROP, CoQA and QuAC; DROP's alignment of spans is that
of its authors (the assignment of spans with the greatest total F1).
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment

SPAN_SEPARATOR = ";"
CANNOT_ANSWER = "CANNOTANSWER"

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)
_QUOTES = "‘’´`"
_TO_BLANKS = str.maketrans(dict.fromkeys(string.punctuation + _QUOTES, " "))


def squad_text(text: str) -> str:
    """Lower-case; drop punctuation, then articles; one blank between words (SQuAD; CoQA and QuAC do the same)."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def triviaqa_text(text: str) -> str:
    """As SQuAD's, but underscores part words, and punctuation and quotation marks become blanks before articles go."""
    blanked = text.replace("_", " ").lower().translate(_TO_BLANKS)
    return " ".join(_ARTICLES.sub(" ", blanked).split())


def first_word(text: str) -> str:
    """The first word, without punctuation around it: of LAMBADA one word is asked for."""
    words = text.split()
    return words[0].strip(string.punctuation + _QUOTES + "“”") if words else ""


def exact(prediction: str, answer: str, text: Callable[[str], str] = squad_text) -> float:
    """Tell whether two texts are equal under a rule."""
    return float(text(prediction) == text(answer))


def f1(prediction: str, answer: str, text: Callable[[str], str] = squad_text) -> float:
    """Return F1 of the words under a rule; where either has none, whether both have none."""
    predicted, right = text(prediction).split(), text(answer).split()
    if not predicted or not right:
        return float(predicted == right)
    shared = sum((Counter(predicted) & Counter(right)).values())
    return 2 * shared / (len(predicted) + len(right))


def best(score: Callable[[str, str], float], prediction: str, answers: Sequence[str]) -> float:
    """Return the best score over the answers."""
    return max(score(prediction, answer) for answer in answers)


def leave_one_out(score: Callable[[str, str], float], prediction: str, answers: Sequence[str]) -> float:
    """Return the mean, over the answers, of the best score over all others (CoQA, QuAC): so people and models compare.

    A prediction that equals one answer of several does not reach 1.
    """
    if len(answers) < 2:
        return best(score, prediction, answers)
    left = ([*answers[:number], *answers[number + 1 :]] for number in range(len(answers)))
    return sum(best(score, prediction, others) for others in left) / len(answers)


def quac_answers(answers: Sequence[str]) -> list[str]:
    """Of answers some of which say that there is none, keep what the greater part says; ties mean none."""
    spans = [answer for answer in answers if answer != CANNOT_ANSWER]
    return spans if len(spans) > len(answers) - len(spans) else [CANNOT_ANSWER]


def drop_spans(prediction: str) -> list[str]:
    """Return the spans of a decoded answer to DROP."""
    return [span.strip() for span in prediction.split(SPAN_SEPARATOR) if span.strip()] or [""]


def drop_exact(prediction: Sequence[str], answer: Sequence[str]) -> float:
    """Tell whether both have the same spans."""
    predicted, right = ([" ".join(_drop_words(span)) for span in spans] for spans in (prediction, answer))
    return float(set(predicted) == set(right) and len(predicted) == len(right))


def drop_f1(prediction: Sequence[str], answer: Sequence[str]) -> float:
    """Return the mean F1 of the best assignment of spans; spans without a partner count 0."""
    predicted, right = ([set(_drop_words(span)) for span in spans] for spans in (prediction, answer))
    scores = np.array([[_bag_f1(one, other) for other in right] for one in predicted])
    rows, columns = linear_sum_assignment(-scores)
    return round(float(scores[rows, columns].sum()) / max(len(predicted), len(right)), 2)


def _bag_f1(predicted: set[str], right: set[str]) -> float:
    """F1 of sets of words; 0 where the right answer has numbers and the prediction none of them."""
    numbers = {word for word in right if _is_number(word)}
    if numbers and not numbers & {word for word in predicted if _is_number(word)}:
        return 0.0
    if not predicted or not right:
        return float(predicted == right)
    return 2 * len(predicted & right) / (len(predicted) + len(right))


def _drop_words(text: str) -> list[str]:
    """Return DROP's words: parted at blanks and hyphens, numbers as numbers, no articles and punctuation."""
    words = [_drop_word(word) for word in re.split(" |-", text)]
    return [word for word in words if word]


def _drop_word(word: str) -> str:
    bare = word.lower() if _is_number(word) else word.lower().translate(_PUNCTUATION)
    number = str(float(bare)) if _is_number(bare) else bare
    return " ".join(_ARTICLES.sub(" ", number).split())


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
