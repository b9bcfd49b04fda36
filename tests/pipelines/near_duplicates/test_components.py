"""Large-star / small-star rounds against union-find, and the check that they have ended."""

from __future__ import annotations

from itertools import pairwise

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.testing.util import assert_that
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.near_duplicates.components import (
    EDGE,
    ComponentsError,
    ConnectedComponents,
    both_directions,
    labels_of,
    large_star,
    make_edges,
    small_star,
)
from pipelines.near_duplicates.shuffle import load


def brute_force(pairs: list[tuple[int, int]]) -> dict[int, int]:
    """The least node that each node is connected with."""
    root = {node: node for pair in pairs for node in pair}
    changed = True
    while changed:
        changed = False
        for left, right in pairs:
            least = min(root[left], root[right])
            if (root[left], root[right]) != (least, least):
                root[left] = root[right] = least
                changed = True
    return root


def as_edges(pairs: list[tuple[int, int]]) -> np.ndarray:
    """Edges from the larger to the smaller node."""
    values = np.array(pairs, np.uint64).reshape(-1, 2)
    return make_edges(values.max(axis=1), values.min(axis=1)) if len(values) else np.empty(0, EDGE)


def run_rounds(pairs: list[tuple[int, int]], rounds: int) -> dict[int, int]:
    edges = as_edges(pairs)
    for _ in range(rounds):
        edges = small_star(large_star(both_directions(edges)))
    roots = np.unique(edges["neighbor"])
    return dict(labels_of(np.concatenate((edges, make_edges(roots, roots))), rounds).tolist())


pair_lists = st.lists(
    st.tuples(st.integers(0, 30), st.integers(0, 30)).filter(lambda pair: pair[0] != pair[1]), max_size=60
)


@settings(max_examples=300, deadline=None)
@given(pair_lists)
def test_every_node_finds_the_least_node_that_it_is_connected_with(pairs: list[tuple[int, int]]) -> None:
    assert run_rounds(pairs, 12) == brute_force(pairs)


def test_a_graph_that_needs_more_rounds_is_refused_and_never_labeled_wrongly() -> None:
    shuffled = np.random.default_rng(1).permutation(3000).tolist()
    path = list(pairwise(shuffled))
    with pytest.raises(ComponentsError, match=r"not final after 2 rounds; raise deduplicate\.rounds to 4"):
        run_rounds(path, 2)
    assert set(run_rounds(path, 16).values()) == {0}


@pytest.mark.parametrize("partitions", [1, 5])
def test_the_job_labels_as_brute_force_does(partitions: int) -> None:
    drawn = np.random.default_rng(7).integers(0, 40, (40, 2)).tolist()
    far = 1 << 63  # nodes of both halves of the 64 bits
    pairs = [(far + left, far + right) for left, right in drawn if left != right]
    pairs += [(number, number + 1) for number in range(10, 30)]

    def check(blocks: list[tuple[int, bytes]]) -> None:
        labels = load([block for _, block in blocks], EDGE)
        assert dict(labels.tolist()) == brute_force(pairs)
        assert len(labels) == len(brute_force(pairs))

    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        edges = pipeline | beam.Create([(0, as_edges(pairs[:20]).tobytes()), (1, as_edges(pairs[20:]).tobytes())])
        assert_that(edges | ConnectedComponents(6, partitions), check)
