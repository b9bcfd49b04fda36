from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from pipelines.store.hashing import KeyedHash
from trainer.order import BLOCK_ROWS, Permutation, Place, TrainingOrder, block_slots

WEIGHTS = {"web": 0.42, "books": 0.2, "wikipedia": 0.06, "conversations": 0.28, "forums": 0.02, "news": 0.02}
GOLDEN = [
    Place("conversations", 0),
    Place("web", 158),
    Place("wikipedia", 3),
    Place("conversations", 0),
    Place("conversations", 0),
]
RECORDS = {"web": 500, "books": 90, "wikipedia": 7, "conversations": 1, "forums": 33, "news": 64}


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 17, 64, 65, 1000])
def test_a_permutation_has_every_number_once(size):
    entries = Permutation(size, KeyedHash(5, "shuffle"), "web", 0)
    assert sorted(entries(np.arange(size))) == list(range(size))


@pytest.mark.parametrize("size", [1, 5, 64, 1000])
def test_a_permutation_is_the_feistel_network_that_is_written_down(size):
    draw = KeyedHash(5, "shuffle")
    half = next(h for h in range(1, 9) if 4**h >= size)

    def network(value):
        left, right = divmod(value, 2**half)
        for number in range(6):
            key = b"web\0" + b"".join(part.to_bytes(8, "little") for part in (3, number, right))
            left, right = right, left ^ draw(key) % 2**half
        return left * 2**half + right

    expected = []
    for position in range(size):
        value = network(position)
        while value >= size:
            value = network(value)
        expected.append(value)
    assert Permutation(size, draw, "web", 3)(np.arange(size)).tolist() == expected


def test_permutations_differ_by_epoch_component_and_seed():
    def head(seed, name, epoch):
        return tuple(Permutation(10**6, KeyedHash(seed, "shuffle"), name, epoch)(np.arange(5)))

    heads = {head(5, "web", 0), head(5, "web", 1), head(5, "news", 0), head(6, "web", 0)}
    assert len(heads) == 4


def test_all_orders_of_three_are_about_equally_frequent():
    orders = Counter(tuple(Permutation(3, KeyedHash(seed, "shuffle"), "web", 0)(np.arange(3))) for seed in range(1200))
    assert len(orders) == 6
    assert max(orders.values()) < 1.35 * min(orders.values())


def test_slots_follow_the_weights_and_the_largest_remainders():
    assert block_slots(WEIGHTS) == {name: round(1000 * weight) for name, weight in WEIGHTS.items()}
    assert block_slots({"a": 1 / 3, "b": 1 / 3, "c": 1 / 3}) == {"a": 334, "b": 333, "c": 333}
    assert block_slots({"a": 0.9996, "b": 0.0004}) == {"a": 1000, "b": 0}


def test_every_block_holds_each_component_by_its_weight():
    order = TrainingOrder(WEIGHTS, RECORDS, 3)
    for block in (0, 1, 7):
        rows = Counter(order.place(block * BLOCK_ROWS + offset).component for offset in range(BLOCK_ROWS))
        assert rows == block_slots(WEIGHTS)


def test_each_record_comes_once_an_epoch():
    order = TrainingOrder(WEIGHTS, RECORDS, 3)
    seen = Counter(order.place(position) for position in range(2 * BLOCK_ROWS))
    for name, records in RECORDS.items():
        rows = 2 * block_slots(WEIGHTS)[name]
        counts = [seen[Place(name, record)] for record in range(records)]
        assert sum(counts) == rows
        assert set(counts) <= {rows // records, -(-rows // records)}


def test_another_size_of_one_component_moves_no_other_row():
    first, second = TrainingOrder(WEIGHTS, RECORDS, 3), TrainingOrder(WEIGHTS, {**RECORDS, "web": 123}, 3)
    for position in range(2500):
        one, other = first.place(position), second.place(position)
        assert one.component == other.component
        assert one == other or one.component == "web"


def test_the_order_is_the_one_that_was_written_down():
    order = TrainingOrder(WEIGHTS, RECORDS, 3)
    assert [order.place(position) for position in (0, 1, 2, 1000, 123_456)] == GOLDEN


def test_many_places_are_those_of_each_row():
    order = TrainingOrder(WEIGHTS, RECORDS, 3)
    for start, count in ((0, 1), (990, 30), (5000, 2500)):
        rows = {}
        for component, (numbers, records) in order.places(start, count).items():
            rows |= {
                row: Place(component, record) for row, record in zip(numbers.tolist(), records.tolist(), strict=True)
            }
        assert [rows[row] for row in range(count)] == [order.place(start + row) for row in range(count)]


def test_a_component_with_weight_and_no_records_is_refused():
    with pytest.raises(ValueError, match="news have a weight but no records"):
        TrainingOrder(WEIGHTS, {**RECORDS, "news": 0}, 3)
