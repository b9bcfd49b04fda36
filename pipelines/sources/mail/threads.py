"""Which messages of a file make a thread: by the ids that they name, else by their subject.

In: of every message its id, the ids that it answers, its subject and its time. Out: for every message the number of
the first message of its thread.

Messages that name each other, or name the same message (in the file or not), are of one thread. A reply (`Re: …`)
that names no message of the file joins the one before it in time with the same subject, reply and list marks aside;
two messages that are no replies are never joined by their subject, so that weekly reports stay apart.

Memory: about 250 bytes a message, however long the messages are; ids are kept as 64-bit hashes.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable
from hashlib import blake2b
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

NO_TIME = 1 << 62
"""The time of a message without a date: after all others."""
_REPLY_MARK = re.compile(r"\s*(?:re|aw|sv|vs|antw|odp|ref)(?:\[\d+\]|\^\d+)?\s*[:：]\s*", re.IGNORECASE)
_LIST_MARK = re.compile(r"\s*\[[^\[\]]{1,40}\]\s*")
_NO_SUBJECT = 0


def without_reply_marks(subject: str) -> str:
    """Return a subject without `Re:` and its like at the start."""
    while mark := _REPLY_MARK.match(subject):
        subject = subject[mark.end() :]
    return subject.strip()


class ThreadIndex:
    """Collects what links messages.

    Example:
        >>> index = ThreadIndex()
        >>> index.add("a", [], "Beer", 10)
        >>> index.add("b", ["a"], "Re: Beer", 20)
        >>> list(index.threads())
        [0, 0]
    """

    def __init__(self) -> None:
        self._ids, self._subjects, self._times = array("Q"), array("Q"), array("q")
        self._replies = array("B")
        self._linking, self._linked = array("Q"), array("Q")

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, message_id: str, references: Iterable[str], subject: str, time: int) -> None:
        """Take the next message; `time` is in seconds, or `NO_TIME`."""
        number = len(self)
        self._ids.append(_hash(message_id or f" {number}"))  # no id has a blank
        for reference in references:
            self._linking.append(number)
            self._linked.append(_hash(reference))
        bare, is_reply = _normalized_subject(subject)
        self._subjects.append(_hash(bare) if bare else _NO_SUBJECT)
        self._replies.append(is_reply)
        self._times.append(time)

    def threads(self) -> np.ndarray:
        """Return for every message the number of the first message of its thread: int64, shape (messages,)."""
        import numpy as np
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        own, linked = np.frombuffer(self._ids, np.uint64), np.frombuffer(self._linked, np.uint64)
        linking = np.frombuffer(self._linking, np.uint64).astype(np.int64)
        nodes, node_of = np.unique(np.concatenate([own, linked]), return_inverse=True)
        own_nodes, linked_nodes = node_of[: len(own)], node_of[len(own) :]
        alone = np.frombuffer(self._replies, np.uint8).astype(bool)
        alone[linking[np.isin(linked, own)]] = False
        before, after = self._same_subject(alone)
        ends = np.concatenate([own_nodes[linking], own_nodes[before]]), np.concatenate([linked_nodes, own_nodes[after]])
        graph = coo_array((np.ones(len(ends[0]), np.int8), ends), shape=(len(nodes), len(nodes)))
        _, labels = connected_components(graph, directed=False)
        _, first, group = np.unique(labels[own_nodes], return_index=True, return_inverse=True)
        return first[group]

    def _same_subject(self, alone: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return pairs of messages of one subject: any message, and the reply next in time if it names no other."""
        import numpy as np

        subjects, times = np.frombuffer(self._subjects, np.uint64), np.frombuffer(self._times, np.int64)
        order = np.lexsort((np.arange(len(subjects)), times, subjects))
        before, after = order[:-1], order[1:]
        joined = (subjects[before] == subjects[after]) & (subjects[after] != _NO_SUBJECT) & alone[after]
        return before[joined], after[joined]


def _normalized_subject(subject: str) -> tuple[str, bool]:
    """Return a subject without marks, case and space, and whether it is that of a reply."""
    is_reply = False
    while mark := _REPLY_MARK.match(subject) or _LIST_MARK.match(subject):
        is_reply = is_reply or bool(_REPLY_MARK.match(subject))
        subject = subject[mark.end() :]
    return " ".join(subject.casefold().split()), is_reply


def _hash(text: str) -> int:
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")
