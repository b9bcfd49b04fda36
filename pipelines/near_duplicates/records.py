"""The packed records that deduplication shuffles, all little-endian.

A *node* is a locator: address of a document shard · 2^32 + row. The node of a content is the least among the nodes of
its copies; it stands for all of them in the graph.
"""

from __future__ import annotations

import numpy as np

STAYS, LANGUAGE, TOO_SHORT, EXACT_DUPLICATE, NEAR_DUPLICATE = range(5)
REASONS = (None, "language", "too_short", "exact_duplicate", "near_duplicate")
"""The reasons of docs/formats.md, by their number in a DECISION."""

CONTENT = np.dtype([("content", "V16"), ("node", "<u8"), ("id", "V16"), ("length", "<u4"), ("priority", "<u2")])
"""An eligible document: content hash, its own node, id, characters, priority rank of its component."""

MEMBER = np.dtype(
    [("root", "<u8"), ("carrier", "<u8"), ("node", "<u8"), ("id", "V16"), ("length", "<u4"), ("priority", "<u2")]
)
"""An eligible document: root of its cluster, node of its content, its own node, id, characters, priority rank."""

ROOTED = np.dtype([("root", "<u8"), ("first", "<u8"), ("second", "<u8"), ("intersection", "<u4"), ("union", "<u4")])
"""A comparison that links two nodes of the cluster of `root`."""

DECISION = np.dtype(
    [
        ("node", "<u8"),
        ("representative", "V16"),
        ("cluster", "V16"),
        ("cluster_stays", "<u4"),
        ("intersection", "<u4"),
        ("union", "<u4"),
        ("reason", "u1"),
    ]
)
"""What is decided of a document: id of its representative, least id of its cluster, how many of the cluster stay, and
the comparison with the representative; `union` 0: it was not eligible and has neither.
"""
