"""Clusters to decisions: copies of one content, the document that stays for a cluster, and the similarity to it.

Of a cluster that document stays which comes first by: priority rank of its component, greater length in characters,
smaller id. A removed document of the same content as the one that stays is an exact duplicate, every other a
near-duplicate, also where it was linked through others. So a document is never lost with all its copies.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipelines.near_duplicates.components import EDGE
from pipelines.near_duplicates.lsh import PAIR, distinct_pairs, run_starts
from pipelines.near_duplicates.mixing import Words
from pipelines.near_duplicates.records import DECISION, EXACT_DUPLICATE, MEMBER, NEAR_DUPLICATE, PENDING, ROOTED, STAYS


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


def root_comparisons(comparisons: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return comparisons (dtype COMPARISON) with the root of their cluster (dtype ROOTED)."""
    rooted = np.empty(len(comparisons), ROOTED)
    for name in ("first", "second", "intersection", "union"):
        rooted[name] = comparisons[name]
    rooted["root"], _ = look_up(labels[np.argsort(labels["node"])], comparisons["first"])
    return rooted


def decide(members: np.ndarray, comparisons: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Choose the representatives of whole clusters and decide on their members.

    Args:
        members: dtype MEMBER; all the members of a cluster must be here.
        comparisons: with fields first, second, intersection, union; each pair at most once.

    Returns:
        Decisions (dtype DECISION), and PENDING for members whose content was never compared with the
        representative's.
    """
    id_high, id_low = hash_words(members["id"])
    shortness = np.uint32(0xFFFFFFFF) - members["length"]
    members = members[np.lexsort((id_low, id_high, shortness, members["priority"], members["root"]))]
    starts = run_starts(members["root"])
    chosen = members[starts][np.cumsum(starts) - 1]
    same_content = members["carrier"] == chosen["carrier"]
    decisions = np.zeros(len(members), DECISION)
    decisions["node"], decisions["representative"] = members["node"], chosen["id"]
    decisions["reason"] = np.where(starts, STAYS, np.where(same_content, EXACT_DUPLICATE, NEAR_DUPLICATE))
    decisions["intersection"][same_content] = decisions["union"][same_content] = 1
    pending = np.empty(int((~same_content).sum()), PENDING)
    left, right = members["carrier"][~same_content], chosen["carrier"][~same_content]
    pending["first"], pending["second"] = np.minimum(left, right), np.maximum(left, right)
    pending["node"], pending["representative"] = members["node"][~same_content], chosen["id"][~same_content]
    resolved, still_pending = resolve(pending, comparisons)
    return np.concatenate((decisions[same_content], resolved)), still_pending


def resolve(pending: np.ndarray, comparisons: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the decisions (dtype DECISION) on those pending whose pair was compared, and the rest of the pending."""
    place = find_pairs(comparisons, pending)
    found = place >= 0
    decisions = np.zeros(int(found.sum()), DECISION)
    decisions["reason"] = NEAR_DUPLICATE
    for name in ("node", "representative"):
        decisions[name] = pending[name][found]
    for name in ("intersection", "union"):
        decisions[name] = comparisons[name][place[found]]
    return decisions, pending[~found]


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


def pending_pairs(pending: np.ndarray) -> np.ndarray:
    """Return the distinct pairs (dtype PAIR) that are still to be compared."""
    return distinct_pairs(pending["first"], pending["second"]) if len(pending) else np.empty(0, PAIR)


def linked_edges(comparisons: np.ndarray) -> np.ndarray:
    """Return comparisons as edges from the larger to the smaller node."""
    edges = np.empty(len(comparisons), EDGE)
    edges["node"], edges["neighbor"] = comparisons["second"], comparisons["first"]
    return edges
