"""Rows of fields: dates, nested names, and Parquet tables, whose damage costs what it hit."""

import json
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.sources.dates import iso_date
from pipelines.sources.errors import SourceError
from pipelines.sources.fields import field
from pipelines.sources.jsonl import JsonLinesReader
from pipelines.sources.parquet import ParquetReader

TEXTS = [f"Text number {number}." for number in range(1000)]


@pytest.fixture
def save(tmp_path):
    def save(columns: dict | pa.Table, rows: int = 300) -> str:
        table = columns if isinstance(columns, pa.Table) else pa.table(columns)
        pq.write_table(table, tmp_path / "rows.parquet", row_group_size=rows)
        return str(tmp_path / "rows.parquet")

    return save


def texts(records):
    return [text.text for record in records for text in getattr(record.outcome, "texts", ())]


# ---- Dates


@pytest.mark.parametrize(
    ("value", "iso"),
    [
        ("2020-01-31", "2020-01-31"),
        ("2020", "2020"),
        (" 2020-01 ", "2020-01"),
        ("2020-01-31 12:00", "2020-01-31T12:00"),
        ("2014-01-21T20:26:05.383", "2014-01-21T20:26:05.383"),
        ("2020-01-31T12:00:00Z", "2020-01-31T12:00:00Z"),
        ("2020-01-31 12:00:00 +0200", "2020-01-31T12:00:00+0200"),
        ("Thu, 22 Aug 2002 18:26:25 +0700", "2002-08-22T18:26:25+07:00"),
        (1_577_836_800, "2020-01-01T00:00:00Z"),
        (1_577_836_800_123, "2020-01-01T00:00:00Z"),
        (date(2020, 1, 2), "2020-01-02"),
        (datetime(2020, 1, 2, 3, tzinfo=UTC), "2020-01-02T03:00:00+00:00"),
    ],
)
def test_dates_that_are_understood(value, iso):
    assert iso_date(value) == iso


@pytest.mark.parametrize(
    "value",
    ["2020-13-01", "2020-02-30", "2020-01-01T25:00", "soon", "", "12/11/10", "99999", 5, 2020, True, None, [], -1e300,
     float("nan"), float("inf"), "Wed, 21 Aug 2002 20:31:57 -2600", "Mon, 1 Jan 99999999999 00:00:00"],
)  # fmt: skip
def test_what_is_no_date(value):
    assert iso_date(value) is None


@given(st.datetimes(datetime(1000, 1, 1), datetime(2999, 1, 1), timezones=st.none() | st.just(UTC)))
def test_every_iso_date_is_kept(moment):
    assert iso_date(moment.isoformat()) == moment.isoformat()


@given(st.text() | st.integers() | st.floats())
def test_no_value_stops_a_reader(value):
    iso = iso_date(value)
    assert iso is None or iso[:4].isdigit()


# ---- Fields


def test_nested_fields_and_dates_of_lines(write):
    lines = [
        {"doc": {"body": "One.", "id": 5}, "meta": {"at": "2020-01-02 03:04"}},
        {"doc": {"body": "Two."}, "meta": {"at": "no date"}},
        {"doc.body": "Three.", "doc": {"body": "no"}, "meta": 5},
        {"doc": ["Four."]},
    ]
    reader = JsonLinesReader({"text_field": "doc.body", "id_field": "doc.id", "date_field": "meta.at"})
    records = list(reader.read(write("\n".join(map(json.dumps, lines)).encode())))
    assert texts(records) == ["One.", "Two.", "Three."]
    assert [(r.native_key, r.outcome.texts[0].date, r.outcome.notes) for r in records[:2]] == [
        ("5", "2020-01-02T03:04", ()),
        ("", None, ("bad_date",)),
    ]
    assert records[3].outcome.reason == "bad_fields"


@given(st.recursive(st.integers(), lambda inner: st.dictionaries(st.sampled_from("ab."), inner, max_size=3)))
def test_field_of_any_value(value):
    assert field(value, "") is None
    if isinstance(value, dict) and isinstance(value.get("a"), dict) and "a.b" not in value:
        assert field(value, "a.b") == value["a"].get("b")


# ---- Parquet


def test_rows_of_a_table(save):
    days = [date(2020, 1, 1)] * 1000
    columns = {"text": TEXTS, "id": list(range(1000)), "url": [None] * 1000, "date": days, "other": [b"x"] * 1000}
    records = list(ParquetReader().read(save(columns)))
    assert texts(records) == TEXTS
    assert [record.offset for record in records] == list(range(1000))
    assert sum(record.raw_bytes for record in records) == len("".join(TEXTS))
    assert (records[7].native_key, records[7].outcome.texts[0].date) == ("7", "2020-01-01")


@pytest.mark.parametrize(
    "column",
    [
        pa.array(TEXTS, pa.large_string()),
        pa.array(TEXTS).dictionary_encode(),
        pa.array(TEXTS, pa.string_view()),
        pa.chunked_array([TEXTS[:10], TEXTS[10:]]),
    ],
)
def test_every_kind_of_string_column(save, column):
    assert texts(ParquetReader().read(save({"text": column}))) == TEXTS


def test_nested_columns_and_times_in_nanoseconds(save):
    times = pa.array([1_577_836_800_000_000_001] * 2, pa.timestamp("ns", "UTC"))
    columns = {"doc": [{"text": "One.", "meta": {"url": "http://a"}}, {"text": "Two.", "meta": None}], "at": times}
    options = {"text_field": "doc.text", "url_field": "doc.meta.url", "date_field": "at"}
    first, second = ParquetReader(options).read(save(columns))
    assert (first.outcome.texts[0].url, first.outcome.texts[0].date) == ("http://a", "2020-01-01T00:00:00+00:00")
    assert (second.outcome.texts[0].url, texts([second])) == (None, ["Two."])


def test_rows_that_give_no_document(save, tally):
    bad = pa.array([b"good", b"b\xe9d", b" ", b"x" * 500, None, b"good too"], pa.binary())
    path = save({"text": bad.view(pa.string()), "date": ["x", "", None, None, None, "2020"]})
    records = list(ParquetReader({"max_record_bytes": 100}).read(path))
    assert tally(records) == {"used": 2, "!bad_encoding": 1, "no_text": 2, "too_large": 1}
    assert [record.offset for record in records] == list(range(6))
    assert records[0].outcome.notes == ("bad_date",)


def test_missing_columns_name_those_there_are(save):
    path = save({"body": TEXTS, "number": list(range(1000)), "meta": [{"text": "x"}] * 1000})
    with pytest.raises(
        SourceError, match=r"rows\.parquet: no column 'text'; there are: body, number, meta\.text; .* text_field"
    ):
        list(ParquetReader().read(path))
    with pytest.raises(SourceError, match=r"no column 'key'.*set the option id_field"):
        list(ParquetReader({"text_field": "body", "id_field": "key"}).read(path))
    with pytest.raises(SourceError, match=r"'number' is int64, not a string; .* to one of: body, meta\.text"):
        list(ParquetReader({"text_field": "number"}).read(path))
    assert len(list(ParquetReader({"text_field": "body"}).read(path))) == 1000


def test_damaged_row_group_costs_itself(save, tally):
    path = save({"text": TEXTS, "id": TEXTS}, rows=100)
    chunk = pq.ParquetFile(path).metadata.row_group(4).column(0)
    with open(path, "r+b") as file:  # noqa: PTH123  (in place)
        file.seek(chunk.data_page_offset)
        file.write(b"\xff" * chunk.total_compressed_size)
    records = list(ParquetReader().read(path))
    assert tally(records) == {"used": 900, "!damaged_parquet": 100}
    (lost,) = [record for record in records if not hasattr(record.outcome, "texts")]
    assert lost.offset == 400
    assert "row group 4, 100 rows" in lost.outcome.detail


@pytest.mark.parametrize("cut", [0, 3, 200, -4])
def test_file_that_is_no_table_is_one_quarantined_record(save, write, tally, cut):
    data = Path(save({"text": TEXTS})).read_bytes()[:cut]
    records = list(ParquetReader().read(write(data)))
    assert tally(records) == {"!bad_parquet": 1}
    assert records[0].raw_bytes == len(data)


def test_only_the_mapped_columns_of_a_few_rows_are_in_memory(save):
    wide = {"text": [f"{n} " + "word " * 200 for n in range(20_000)], "blob": [bytes(2000)] * 20_000}
    before = pa.total_allocated_bytes()
    peak = 0
    for record in ParquetReader().read(save(wide, rows=20_000)):
        peak = max(peak, pa.total_allocated_bytes() - before)
        assert record.raw_bytes > 1000
    assert peak < 8 << 20 < sum(map(len, wide["text"]))
