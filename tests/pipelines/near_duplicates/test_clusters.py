"""Who stays, who is whose duplicate, and how similar."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from pipelines.near_duplicates.clusters import decide, exact_groups, find_pairs, pending_pairs, resolve, with_roots
from pipelines.near_duplicates.components import EDGE
from pipelines.near_duplicates.jaccard import COMPARISON, at_least
from pipelines.near_duplicates.records import CONTENT, EXACT_DUPLICATE, MEMBER, NEAR_DUPLICATE, PENDING, STAYS


def name(number: int) -> bytes:
    return number.to_bytes(16, "big")


def members(*rows: tuple[int, int, int, int, int, int]) -> np.ndarray:
    """Rows of (root, carrier, node, id, length, priority)."""
    return np.array([(r, c, n, name(i), length, p) for r, c, n, i, length, p in rows], MEMBER)


def outcome(decisions: np.ndarray) -> dict[int, tuple[int, int]]:
    """Reason and id of the representative, by node."""
    return {int(d["node"]): (int(d["reason"]), int.from_bytes(bytes(d["representative"]), "big")) for d in decisions}


NONE = np.empty(0, COMPARISON)


def test_priority_comes_before_length_and_length_before_id() -> None:
    by_priority = members((1, 1, 1, 1, 900, 1), (1, 2, 2, 9, 100, 0))
    by_length = members((1, 1, 1, 1, 100, 0), (1, 2, 2, 9, 101, 0))
    by_id = members((1, 1, 1, 9, 100, 0), (1, 2, 2, 8, 100, 0))
    compared = np.array([(1, 2, 8, 10)], COMPARISON)
    for cluster in (by_priority, by_length, by_id):
        decisions, pending = decide(cluster, compared)
        kept = int(cluster["id"][1].tobytes()[-1])
        assert outcome(decisions) == {2: (STAYS, kept), 1: (NEAR_DUPLICATE, kept)}
        assert not len(pending)
        assert decisions["intersection"].tolist() == [1, 8]
        assert decisions["union"].tolist() == [1, 10]


def test_copies_of_what_stays_are_exact_duplicates_and_copies_of_what_goes_near_duplicates() -> None:
    cluster = members((1, 1, 1, 1, 500, 0), (1, 1, 3, 3, 500, 0), (1, 2, 2, 2, 400, 0), (1, 2, 4, 4, 400, 0))
    decisions, _ = decide(cluster, np.array([(1, 2, 9, 10)], COMPARISON))
    assert outcome(decisions) == {
        1: (STAYS, 1),
        3: (EXACT_DUPLICATE, 1),
        2: (NEAR_DUPLICATE, 1),
        4: (NEAR_DUPLICATE, 1),
    }


def test_a_pair_never_compared_waits_for_its_comparison() -> None:
    cluster = members((1, 1, 1, 1, 500, 0), (1, 2, 2, 2, 400, 0), (1, 3, 3, 3, 300, 0))
    decisions, pending = decide(cluster, np.array([(1, 2, 9, 10), (2, 3, 8, 10)], COMPARISON))
    assert set(outcome(decisions)) == {1, 2}
    assert pending_pairs(pending).tolist() == [(1, 3)]
    late, left = resolve(pending, np.array([(1, 3, 7, 10)], COMPARISON))
    assert outcome(late) == {3: (NEAR_DUPLICATE, 1)}
    assert (late["intersection"][0], late["union"][0], len(left)) == (7, 10, 0)


def test_each_cluster_keeps_exactly_one_document() -> None:
    generator = np.random.default_rng(2)
    rows = np.zeros(500, MEMBER)
    rows["root"], rows["node"] = generator.integers(0, 60, 500), np.arange(500)
    rows["carrier"], rows["length"] = rows["root"], generator.integers(1, 4, 500)
    rows["id"] = [generator.bytes(16) for _ in range(500)]
    decisions, _ = decide(rows, NONE)
    kept = decisions[decisions["reason"] == STAYS]
    assert len(kept) == len(np.unique(rows["root"]))
    assert {bytes(d["representative"]) for d in decisions} == {bytes(d["representative"]) for d in kept}


def test_copies_share_the_node_of_the_first_and_labels_are_theirs() -> None:
    contents = np.array(
        [(name(7), 9, name(1), 5, 0), (name(6), 4, name(2), 5, 0), (name(7), 2, name(3), 5, 0)], CONTENT
    )
    grouped = exact_groups(contents)
    assert dict(zip(grouped["node"].tolist(), grouped["carrier"].tolist(), strict=True)) == {9: 2, 2: 2, 4: 4}
    rooted, clustered = with_roots(grouped, np.array([(2, 1), (1, 1)], EDGE))
    assert dict(zip(rooted["node"].tolist(), rooted["root"].tolist(), strict=True)) == {9: 1, 2: 1, 4: 4}
    assert dict(zip(rooted["node"].tolist(), clustered.tolist(), strict=True)) == {9: True, 2: True, 4: False}


def test_pairs_are_found_by_both_nodes() -> None:
    table = np.array([(5, 6, 1, 2), (1, 2, 1, 2), (1, 3, 1, 2)], COMPARISON)
    wanted = np.zeros(5, PENDING)
    wanted["first"], wanted["second"] = [1, 1, 5, 2, 1], [3, 2, 7, 3, 3]
    assert find_pairs(table, wanted).tolist() == [2, 1, -1, -1, 2]


def test_the_threshold_is_met_in_integers() -> None:
    comparisons = np.array([(1, 2, 4, 5), (1, 3, 399_999_999, 500_000_000), (1, 4, 0, 0), (1, 5, 5, 5)], COMPARISON)
    assert at_least(comparisons, Fraction("0.8")).tolist() == [True, False, False, True]
