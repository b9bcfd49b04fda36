"""Who stays, who is whose duplicate, and how similar."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.near_duplicates.clusters import decide, exact_groups, find_pairs, missing_pairs, with_roots
from pipelines.near_duplicates.components import EDGE
from pipelines.near_duplicates.jaccard import COMPARISON, at_least
from pipelines.near_duplicates.lsh import PAIR
from pipelines.near_duplicates.records import CONTENT, EXACT_DUPLICATE, MEMBER, NEAR_DUPLICATE, STAYS


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
        decisions = decide(cluster, compared)
        kept = int(cluster["id"][1].tobytes()[-1])
        assert outcome(decisions) == {2: (STAYS, kept), 1: (NEAR_DUPLICATE, kept)}
        assert decisions["intersection"].tolist() == [1, 8]
        assert decisions["union"].tolist() == [1, 10]


def test_copies_of_what_stays_are_exact_duplicates_and_copies_of_what_goes_near_duplicates() -> None:
    cluster = members((1, 1, 1, 1, 500, 0), (1, 1, 3, 3, 500, 0), (1, 2, 2, 2, 400, 0), (1, 2, 4, 4, 400, 0))
    decisions = decide(cluster, np.array([(1, 2, 9, 10)], COMPARISON))
    assert outcome(decisions) == {
        1: (STAYS, 1),
        3: (EXACT_DUPLICATE, 1),
        2: (NEAR_DUPLICATE, 1),
        4: (NEAR_DUPLICATE, 1),
    }


def test_the_end_of_a_chain_stays_since_it_is_not_linked_to_what_stays() -> None:
    cluster = members((1, 1, 1, 7, 500, 0), (1, 2, 2, 8, 400, 0), (1, 3, 3, 9, 300, 0))
    decisions = decide(cluster, np.array([(1, 2, 9, 10), (2, 3, 8, 10)], COMPARISON))
    assert outcome(decisions) == {1: (STAYS, 7), 2: (NEAR_DUPLICATE, 7), 3: (STAYS, 9)}
    assert {bytes(cluster) for cluster in decisions["cluster"]} == {name(7)}
    assert decisions["cluster_stays"].tolist() == [2, 2, 2]


def test_what_no_link_joins_to_the_first_of_its_cluster_is_asked_for_once_a_content() -> None:
    cluster = members(
        (1, 1, 1, 7, 300, 0), (1, 2, 2, 8, 400, 0), (1, 3, 3, 9, 500, 0), (1, 1, 4, 6, 300, 0), (5, 5, 5, 5, 9, 0)
    )
    links = np.array([(1, 2, 8, 10), (2, 3, 9, 10)], COMPARISON)
    assert missing_pairs(cluster, links).tolist() == [(1, 3)]
    assert not len(missing_pairs(cluster[:0], links[:0]))


def reference(rows: np.ndarray, links: np.ndarray) -> dict[int, tuple[int, bytes, bytes, int]]:
    """Decide one member after the other: {node: (reason, representative, cluster, how many stay)}."""
    pairs = {frozenset(pair) for pair in zip(links["first"].tolist(), links["second"].tolist(), strict=True)}
    ordered = sorted(rows, key=lambda m: (int(m["priority"]), -int(m["length"]), bytes(m["id"])))
    staying: list[np.void] = []
    chosen = {}
    for member in ordered:
        same = [kept for kept in staying if kept["carrier"] == member["carrier"]]
        linked = [kept for kept in staying if frozenset((int(kept["carrier"]), int(member["carrier"]))) in pairs]
        if not same and not linked:
            staying.append(member)
        reason = EXACT_DUPLICATE if same else NEAR_DUPLICATE if linked else STAYS
        chosen[int(member["node"])] = (reason, bytes((same or linked or [member])[0]["id"]))
    cluster_of = {root: min(bytes(m["id"]) for m in rows if m["root"] == root) for root in rows["root"].tolist()}
    stays = {root: sum(kept["root"] == root for kept in staying) for root in rows["root"].tolist()}
    return {int(m["node"]): (*chosen[m["node"]], cluster_of[m["root"]], stays[m["root"]]) for m in rows}


contents = st.lists(st.integers(0, 3), min_size=1, max_size=14)


@settings(max_examples=200, deadline=None)
@given(contents, st.sets(st.tuples(st.integers(0, 13), st.integers(0, 13))), st.randoms(use_true_random=False))
def test_decisions_are_those_of_one_member_after_the_other(copies, drawn, random) -> None:
    """Two clusters of contents with 1 to 4 copies each, any links within them."""
    rows = np.zeros(sum(copies) + len(copies), MEMBER)
    carriers = [content for content, more in enumerate(copies) for _ in range(more + 1)]
    rows["carrier"], rows["root"] = carriers, [content % 2 for content in carriers]
    rows["node"] = 100 + np.arange(len(rows))
    rows["length"] = [10 + content % 3 for content in carriers]
    rows["priority"] = [random.randrange(2) for _ in carriers]
    rows["id"] = [name(number) for number in random.sample(range(1000), len(carriers))]
    pairs = sorted({(a, b) for a, b in drawn if a < b < len(copies) and a % 2 == b % 2})
    links = np.array([(a, b, 9, 10) for a, b in pairs], COMPARISON)
    decisions = decide(rows[random.sample(range(len(rows)), len(rows))], links)
    found = {
        int(d["node"]): (int(d["reason"]), bytes(d["representative"]), bytes(d["cluster"]), int(d["cluster_stays"]))
        for d in decisions
    }
    assert found == reference(rows, links)


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
    wanted = np.array([(1, 3), (1, 2), (5, 7), (2, 3), (1, 3)], PAIR)
    assert find_pairs(table, wanted).tolist() == [2, 1, -1, -1, 2]


def test_the_threshold_is_met_in_integers() -> None:
    comparisons = np.array([(1, 2, 4, 5), (1, 3, 399_999_999, 500_000_000), (1, 4, 0, 0), (1, 5, 5, 5)], COMPARISON)
    assert at_least(comparisons, Fraction("0.8")).tolist() == [True, False, False, True]
