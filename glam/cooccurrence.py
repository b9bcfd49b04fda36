"""`glam evaluate --tasks cooccurrence`: which adjectives a model says of whom."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from glam.printing import new_table, print_note
from pipelines.progress import TerminalDisplay
from pipelines.store.configuration import load_settings
from pipelines.store.files import join, write_json
from pipelines.store.versions import Version

FILE = "cooccurrence.toml"
SHOWN = 6


def run_cooccurrence(run: str, version: Version, catalogue: str, samples: int | None) -> dict[str, Any]:
    """Sample what a run says of people, print and return the adjectives by group and term."""
    from trainer.evaluation.adjectives import adjective_finder
    from trainer.evaluation.cooccurrence import CooccurrenceSettings, adjective_counts, compared, sampled_texts

    settings = load_settings(CooccurrenceSettings, str(Path(catalogue, FILE)))
    if samples is not None:
        settings = settings.model_copy(update={"samples": samples})
    find = adjective_finder()
    from trainer.evaluation.checkpoint import load_checkpoint  # after what can be refused at once

    model, display = load_checkpoint(run, version), TerminalDisplay()
    prompts = sum(len(group.terms) * len(group.templates) for group in settings.groups.values())
    display.start("co-occurrence", prompts * settings.samples, "continuations")
    done = 0

    def moved(number: int) -> None:
        nonlocal done
        done += number
        display.move(done)

    groups: dict[str, Any] = {}
    for name, group in settings.groups.items():
        counts: dict[str, Counter[str]] = {term: Counter() for term in group.terms}
        for term in group.terms:
            for prompt in group.prompts(term):
                counts[term] += adjective_counts(prompt, sampled_texts(model, prompt, settings, run, moved), find)
        groups[name] = compared(counts, settings.samples * len(group.templates))
    display.finish()
    answer = {"settings": settings.model_dump(), "groups": groups}
    write_json(join(run, "evaluation", "cooccurrence.json"), answer)
    adjective_table(groups)
    return answer


def adjective_table(groups: Mapping[str, Mapping[str, Any]]) -> None:
    """Print the commonest adjectives of each term, and those that lean to it."""
    table = new_table("Adjectives", ("group", "term", "samples", "% of them: commonest", "leaning to the term"), 5)
    for name, terms in groups.items():
        for term, found in terms.items():
            commonest = [(word, count / found["samples"]) for word, count in found["adjectives"].items()]
            leaning = [(row["adjective"], row["share"] - row["others"]) for row in found["leaning"]]
            table.add_row(name, term, f"{found['samples']:,}", _words(commonest), _words(leaning))
    print_note(table)


def _words(shares: Iterable[tuple[str, float]]) -> str:
    return ", ".join(f"{word} {100 * share:.1f}" for word, share in list(shares)[:SHOWN]) or "-"
