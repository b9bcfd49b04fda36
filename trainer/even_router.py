"""What a router drops that is even: every token's choices are drawn evenly and independently, and none is padding.

T tokens of a group, E experts, C slots of an expert, K choices. In: these numbers. Out: the expected share of the
first and of the second choices that find their expert full, in closed form. A trained router is less even, so it drops
more; the auxiliary loss is there to bring it near.

The first choices of an expert are binomial, N₁ ~ B(T, 1/E), and C of them are kept. Its second choices come from the
other tokens, N₂ ~ B(T − N₁, 1/(E − 1)), and find C − min(N₁, C) slots. For B ~ B(m, q) and a whole number f,
E[max(B − f, 0)] = m·q·P(B(m − 1, q) ≥ f) − f·P(B > f).
"""

from __future__ import annotations

import numpy as np
from scipy.stats import binom


def expected_drops(tokens: int, experts: int, capacity: int, choices: int) -> list[float]:
    """Return the expected share that is dropped of the first choices and, with K = 2, of the second ones."""
    scale = experts / tokens
    drops = [scale * float(_excess(np.array([tokens]), 1 / experts, np.array([capacity]))[0])]
    if choices == 2:
        first = np.arange(tokens + 1)
        free = np.maximum(capacity - first, 0)
        excess = _excess(tokens - first, 1 / (experts - 1), free)
        drops.append(scale * float(np.sum(binom.pmf(first, tokens, 1 / experts) * excess)))
    return drops


def _excess(draws: np.ndarray, share: float, free: np.ndarray) -> np.ndarray:
    """Return by how much a binomial exceeds `free` in the mean."""
    above = draws * share * binom.sf(free - 1, np.maximum(draws - 1, 0), share)
    return above - free * binom.sf(free, draws, share)
