"""Batches are read ahead, in order, and what a roll-back passes over is dropped."""

from __future__ import annotations

import threading

import pytest

from trainer.prefetch import ReadAhead


def test_the_next_batches_are_read_before_they_are_asked_for():
    read = []
    with ReadAhead(lambda number: read.append(number) or number, depth=2) as batches:
        assert batches(0) == 0
    assert read[:1] == [0]
    with ReadAhead(lambda number: number, depth=2) as batches:
        assert [batches(number) for number in (0, 1, 2, 7, 8)] == [0, 1, 2, 7, 8]  # passed over 3 to 6


def test_a_batch_is_ready_while_the_step_works_on_the_one_before():
    third = threading.Event()
    with ReadAhead(lambda number: third.set() if number == 2 else number, depth=2) as batches:
        assert batches(0) == 0
        assert third.wait(60)  # nobody asked for batch 2


def test_an_error_of_reading_is_raised_where_the_batch_is_asked_for():
    def read(number):
        if number == 1:
            raise OSError("the disk is gone")
        return number

    with ReadAhead(read) as batches:
        assert batches(0) == 0
        with pytest.raises(OSError, match="the disk is gone"):
            batches(1)
