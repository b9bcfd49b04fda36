"""What came in went out or was dropped for a reason; anything else fails the run."""

import pytest

from pipelines.store.ledger import LedgerImbalanceError, build_ledger, check_documents, check_extraction


def test_counts_add_up_by_path():
    one = {("a", "documents", "in"): 3, ("a", "documents", "dropped", "language"): 1}
    counts = [one, {("a", "documents", "in"): 4}]
    assert build_ledger(counts) == {"a": {"documents": {"dropped": {"language": 1}, "in": 7}}}


def test_an_unaccounted_record_fails_extraction():
    bytes_ = {"read": 9, "used": 9, "skipped": {}, "quarantined": 0}
    records = {"read": 5, "used": 3, "skipped": {"redirect": 1}, "quarantined": 1}
    check_extraction({"wiki": {"records": records, "raw_bytes": bytes_}})
    with pytest.raises(LedgerImbalanceError, match=r"extract, source wiki: 6 records were read, 5 are accounted for"):
        check_extraction({"wiki": {"records": {**records, "read": 6}, "raw_bytes": bytes_}})


def test_an_unaccounted_document_fails_a_stage():
    check_documents("sample", {"web": {"documents": {"in": 5, "out": 2, "dropped": {"pareto": 3}}}})
    with pytest.raises(LedgerImbalanceError, match="sample, source web: 5 documents went in, 4 are accounted for"):
        check_documents("sample", {"web": {"documents": {"in": 5, "out": 2, "dropped": {"pareto": 2}}}})
