"""Tables for people, on stderr."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from glam.printing import console as _console
from glam.printing import new_table as _table
from glam.printing import print_answer as _print_answer
from glam.printing import print_note as _print
from pipelines.mixture import DerivedWeight
from pipelines.store.repetition import ComponentUse, format_amount, format_epochs
from pipelines.store.stages import FinishedStage


def say(message: str) -> None:
    """Print a message on stderr."""
    print(message, file=sys.stderr, flush=True)


def stage_table(stages: Iterable[FinishedStage]) -> None:
    """Print documents, seconds and CPU seconds by stage; what was found in the store shows what it took when it was
    computed. Documents are those of the ledgers, which are exact on every engine; `-` where a stage keeps none.
    """
    columns = ("stage", "this time", "documents in", "out", "seconds", "CPU seconds")
    table = _table("Stages", columns, 2)
    totals: dict[str, list[float]] = {}
    for stage in stages:
        side = stage.manifest["side"]
        entry = totals.setdefault(stage.stage, [0, 0, 0.0, 0.0, 0, 0])
        entry[0] += 1
        entry[1] += stage.reused
        entry[2] += side["seconds"]
        entry[3] += side["cpu_seconds"]
        for position, direction in ((4, "in"), (5, "out")):
            ledger = (stage.manifest.get("ledger") or {}).values()
            entry[position] += sum(source.get("documents", {}).get(direction, 0) for source in ledger)
    for name, (count, reused, seconds, cpu_seconds, *documents) in totals.items():
        state = (
            "found"
            if reused == count
            else "computed"
            if not reused
            else f"{count - reused:.0f} of {count:.0f} computed"
        )
        came, went = (f"{number:,.0f}" if number else "-" for number in documents)
        table.add_row(name, state, came, went, f"{seconds:.1f}", f"{cpu_seconds:.1f}")
    _print(table)


def encoded_table(encoded: Mapping[str, Mapping[str, int]]) -> None:
    """Print what the tokenizer made of each source."""
    table = _table("Tokens", ("source", "documents", "bytes", "tokens", "bytes a token"), 1)
    for source, entry in sorted(encoded.items()):
        figures = (f"{entry[name]:,}" for name in ("documents", "bytes", "tokens"))
        table.add_row(source, *figures, f"{entry['bytes'] / entry['tokens']:.2f}" if entry["tokens"] else "-")
    _print(table)


def store_table(answer: Mapping[str, Any]) -> None:
    """Print what a store holds, on stdout."""
    table = _table("Dataset versions", ("id", "name", "configuration", "created", "training tokens"), 4)
    for version in answer["versions"]:
        created = version["created"].replace("+00:00", "Z")
        table.add_row(version["id"], version["name"], version["config"], created, f"{version['tokens']:,}")
    _print_answer(table)
    if not answer["versions"]:
        print("no dataset version is in this store; `glam build` makes some", file=sys.stderr)
    if answer["studies"]:
        studies = _table("Studies", ("id", "name", "created"), 3)
        for study in answer["studies"]:
            studies.add_row(study["id"], study["name"], study["created"].replace("+00:00", "Z"))
        _print_answer(studies)


def source_table(answer: Mapping[str, Any], with_files: bool) -> None:
    """Print what extraction made of each source, and of each of its files where they are wanted, on stdout."""
    columns = ("source (component, reader)", "files", "records", "used", "documents", "skipped, !quarantined, +noted")
    table = _table(f"Sources in {answer['folder']}", columns, 1)
    table.columns[-1].justify = "left"
    table.columns[-1].no_wrap = False
    for source in answer["sources"]:
        files, documents = source["files"], source["documents"]
        copies = {"copies": documents["copies"]} if documents["copies"] else {}
        reasons = _reasons(source["records"], _total(files, "quarantine"), _total(files, "notes") | copies)
        name = f"{source['source']} ({source['component']}, {source['reader']})"
        table.add_row(name, f"{len(files):,}", *_counts(source["records"], documents["out"]), reasons)
        for file in files if with_files else ():
            path = file["path"].removeprefix(answer["folder"]).lstrip("/")
            reasons = _reasons(file["records"], file["quarantine"], file["notes"])
            table.add_row(f"  {path}", "", *_counts(file["records"], file["documents"]), reasons)
    _console(sys.stdout, 240).print(table)


def _total(files: Iterable[Mapping[str, Any]], figure: str) -> dict[str, int]:
    total: Counter[str] = Counter()
    for file in files:
        total.update(file[figure])
    return dict(total)


def _counts(records: Mapping[str, Any], documents: int) -> tuple[str, ...]:
    return f"{records['read']:,}", f"{records['used']:,}", f"{documents:,}"


def _reasons(records: Mapping[str, Any], quarantine: Mapping[str, int], notes: Mapping[str, int]) -> str:
    """Return in words what was skipped and quarantined, by reason, and what was noted of the used."""
    marked = (("", records["skipped"]), ("!", quarantine), ("+", notes))
    return ", ".join(f"{mark}{reason} {n:,}" for mark, reasons in marked for reason, n in sorted(reasons.items()))


def mixture_table(uses: Iterable[ComponentUse], budget: int) -> None:
    """Print what a training takes of each component, on stdout."""
    title = f"A training of {format_amount(budget)} tokens"
    table = _table(title, ("component", "weight", "tokens there are", "tokens asked", "epochs", "verdict"), 1)
    table.columns[-1].justify = "left"
    for use in uses:
        there = "unknown" if use.available is None else _tokens(use.available)
        epochs = "-" if use.epochs is None else format_epochs(use.epochs)
        table.add_row(use.component, f"{float(use.weight):g}", there, _tokens(round(use.asked)), epochs, use.verdict)
    _print_answer(table)


def _tokens(number: int) -> str:
    return f"{number:,}" if number < 10**6 else format_amount(number)


def weights_table(derived: Iterable[DerivedWeight], uses: Mapping[str, ComponentUse], max_epochs: float) -> None:
    """Print scores, the weights they give with and without the cap, and the epochs; `at the cap` where it decides."""
    columns = ("component", "bits per byte", "without cap", f"most at {max_epochs:g} epochs", "weight", "epochs", "")
    table = _table("Weights by small models", columns, 1)
    table.columns[-1].justify = "left"
    for entry in derived:
        epochs = uses[entry.component].epochs if entry.component in uses else None
        note = "at the cap" if entry.rows == entry.most else ""
        thousandths = (f"{rows / 1000:.3f}" for rows in (entry.uncapped, entry.most, entry.rows))
        shown = "-" if epochs is None else format_epochs(epochs)
        table.add_row(entry.component, f"{entry.score:.4f}", *thousandths, shown, note)
    _print(table)


def contamination_table(answer: Mapping[str, Any]) -> None:
    """Print clean and dirty examples by task, on stdout."""
    columns = ("task", "n", "examples", "clean", "dirty", "% dirty", "documents", "found in the corpus")
    table = _table(f"Contamination of {answer['name']} ({answer['version']})", columns, 1)
    for name, task in answer["tasks"].items():
        if not task["examples"]:
            table.add_row(name, "no data")
            continue
        figures = (f"{task[figure]:,}" for figure in ("n", "examples", "clean", "dirty"))
        share = f"{100 * task['dirty'] / task['examples']:.1f}"
        table.add_row(name, *figures, share, f"{task['documents']:,}", f"{task['found']:,}")
    _print_answer(table)


def quality_table(answer: Mapping[str, Any]) -> None:
    """Print how well a classifier tells the classes apart, by source, and where it was trained without one."""
    for name, figures in (("held out", answer["heldout"]), ("cross-fitted", answer["cross_fitted"])):
        if "auc" in figures:
            interval = f"[{figures['auc_low']:.4f}, {figures['auc_high']:.4f}]"
            sizes = f"{figures['positives']:,} positives, {figures['negatives']:,} negatives"
            print(f"{name}: AUC {figures['auc']:.4f} {interval}, {sizes}", file=sys.stderr)
    table = _table("By source", ("source", "positives", "negatives", "mean score", "AUC"), 1)
    for row in answer["sources"]:
        figures = (_places(row[name]) for name in ("mean", "auc"))
        table.add_row(row["group"], f"{row['positives']:,}", f"{row['negatives']:,}", *figures)
    _print(table)
    columns = ("left out", "group", "positives", "negatives", "AUC", "AUC without it")
    table = _table("Trained without a source or host", columns, 2)
    for row in answer["left_out"]:
        figures = (_places(row[name]) for name in ("auc", "auc_left_out"))
        table.add_row(row["kind"], row["group"], f"{row['positives']:,}", f"{row['negatives']:,}", *figures)
    if answer["left_out"]:
        _print(table)


def explanation_table(answer: Mapping[str, Any]) -> None:
    """Print why a text has its score, on stdout."""
    print(answer.get("file") or f"{answer['url'] or answer['native_key'] or answer['id']}  ({answer['source']})")
    if answer.get("title"):
        print(answer["title"])
    print(f"score {answer['probability']:.4f}  (logit {answer['logit']:+.4f})")
    if "fold" in answer:
        print(_fate(answer))
    table = _table("", ("word or pair", "times", "adds to the logit"), 1)
    for feature in answer["features"]:
        table.add_row(feature["feature"], f"{feature['occurrences']:,}", f"{feature['logit']:+.4f}")
    if answer["features_left"]:
        table.add_row(f"({answer['features_left']:,} more)", "", f"{answer['rest']:+.4f}")
    _print_answer(table)


def _fate(answer: Mapping[str, Any]) -> str:
    """Say what became of a document."""
    cross_fitted = f"scored by the model of fold {answer['fold']}, which did not learn from it"
    model = "scored by an existing model" if answer["folds"] == 1 else cross_fitted
    if answer["dropped"]:
        return f"{model}; dropped before: {answer['dropped']}"
    if answer["keep"] is None:
        return f"{model}; not sampled: {answer['split'] if answer['scored'] else 'its component is not scored'}"
    verdict = "kept" if answer["keep"] else "dropped"
    relation = "<" if answer["keep"] else ">="
    basis = "rank" if answer["on"] == "rank" else "score"
    return (
        f"{model}\nrank {answer['rank']:.4f} of the training documents of its component; Pareto on the {basis}, "
        f"alpha {answer['alpha']}: draw {answer['draw']:.4f} {relation} {answer['threshold']:.4f}: {verdict}"
    )


def _places(figure: float | None) -> str:
    return "-" if figure is None else f"{figure:.4f}"


def compiled_table(step: Mapping[str, Any]) -> None:
    """Print what a chip holds and sends for an update, on stdout."""
    mesh, memory = step["mesh"], step["memory"]
    print(
        f"{step['name']} on {step['topology']}: {step['chips']:,} chips, mesh data {mesh['data']} × model "
        f"{mesh['model']}, {step['tokens']:,} tokens a step"
    )
    table = _table("", ("memory of a chip", "GiB"), 1)
    for part, size in memory.items():
        table.add_row("of the chip's" if part == "chip" else part, f"{size / 2**30:.3f}")
    _print_answer(table)
    table = _table("", ("sent by a chip in a step", "times", "GiB"), 1)
    for kind, sent in step["collectives"].items():
        table.add_row(kind, f"{sent['times']:,}", f"{sent['bytes'] / 2**30:.3f}")
    _print_answer(table)
    print(
        f"{step['flops']:.3e} FLOPs a step in closed form, at least {step['floor_seconds']:.3f} s at the chips' peak; "
        f"compiled in {step['compile_seconds']:g} s with {step['resident_bytes'] / 2**30:.1f} GiB"
    )
