"""Connected components by alternating large-star and small-star rounds; no worker ever holds all edges.

Kiveris, Lattanzi, Mirrokni, Rastogi, Vassilvitskii, "Connected Components in MapReduce and Beyond" (2014). In a
large-star step every node links its larger neighbors to the least node it sees; in a small-star step it links itself
and its smaller neighbors to that node. Neither changes what is connected, and the rounds end in stars around each
component's least node. The job's graph holds a fixed number of rounds; a graph that needs more makes it fail, never
gives a wrong cluster.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import apache_beam as beam
import numpy as np
from numpy.typing import NDArray

from pipelines.near_duplicates.lsh import run_starts
from pipelines.near_duplicates.mixing import partition_of
from pipelines.near_duplicates.shuffle import keyed_block, load, scatter
from pipelines.store.errors import GlamError

EDGE = np.dtype([("node", "<u8"), ("neighbor", "<u8")])
"""One direction of an edge; a label is an edge from a node to the root of its component."""


class ComponentsError(GlamError):
    """The clusters are not final after the configured number of rounds."""


def make_edges(nodes: NDArray[np.uint64], neighbors: NDArray[np.uint64]) -> np.ndarray:
    """Return edges (dtype EDGE) from two columns."""
    edges = np.empty(len(nodes), EDGE)
    edges["node"], edges["neighbor"] = nodes, neighbors
    return edges


def both_directions(edges: np.ndarray) -> np.ndarray:
    """Return each edge and its reverse."""
    return np.concatenate((edges, make_edges(edges["neighbor"], edges["node"])))


def distinct_edges(edges: np.ndarray) -> np.ndarray:
    """Return edges sorted by (node, neighbor), each once."""
    edges = edges[np.lexsort((edges["neighbor"], edges["node"]))]
    return edges[run_starts(edges["node"], edges["neighbor"])] if len(edges) else edges


def _least_neighbors(edges: np.ndarray) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Return, for distinct sorted edges, the nodes and for each edge the least of its node and the node's neighbors."""
    first = run_starts(edges["node"])
    least = np.minimum(edges["neighbor"][first], edges["node"][first])
    return least, least[np.cumsum(first) - 1]


def large_star(edges: np.ndarray) -> np.ndarray:
    """Link the larger neighbors of each node to the least of its neighborhood.

    Args:
        edges: dtype EDGE, both directions; all the edges of a node must be here.

    Returns:
        Edges from the larger to the smaller node.
    """
    edges = distinct_edges(edges)
    if not len(edges):
        return edges
    _, least = _least_neighbors(edges)
    larger = edges["neighbor"] > edges["node"]
    return make_edges(edges["neighbor"][larger], least[larger])


def small_star(edges: np.ndarray) -> np.ndarray:
    """Link each node and its smaller neighbors to the least of them.

    Args:
        edges: dtype EDGE, from the larger to the smaller node; all those of a node must be here.

    Returns:
        Edges from the larger to the smaller node.
    """
    edges = distinct_edges(edges)
    if not len(edges):
        return edges
    least_of_node, least = _least_neighbors(edges)
    others = edges["neighbor"] != least
    nodes = edges["node"][run_starts(edges["node"])]
    return distinct_edges(
        np.concatenate((make_edges(nodes, least_of_node), make_edges(edges["neighbor"][others], least[others])))
    )


def labels_of(edges: np.ndarray, rounds: int) -> np.ndarray:
    """Return the one root of every node (dtype EDGE, sorted by node).

    Args:
        edges: what the rounds left, and for each root an edge to itself; all those of a node must be here.
        rounds: for the message.

    Raises:
        ComponentsError: when a node has two roots, which is so if and only if the rounds did not end in stars.
    """
    labels = distinct_edges(edges)
    if len(labels) and not run_starts(labels["node"]).all():
        raise ComponentsError(
            f"deduplicate: clusters are not final after {rounds} rounds; raise deduplicate.rounds to {2 * rounds} "
            "(it changes no result, and finished stages are kept)"
        )
    return labels


class ConnectedComponents(beam.PTransform):
    """(key, packed edges from the larger to the smaller node), any key → (partition of node, packed labels).

    Every node of an edge gets exactly one label, a root its own.

    Args:
        rounds: pairs of a large-star and a small-star step.
        partitions: groups that the work is spread over.
    """

    def __init__(self, rounds: int, partitions: int) -> None:
        super().__init__()
        self._rounds, self._partitions = rounds, partitions

    def expand(self, edges: beam.PCollection) -> beam.PCollection:
        """Add the rounds."""
        edges = edges | "Both directions" >> beam.ParDo(_Route(self._partitions, both_directions))
        for number in range(1, self._rounds + 1):
            last = number == self._rounds
            edges = (
                edges
                | f"Group for large star {number}" >> beam.GroupByKey()
                | f"Large star {number}" >> beam.ParDo(_Star(self._partitions, large_star))
                | f"Group for small star {number}" >> beam.GroupByKey()
                | f"Small star {number}" >> beam.ParDo(_Star(self._partitions, _last_star if last else _next_star))
            )
        return (
            edges | "Group labels" >> beam.GroupByKey() | "Check convergence" >> beam.Map(_check_labels, self._rounds)
        )


def _next_star(edges: np.ndarray) -> np.ndarray:
    return both_directions(small_star(edges))


def _last_star(edges: np.ndarray) -> np.ndarray:
    return _with_roots(small_star(edges))


def _with_roots(edges: np.ndarray) -> np.ndarray:
    roots = np.unique(edges["neighbor"])
    return np.concatenate((edges, make_edges(roots, roots)))


def _check_labels(keyed: tuple[int, Iterable[bytes]], rounds: int) -> tuple[int, bytes]:
    return keyed_block(keyed[0], labels_of(load(keyed[1], EDGE), rounds).tobytes(), groupings=2)


class _Route(beam.DoFn):
    """Changes a block of edges and sends each to the partition of its node."""

    def __init__(self, partitions: int, change: object) -> None:
        self._partitions, self._change = partitions, change

    def process(self, keyed: tuple[int, bytes]) -> Iterator[tuple[int, bytes]]:
        """Yield (partition, packed edges)."""
        edges = self._change(np.frombuffer(keyed[1], EDGE))  # type: ignore[operator]
        yield from scatter(edges, partition_of(edges["node"], self._partitions))


class _Star(_Route):
    """Does a star step for the nodes of one partition."""

    def process(self, keyed: tuple[int, Iterable[bytes]]) -> Iterator[tuple[int, bytes]]:  # type: ignore[override]
        """Yield (partition, packed edges)."""
        yield from super().process((keyed[0], b"".join(keyed[1])))
