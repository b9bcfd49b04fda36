"""Parquet tables: one record a row.

In: .parquet with the columns that `fields.py` maps; of the others nothing is read. Out: one text a row; native key =
the id column. A record's offset is the number of its row in the file, from 0, and its raw bytes are those of its text.
Memory: the pages of one row group that a batch of rows needs. A row group that is damaged is one quarantined record,
which says how many rows it took; the next one is read on.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, Any

from pipelines.sources.errors import SourceError
from pipelines.sources.fields import FieldsReader, field
from pipelines.sources.reader import NO_TEXT, TOO_LARGE
from pipelines.sources.record import Quarantined, Record, Skipped

_BATCH_ROWS = 128
_FIELD_OPTIONS = ("text_field", "id_field", "url_field", "title_field", "date_field")


class ParquetReader(FieldsReader):
    """Reads the rows of Parquet tables; a row without a text is skipped as `no_text`."""

    def _records(self, file: IO[bytes], url: str) -> Iterator[Record]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            table = pq.ParquetFile(file)
        except (pa.ArrowException, OSError) as error:
            if _is_failing_disk(error):
                raise
            yield Record(0, file.seek(0, 2), Quarantined("bad_parquet", str(error), rest_is_lost=True))
            return
        columns = self._columns(table.schema_arrow, url)
        first = 0
        for group in range(table.num_row_groups):
            rows = table.metadata.row_group(group).num_rows
            read = 0
            try:
                for batch in table.iter_batches(_BATCH_ROWS, [group], columns, use_threads=False):
                    yield from self._batch(first + read, batch)
                    read += batch.num_rows
            except (pa.ArrowException, OSError) as error:
                if _is_failing_disk(error):
                    raise
                detail = f"row group {group}, {rows - read} rows: {error}"
                yield Record(first + read, 0, Quarantined("damaged_parquet", detail, records=rows - read))
            first += rows

    def _columns(self, schema: Any, url: str) -> list[str]:
        """Return the columns to read.

        Raises:
            SourceError: when a column that an option names is missing, or the text is no text.
        """
        types = dict(_leaves("", schema))
        columns = []
        for option in _FIELD_OPTIONS:
            name = getattr(self.options, option)
            if name in types:
                columns.append(name)
            elif option == "text_field" or option in self.options.model_fields_set:
                raise SourceError(
                    f"{url}: no column {name!r}; there are: {', '.join(types)}; set the option {option} to one of them"
                )
        if not _is_text(types[self.options.text_field]):
            raise SourceError(
                f"{url}: the column {self.options.text_field!r} is {types[self.options.text_field]}, not a string; "
                f"set the option text_field to one of: {', '.join(n for n, kind in types.items() if _is_text(kind))}"
            )
        return list(dict.fromkeys(columns))

    def _batch(self, first: int, batch: Any) -> Iterator[Record]:
        batch = _in_microseconds(batch)
        try:
            rows = batch.to_pylist()
        except ValueError:  # one value of some row cannot be a Python value: bytes that are not UTF-8
            for number in range(batch.num_rows):
                yield self._single(first + number, batch.slice(number, 1))
            return
        for number, row in enumerate(rows, start=first):
            yield self._table_row(number, row)

    def _single(self, number: int, batch: Any) -> Record:
        try:
            (row,) = batch.to_pylist()
        except UnicodeDecodeError as error:
            return Record(number, batch.nbytes, Quarantined("bad_encoding", str(error)))
        except ValueError as error:
            return Record(number, batch.nbytes, Quarantined("bad_fields", str(error)))
        return self._table_row(number, row)

    def _table_row(self, number: int, row: dict[str, Any]) -> Record:
        text = field(row, self.options.text_field)
        if text is None:
            return Record(number, 0, Skipped(NO_TEXT))
        size = len(text.encode("utf-8", "surrogatepass"))
        return (
            self._row(number, size, row)
            if size <= self.options.max_record_bytes
            else Record(number, size, Skipped(TOO_LARGE))
        )


def _is_failing_disk(error: Exception) -> bool:
    return isinstance(error, OSError) and error.errno is not None


def _leaves(prefix: str, fields: Any) -> Iterator[tuple[str, Any]]:
    """Yield the dotted names and types of all columns that are no structures."""
    import pyarrow as pa

    for each in fields:
        if pa.types.is_struct(each.type):
            yield from _leaves(
                f"{prefix}{each.name}.", [each.type.field(number) for number in range(each.type.num_fields)]
            )
        else:
            yield prefix + each.name, each.type


def _is_text(kind: Any) -> bool:
    import pyarrow as pa

    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def _in_microseconds(batch: Any) -> Any:
    """Cut times to microseconds, which is what Python's can hold."""
    import pyarrow as pa

    for number, column in enumerate(batch.schema):
        if pa.types.is_timestamp(column.type) and column.type.unit == "ns":
            times = batch.column(number).cast(pa.timestamp("us", column.type.tz), safe=False)
            batch = batch.set_column(number, column.name, times)
    return batch
