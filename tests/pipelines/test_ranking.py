"""Every document learns its exact place in a keyed order, however the items are spread."""

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.testing.util import assert_that

from pipelines.config import HoldOut
from pipelines.holdout import quota
from pipelines.ranking import ITEM, RankItems, pack_items, places_by_id


def make_items(count, seed):
    rng = np.random.default_rng(seed)
    items = np.zeros(count, ITEM)
    items["id"] = [rng.bytes(16) for _ in range(count)]
    items["key"] = rng.integers(0, 2**64, count, dtype=np.uint64)
    items["key"][: count // 3] = items["key"][0]  # equal keys are ordered by id
    items["weight"] = rng.integers(0, 50, count)
    items["address"] = rng.integers(0, 5, count)
    return items


def places_brute_force(items):
    order = sorted(range(len(items)), key=lambda i: (int(items["key"][i]), bytes(items["id"][i])))
    before, expected = 0, {}
    total = int(items["weight"].sum())
    for i in order:
        expected[bytes(items["id"][i])] = (before, total)
        before += int(items["weight"][i])
    return expected


@pytest.mark.parametrize("blocks", [1, 7])
def test_places_are_those_of_sorting_everything(blocks):
    groups = {0: make_items(500, 1), 3: make_items(200, 2), 9: make_items(1, 3)}
    expected = {}
    packed = []
    for group, items in groups.items():
        expected |= {(a, i): p for i, p in places_brute_force(items).items() for a in [address_of(items, i)]}
        for part in np.array_split(items, blocks):
            packed += list(pack_items(group, part))

    def check(results):
        found = {}
        for address, data in results:
            found |= {(address, i): place for i, place in places_by_id([data]).items()}
        assert found == expected

    with beam.Pipeline(runner=FnApiRunner(), options=PipelineOptions([])) as p:
        assert_that(p | beam.Create(packed) | RankItems(), check)


def address_of(items, identifier):
    (row,) = [i for i in range(len(items)) if bytes(items["id"][i]) == identifier]
    return int(items["address"][row])


def test_the_quota_leaves_something_to_train_on():
    settings = HoldOut(share=0.15, minimum=2, maximum=40)
    assert quota(100, settings) == 15
    assert quota(4, settings) == 2  # the minimum
    assert quota(2, settings) == 1  # never all of a source
    assert quota(0, settings) == 0
    assert quota(1000, settings) == 40  # the maximum
