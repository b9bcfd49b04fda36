"""Requests packed into rows of one length, so that a model compiles one program and reads hardly any padding.

A request takes as many places as it has inputs (its tokens but the last). Requests share a row as documents share a
training sequence: each is a segment, which attends to itself alone, so what it is packed with does not matter.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from trainer.batch import Batch
from trainer.evaluation.evaluated_model import LikelihoodRequest


class Place(NamedTuple):
    """Where a request lies: its row, and the first of its places there."""

    row: int
    first: int


def pack_lengths(lengths: Sequence[int], capacity: int) -> list[Place]:
    """Place requests of some lengths in rows: the longest first, each in the fullest row that has room for it."""
    free: list[tuple[int, int]] = []
    places = [Place(0, 0)] * len(lengths)
    rows = 0
    for number in sorted(range(len(lengths)), key=lambda number: (-lengths[number], number)):
        length = lengths[number]
        fitting = bisect_left(free, (length, -1))
        if fitting < len(free):
            room, row = free.pop(fitting)
        else:
            room, row, rows = capacity, rows, rows + 1
        places[number] = Place(row, capacity - room)
        insort(free, (room - length, row))
    return places


def fill(requests: Sequence[tuple[LikelihoodRequest, Place]], rows: int, length: int) -> Batch:
    """Make a batch of `rows` rows of `length` places; what nobody takes is padding.

    Args:
        requests: with their places; a row's number counts from 0 in this batch.
        rows: B.
        length: S.
    """
    inputs, targets, segments = (np.zeros((rows, length), np.int32) for _ in range(3))
    counted = np.zeros((rows, length), bool)
    numbers = np.zeros(rows, np.int32)
    for request, (row, first) in requests:
        end = first + len(request.tokens) - 1
        numbers[row] += 1
        inputs[row, first:end], targets[row, first:end] = request.tokens[:-1], request.tokens[1:]
        segments[row, first:end] = numbers[row]
        counted[row, first + request.start - 1 : end] = True
    return Batch(inputs, targets, segments, counted)
