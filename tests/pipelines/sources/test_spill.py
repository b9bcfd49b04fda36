"""Sorting on disk gives what sorting in memory gives, for any sizes."""

import tempfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.sources.errors import SourceError
from pipelines.sources.spill import SortedSpill


@given(
    st.lists(st.tuples(st.integers(-5, 5), st.text(max_size=3)), unique=True, max_size=60),
    st.integers(1, 5000),
    st.integers(2, 4),
)
def test_pairs_come_out_by_key(keys, buffer_bytes, fan_in):
    with SortedSpill(buffer_bytes, fan_in) as spill:
        for key in keys:
            spill.add(key, f"value of {key}", size=30)
            assert spill.runs <= fan_in * 6
        assert list(spill.drain()) == [(key, f"value of {key}") for key in sorted(keys)]
        assert list(spill.drain()) == []


def test_open_files_grow_with_the_logarithm_of_the_input():
    with SortedSpill(buffer_bytes=1, fan_in=3) as spill:
        for number in range(300):
            spill.add((-number,), number, size=1)
        assert 0 < spill.runs <= 3 * 6  # 300 < 3 ** 6
        assert [value for _, value in spill.drain()] == list(range(299, -1, -1))


def test_folder_that_cannot_be_written_is_named_with_the_remedy(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    with SortedSpill(buffer_bytes=1) as spill, pytest.raises(SourceError, match=r"missing: a temporary file.*TMPDIR"):
        spill.add((1,), "value", size=5)
