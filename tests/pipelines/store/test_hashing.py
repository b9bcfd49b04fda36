"""Identity and randomness are pure functions of their arguments."""

import hashlib

import pytest

from pipelines.store.hashing import KeyedHash, canonical_json, content_hash, document_id, keyed_hash, shard_of


def test_canonical_json_does_not_depend_on_the_order_of_keys():
    assert canonical_json({"b": [1, 2.5, None], "a": "ä"}) == '{"a":"ä","b":[1,2.5,null]}'.encode()
    assert canonical_json({"a": 1, "b": 2}) == canonical_json({"b": 2, "a": 1})


@pytest.mark.parametrize("value", [{1: "integer key"}, {"a": {1, 2}}, [float("nan")], b"bytes", object()])
def test_values_without_one_serialization_are_refused_by_place(value):
    with pytest.raises(TypeError, match=r"^\$"):
        canonical_json(value)


def test_keyed_hash_is_the_documented_function():
    key = hashlib.blake2b(b'[17,"pareto"]', digest_size=16).digest()
    expected = int.from_bytes(hashlib.blake2b(b"document", digest_size=8, key=key).digest(), "big")
    assert keyed_hash(17, "pareto", b"document") == expected


def test_keyed_hashes_of_other_seeds_and_purposes_are_independent():
    keys = [str(i).encode() for i in range(2000)]
    one, other = KeyedHash(1, "order").many(keys), KeyedHash(1, "holdout").many(keys)
    agree = sum((a < 2**63) == (b < 2**63) for a, b in zip(one, other, strict=True))
    assert 880 < agree < 1120  # five standard deviations around half
    assert KeyedHash(2, "order").many(keys) != one


def test_a_document_id_tells_its_fields_apart():
    content = content_hash("text")
    assert document_id("ab", "c", content) != document_id("a", "bc", content)
    assert document_id("a", "", content) == document_id("a", "", content_hash("text"))


def test_shards_depend_on_the_id_alone():
    assert shard_of(bytes(7) + b"\x05" + bytes(8), 4) == 1
