"""Readers of native formats: files in, texts out, every record counted.

    reader = READERS["warc"]({"max_record_bytes": 1 << 20})       # registry.py; options are checked here
    for record in reader.read("gs://bucket/crawl.warc.gz"):       # streaming, in file order unless records are joined
        record.offset, record.raw_bytes, record.native_key, record.outcome

`outcome` is exactly one of (record.py)

    Used(texts)                  one or several `Text(text, title, url, date, part)`, normalized, never empty; none
                                 where the text is in another record's document (`JOINED`: an answer, a reply)
    Skipped(reason)              a sound record that gives no document: a redirect, a request, a page without text
    Quarantined(reason, detail)  a damaged record

so that records read = used + skipped + quarantined, and raw bytes likewise. A reader never stops at a bad record: it
goes on at the next one that it can find (the next `WARC/1.x`, `<page>`, line, compressed member). Where bytes are
missing nobody knows how many records are; that counts as one. Only a file that cannot be read at all raises,
`SourceError` (errors.py).

The way of the bytes: file → `decompression.decompressed` (blocks, member starts, damage) → `scanner.Scanner` (lines,
sizes, searches) → a reader; `archive.contents` gives the members of a zip archive as scanners. Readers that join
records (`joining.py`) sort them on the local disk first (`spill.py`); rows of fields share `fields.py`. A new format
is one file with an options model and a `Reader`, and a line in registry.py. `locate.py` finds the files.
"""
