"""The answer of `glam explain` in words, a line a step, on stdout."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

LABEL_WIDTH = 14
SCORE_UNITS = 1 << 16
FILES_SHOWN = 3


def print_explanation(answer: Mapping[str, Any]) -> None:
    """Print every document, and every record that gave none."""
    for document in answer["documents"]:
        print(f"{document['id']}  {document['source']}  {document['url'] or document['native_key']}".rstrip())
        if document["title"]:
            print(document["title"])
        for step in document["steps"]:
            for number, line in enumerate(_LINES[step["step"]](step)):
                print(f"  {'' if number else step['step']:<{LABEL_WIDTH}}{line}")
        print(f"  = {_conclusion(document)}")
    for record in answer["left_out"]:
        name = record["native_key"] or f"{record['file']}:{record['offset']}"
        print(f"{name}  {record['source']}: no document; the record was left out as {record['reason']}")
        print(f"  {'extract':<{LABEL_WIDTH}}{record['file']}, offset {record['offset']:,}")
        if record["detail"]:
            print(f"  {'':<{LABEL_WIDTH}}quarantined: {record['detail']}")


def _conclusion(document: Mapping[str, Any]) -> str:
    if document["dropped_at"]:
        return f"dropped by {document['dropped_at']}: {document['verdict']}"
    return "trained on" if document["verdict"] == "train" else f"held out ({document['verdict']}): never trained on"


def _extract(step: Mapping[str, Any]) -> Iterator[str]:
    for copy in step["copies"][:FILES_SHOWN]:
        yield f"{copy['file']}, offset {copy['offset']:,}"
    if len(step["copies"]) > FILES_SHOWN:
        yield f"and {len(step['copies']) - FILES_SHOWN:,} more copies"
    part = f", part {step['part']} of its record" if step["part"] else ""
    sizes = f"{step['raw_bytes']:,} bytes, {step['text_bytes']:,} of text{part}"
    yield f"reader {step['reader']}, {sizes}; licence: {step['licence']}"


def _deduplicate(step: Mapping[str, Any]) -> Iterator[str]:
    other = step["duplicate_of"]
    if other is not None:
        name = other["url"] or other["native_key"] or other["title"] or ""
        yield f"{step['reason']} of {other['id']}  {other['source']}  {name}, Jaccard {step['jaccard']:.4f}"
    elif step["reason"] is not None:
        yield f"dropped: {step['reason']}"
    else:
        yield "stays" if step["cluster_stays"] == 1 else f"stays, with {step['cluster_stays'] - 1} more of its cluster"


def _holdout(step: Mapping[str, Any]) -> Iterator[str]:
    yield {"train": "not held out"}.get(step["split"], str(step["split"]))


def _decontaminate(step: Mapping[str, Any]) -> Iterator[str]:
    if not step["matches"]:
        yield "shares no n-gram with an evaluation example"
        return
    yield f"{step['matches']} places match evaluation examples; {step['spans']} spans cut; {step['split']}"
    for example in step["examples"]:
        place = f"{example['task']}, {example['file']} line {example['line']}"
        yield f"{place}: {example['ngrams']:,} n-grams, the first at character {example['start']:,}"


def _quality(step: Mapping[str, Any]) -> Iterator[str]:
    model = "an existing model" if step["folds"] == 1 else f"the model of fold {step['fold']}, which never saw it"
    yield f"score {step['score'] / SCORE_UNITS:.4f} (logit {step['logit']:+.4f}) by {model}"
    features = ", ".join(f"{feature['feature']} {feature['logit']:+.3f}" for feature in step["features"])
    rest = f"; {step['features_left']:,} more {step['rest']:+.3f}" if step["features_left"] else ""
    yield f"{features}{rest}"


def _sample(step: Mapping[str, Any]) -> Iterator[str]:
    s, draw, threshold = step["s"], step["U"], step["T"]
    relation, word = ("<", "kept") if step["keep"] else (">=", "dropped")
    yield f"{word}: U = {draw} {relation} T[{s}] = {threshold}"
    yield (
        f"Pareto, alpha {step['alpha']}, on the {step['on']}: U {draw / 2**64:.4f} {relation} {threshold / 2**64:.4f}"
        f" at s {s / SCORE_UNITS:.4f}"
    )


def _subset(step: Mapping[str, Any]) -> Iterator[str]:
    yield "in the random subset" if step["random"] else "not in the random subset"


def _mix(step: Mapping[str, Any]) -> Iterator[str]:
    if step["variant"] is None:
        yield f"component {step['component']}: held out"
        return
    yield f"component {step['component']} ({step['variant']}), weight {step['weight']:g}, {step['tokens']:,} tokens"
    for entry in step["epochs"]:
        runs = entry["of"][0] if len(entry["of"]) == 1 else f"{len(entry['of'])} runs"
        yield f"read {entry['epochs']:.2f} times by a training of {entry['budget']:,} tokens ({runs})"


def _pack(step: Mapping[str, Any]) -> Iterator[str]:
    for shard, group in groupby(step["segments"], key=lambda part: part["shard"]):
        parts: Sequence[Mapping[str, Any]] = list(group)
        first, last = parts[0]["record"], parts[-1]["record"]
        records = f"record {first}" if first == last else f"records {first} to {last}"
        yield f"{shard}, {records}, from token {parts[0]['start']} of the first"


_LINES = {
    "extract": _extract,
    "deduplicate": _deduplicate,
    "holdout": _holdout,
    "decontaminate": _decontaminate,
    "quality": _quality,
    "sample": _sample,
    "subset": _subset,
    "mix": _mix,
    "pack": _pack,
}
