"""Clusters to decisions: copies of one content, the documents that stay of a cluster, and the similarity to them.

The documents of a cluster stand in an order: priority rank of the component, greater length in characters, smaller id.
In this order each content stays unless it is linked to one that stays already; then the first such is its
representative. (This is the lexicographically first maximal independent set of the verified pairs.) So every removed
document is at least as similar as the threshold to one that stays, no two that stay are linked, and a document is
never lost with all its copies. A chain of small changes keeps several documents if its ends differ enough.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from pipelines.near_duplicates.components import EDGE
from pipelines.near_duplicates.lsh import distinct_pairs, run_starts
from pipelines.near_duplicates.mixing import Words
from pipelines.near_duplicates.records import DECISION, EXACT_DUPLICATE, MEMBER, NEAR_DUPLICATE, ROOTED, STAYS


def hash_words(hashes: np.ndarray) -> tuple[Words, Words]:
    """Return 16-byte hashes as two columns of integers that sort as the bytes do."""
    words = np.ascontiguousarray(hashes).view(">u8").reshape(-1, 2).astype(np.uint64)
    return words[:, 0], words[:, 1]


def exact_groups(contents: np.ndarray) -> np.ndarray:
    """Return the members (dtype MEMBER, no root yet) of contents (dtype CONTENT), with the node of each content."""
    high, low = hash_words(contents["content"])
    order = np.lexsort((contents["node"], low, high))
    contents, starts = contents[order], run_starts(high[order], low[order])
    members = np.zeros(len(contents), MEMBER)
    for name in ("node", "id", "length", "priority"):
        members[name] = contents[name]
    members["carrier"] = contents["node"][starts][np.cumsum(starts) - 1]
    return members


def look_up(labels: np.ndarray, nodes: Words) -> tuple[Words, NDArray[np.bool_]]:
    """Return the root of each node, itself where it has no label, and whether it has one.

    Args:
        labels: dtype EDGE, sorted by node, one a node.
        nodes: in any order.
    """
    if not len(labels):
        return nodes, np.zeros(len(nodes), np.bool_)
    place = np.minimum(np.searchsorted(labels["node"], nodes), len(labels) - 1)
    found = labels["node"][place] == nodes
    return np.where(found, labels["neighbor"][place], nodes), found


def with_roots(members: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, NDArray[np.bool_]]:
    """Return members with their roots, and which of them share a cluster with another content."""
    members = members.copy()
    members["root"], clustered = look_up(labels[np.argsort(labels["node"])], members["carrier"])
    return members, clustered


def with_root(comparisons: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return comparisons (dtype COMPARISON) with the root of their cluster (dtype ROOTED)."""
    rooted = np.empty(len(comparisons), ROOTED)
    for name in ("first", "second", "intersection", "union"):
        rooted[name] = comparisons[name]
    rooted["root"], _ = look_up(labels[np.argsort(labels["node"])], comparisons["first"])
    return rooted


def missing_pairs(members: np.ndarray, links: np.ndarray) -> np.ndarray:
    """Return the pairs (dtype PAIR) of each cluster's first content with those that no link joins it to.

    They are compared too, one a content, since a crowded bucket does not pair all its members.

    Args:
        members: dtype MEMBER; all the members of a cluster must be here.
        links: verified pairs of carriers, with fields first and second.
    """
    members, _ = _in_order(members)
    starts = run_starts(members["root"])
    first = members["carrier"][starts][np.cumsum(starts) - 1]
    others = members["carrier"] != first
    pairs = distinct_pairs(members["carrier"][others], first[others])
    return pairs[find_pairs(links, pairs) < 0]


def decide(members: np.ndarray, links: np.ndarray) -> np.ndarray:
    """Decide on the members of whole clusters.

    Args:
        members: dtype MEMBER; all the members of a cluster must be here.
        links: verified pairs of carriers, with fields first, second, intersection, union.

    Returns:
        Decisions (dtype DECISION), one a member.
    """
    members, id_ranks = _in_order(members)
    decisions = np.zeros(len(members), DECISION)
    if not len(members):
        return decisions
    carriers, leaders, contents = np.unique(members["carrier"], return_index=True, return_inverse=True)
    ends = [leaders[np.searchsorted(carriers, links[name])] for name in ("first", "second")]
    keepers, reasons = _keepers(len(members), np.minimum(*ends), np.maximum(*ends))
    leader = leaders[contents]  # the first member of each one's content: it stands for all its copies
    keeper, link = keepers[leader], reasons[leader]
    stays, linked = keeper == np.arange(len(members)), link >= 0
    decisions["node"], decisions["representative"] = members["node"], members["id"][keeper]
    decisions["reason"] = np.where(linked, NEAR_DUPLICATE, np.where(stays, STAYS, EXACT_DUPLICATE))
    for name in ("intersection", "union"):
        decisions[name] = 1
        decisions[name][linked] = links[name][link[linked]]
    starts = np.flatnonzero(run_starts(members["root"]))
    sizes = np.diff(np.append(starts, len(members)))
    least = np.argsort(id_ranks)[np.minimum.reduceat(id_ranks, starts)]
    decisions["cluster"] = np.repeat(members["id"][least], sizes)
    decisions["cluster_stays"] = np.repeat(np.add.reduceat(stays, starts, dtype=np.uint32), sizes)
    return decisions


def _in_order(members: np.ndarray) -> tuple[np.ndarray, NDArray[np.int64]]:
    """Return members by cluster and in a cluster's order, and the place of each one's id among all their ids."""
    id_high, id_low = hash_words(members["id"])
    id_ranks = np.empty(len(members), np.int64)
    id_ranks[np.lexsort((id_low, id_high))] = np.arange(len(members))
    shortness = np.uint32(0xFFFFFFFF) - members["length"]
    order = np.lexsort((id_ranks, shortness, members["priority"], members["root"]))
    return members[order], id_ranks[order]


def _keepers(
    count: int, earlier: NDArray[np.int64], later: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Choose what stays of `count` contents in order, given the links of an earlier and a later one.

    Returns:
        For each the one that stays for it, itself if it stays, and the number of the link between them, else -1.
    """
    keepers, reasons = np.arange(count), np.full(count, -1)
    order = np.lexsort((later, earlier))
    earlier, later = earlier[order], later[order]
    bounds = np.append(np.flatnonzero(run_starts(earlier)), len(order)).tolist()
    for start, end in pairwise(bounds):
        if reasons[earlier[start]] < 0:
            free = start + np.flatnonzero(reasons[later[start:end]] < 0)
            keepers[later[free]], reasons[later[free]] = earlier[start], order[free]
    return keepers, reasons


def find_pairs(table: np.ndarray, wanted: np.ndarray) -> NDArray[np.int64]:
    """Return the position in `table` of each wanted pair (fields first and second), or -1."""
    first = np.concatenate((table["first"], wanted["first"]))
    second = np.concatenate((table["second"], wanted["second"]))
    order = np.lexsort((np.arange(len(first)), second, first))  # of equal pairs, the table's comes before the wanted
    if not len(order):
        return np.empty(0, np.int64)
    starts = run_starts(first[order], second[order])
    leader = order[starts][np.cumsum(starts) - 1]
    place = np.empty(len(order), np.int64)
    place[order] = np.where(leader < len(table), leader, -1)
    return place[len(table) :]


def linked_edges(comparisons: np.ndarray) -> np.ndarray:
    """Return comparisons as edges from the larger to the smaller node."""
    edges = np.empty(len(comparisons), EDGE)
    edges["node"], edges["neighbor"] = comparisons["second"], comparisons["first"]
    return edges
