"""Cards of a dataset version: a Croissant description (JSON-LD, http://mlcommons.org/croissant/1.0) and a README with
the front matter that the Hugging Face hub reads. Both tell figures of the manifest and nothing else.

In: a version, and the files of an export of it, if there is one; without, a card describes the version's own shards.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pipelines.kept_documents import EXPORT_SCHEMA, SPLITS, ExportedFile
from pipelines.store.versions import Version

CROISSANT_FILE, README_FILE = "croissant.json", "README.md"
ENCODINGS = {"parquet": "application/x-parquet", "jsonl": "application/jsonlines"}
_SUFFIX_ENCODINGS = {"tfrecord": "application/x-tfrecord", "index": "application/octet-stream"}
_CROISSANT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "dct": "http://purl.org/dc/terms/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "conformsTo": "dct:conformsTo",
    "citeAs": "cr:citeAs",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    **{
        name: f"cr:{name}"
        for name in (
            "column", "equivalentProperty", "extract", "field", "fileProperty", "fileObject", "fileSet", "format",
            "includes", "isLiveDataset", "jsonPath", "key", "md5", "parentField", "path", "recordSet", "references",
            "regex",
            "repeated", "replace", "samplingRate", "separator", "source", "subField", "transform",
        )
    },
}  # fmt: skip
_TYPES = {"string": "sc:Text", "int32": "sc:Integer", "int64": "sc:Integer", "double": "sc:Float"}
_SIZES = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"), (10**7, "1M<n<10M"),
          (10**8, "10M<n<100M"), (10**9, "100M<n<1B"))  # fmt: skip


def croissant(version: Version, form: str | None = None, files: Sequence[ExportedFile] = ()) -> dict[str, Any]:
    """Return a Croissant description.

    Args:
        version: what to describe.
        form: `parquet` or `jsonl` of an export, None for the version's own shards.
        files: of the export.
    """
    side = version.manifest["side"]
    licences = sorted(side.get("licence_totals", {})) or ["unknown"]
    card: dict[str, Any] = {
        "@context": _CROISSANT,
        "@type": "sc:Dataset",
        "name": f"{side['config']}-{version.name}",
        "description": description(version),
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "license": licences if len(licences) > 1 else licences[0],
        "url": f"urn:glam:version:{version.id}",
        "version": f"1.0.0+{version.id[:12]}",
        "datePublished": side["created"][:10],
        "citeAs": f"Dataset version {version.id} ({side['config']}, {version.name})",
    }
    if form is None:
        entries = [(entry["path"], entry["size"], entry["sha256"]) for entry in version.manifest["files"]]
    else:
        entries = [(file.path, file.digest.size, file.digest.sha256) for file in files]
    card["distribution"] = [_file_object(*entry) for entry in entries]
    if form is not None:
        card["distribution"].append(
            {
                "@type": "cr:FileSet",
                "@id": "files",
                "name": "files",
                "encodingFormat": ENCODINGS[form],
                "includes": f"data/*/*/*.{form}",
            }
        )
        card["recordSet"] = [_record_set()]
    return card


def description(version: Version) -> str:
    """Return what a version is, in a sentence."""
    side, parts = version.manifest["side"], version.components
    documents, tokens = (sum(getattr(part, n) for part in parts.values()) for n in ("documents", "tokens"))
    mixture = ", ".join(f"{name} {part.weight:.0%}" for name, part in sorted(parts.items(), key=lambda i: -i[1].weight))
    return (
        f"Pretraining text, version {version.id} ({version.name}) of the corpus {side['config']}: {documents:,} "
        f"documents, {tokens:,} tokens, deduplicated, with held-out documents apart; mixture: {mixture}."
    )


def _file_object(path: str, size: int, sha256: str) -> dict[str, Any]:
    suffix = path.rpartition(".")[2]
    encoding = ENCODINGS.get(suffix) or _SUFFIX_ENCODINGS.get(suffix, "application/octet-stream")
    return {
        "@type": "cr:FileObject",
        "@id": path,
        "name": path,
        "contentUrl": path,
        "contentSize": f"{size} B",
        "encodingFormat": encoding,
        "sha256": sha256,
    }


def _record_set() -> dict[str, Any]:
    fields = [
        {
            "@type": "cr:Field",
            "@id": f"documents/{field.name}",
            "name": field.name,
            "dataType": _TYPES[str(field.type)],
            "source": {"fileSet": {"@id": "files"}, "extract": {"column": field.name}},
        }
        for field in EXPORT_SCHEMA
    ]
    return {"@type": "cr:RecordSet", "@id": "documents", "name": "documents", "field": fields}


def readme(version: Version, form: str | None = None, files: Sequence[ExportedFile] = ()) -> str:
    """Return a README with front matter: figures by component, source, reason and licence."""
    manifest, side = version.manifest, version.manifest["side"]
    totals = side.get("licence_totals", {})
    parts = [
        _front_matter(version, form, files),
        f"# {side['config']}: {version.name}\n\n{description(version)}",
        "## Components\n\n"
        + _table(
            ("component", "variant", "weight", "documents", "tokens"),
            (
                (name, part.variant, f"{part.weight:.4g}", part.documents, part.tokens)
                for name, part in version.components.items()
            ),
        ),
        "## Held out, never trained on\n\n"
        + _table(
            ("source", "component", "documents", "tokens", "bytes"),
            ((name, held.component, held.documents, held.tokens, held.bytes) for name, held in version.heldout.items()),
        ),
        "## What became of every document\n\n"
        + _table(
            ("source", "records read", "documents", "trained on", "dropped"),
            (
                (name, entry["records"]["read"], entry["documents"]["in"], entry["documents"]["out"], _reasons(entry))
                for name, entry in manifest["ledger"].items()
            ),
        ),
        "## Licences\n\n"
        + _table(
            ("licence", "documents", "held out", "tokens", "sources"),
            (
                (name, entry["documents"], entry["heldout"], entry["tokens"], ", ".join(entry["sources"]))
                for name, entry in totals.items()
            ),
        ),
        "## Identity\n\n"
        f"Version `{version.id}`, output `{manifest['output_id']}`. The id is the hash of the recipe below and of "
        "every file; the same texts and recipe give it again.\n\n"
        f"```json\n{json.dumps(manifest['recipe'], indent=1, ensure_ascii=False)}\n```",
    ]
    return "\n\n".join(parts) + "\n"


def _front_matter(version: Version, form: str | None, files: Sequence[ExportedFile]) -> str:
    """Return the YAML block; JSON values are YAML too."""
    documents = sum(part.documents for part in version.components.values())
    values: dict[str, Any] = {
        "pretty_name": f"{version.manifest['side']['config']} {version.name}",
        "license": "other",
        "license_name": "by source, see below",
        "task_categories": ["text-generation"],
        "size_categories": [next((name for limit, name in _SIZES if documents < limit), "n>1B")],
        "tags": ["pretraining", "glam"],
    }
    if languages := version.manifest["recipe"]["select"]["languages"]:
        values["language"] = languages
    if form is not None:
        present = {file.split for file in files}
        paths = [{"split": split, "path": f"data/{split}/*/*.{form}"} for split in SPLITS if split in present]
        values["configs"] = [{"config_name": "default", "data_files": paths}]
    return "\n".join(
        ["---", *(f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in values.items()), "---"]
    )


def _reasons(entry: Mapping[str, Any]) -> str:
    dropped = entry["documents"]["dropped"]
    return ", ".join(f"{reason} {number:,}" for reason, number in sorted(dropped.items()) if number) or "none"


def _table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(
        "| " + " | ".join(f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in line) + " |" for line in lines
    )
