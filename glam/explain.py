"""`glam explain`: every verdict on a document of a version, from the file it was read from to the record it is in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from glam.options import DEFAULT_STORE, JsonOption, StoreOption, show
from pipelines.store.errors import GlamError

if TYPE_CHECKING:
    from pipelines.store.versions import Version

_Training = tuple[int, Mapping[str, float]]
"""Tokens of a training, and its weights by component."""


def explain(
    reference: Annotated[str, typer.Argument(metavar="ID", help="Id of a version, a unique prefix of it, or a name.")],
    document: Annotated[
        str,
        typer.Argument(
            metavar="DOC",
            help="URL or native key of a document, the beginning of its id, or FILE:OFFSET, where its record begins.",
        ),
    ],
    budget: Annotated[
        str | None, typer.Option("--budget", help="Also tell the epochs of a training of so many tokens, e.g. 600B.")
    ] = None,
    features: Annotated[int, typer.Option("--features", min=0, help="Words behind the score to name.")] = 8,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Tell every verdict on a document in order: file and record, duplicate of what, hold-out, contamination, score
    and the words behind it, its Pareto draw, component and epochs, shard and records.

    A document that was dropped is told up to the job that dropped it; a record that gave no document, why. A record
    without a name goes by its place, as quarantine.jsonl and this command tell it. Exits with 1 when nothing is known
    of DOC.

    Example: glam explain filtered http://example.com/page.html --store store
    """
    from glam.explanation_text import print_explanation

    answer = explain_reference(reference, document, store, budget, features)
    if as_json:
        show(answer)
    else:
        print_explanation(answer)


def explain_reference(reference: str, document: str, store: str, budget: str | None, features: int) -> dict[str, Any]:
    """Return what `glam explain --json` prints.

    Raises:
        GlamError: when no document and no record that was left out is called so.
    """
    from glam.duplicates import not_found
    from pipelines.explanation import Explainer
    from pipelines.lookup import VersionDocuments
    from pipelines.store.versions import find_version

    version = find_version(store, reference)
    budgets = _budgets(store, version, budget)
    documents = VersionDocuments(store, version)
    explainer = Explainer(store, documents, features)
    explained = [explainer.explain(place) for place in documents.find(document)]
    by_id = any(entry["id"].startswith(document.lower()) for entry in explained)
    left_out = [] if by_id else documents.left_out(document)
    if not explained and not left_out:
        raise GlamError(not_found(documents, document))
    for entry in explained:
        for step in entry["steps"]:
            if step["step"] == "mix" and step["variant"] is not None:
                step["epochs"] = _epochs(version, step["component"], budgets)
    return {
        "version": version.id,
        "name": version.name,
        "document": document,
        "documents": explained,
        "left_out": left_out,
    }


def _budgets(store: str, version: Version, budget: str | None) -> dict[str, _Training]:
    """Return tokens and weights of the trainings to tell epochs of: the budget asked for, and the store's runs."""
    from glam.mixture import amount_of
    from trainer.mixture import training_weights
    from trainer.run_folder import runs_of

    weights = {name: part.weight for name, part in version.components.items()}
    asked: dict[str, _Training] = {} if budget is None else {"--budget": (amount_of(budget), weights)}
    found: dict[str, _Training] = {}
    for run_dir, config in runs_of(store, version.id):
        tokens = config.training.steps * config.training.batch_rows * version.sequence_length
        found[run_dir] = (tokens, training_weights(version, config))
    return asked | found


def _epochs(version: Version, component: str, budgets: Mapping[str, _Training]) -> list[dict[str, Any]]:
    from pipelines.store.repetition import plan_repetition

    available = {name: part.tokens for name, part in version.components.items()}
    epochs: dict[tuple[int, float], list[str]] = {}
    for name, (tokens, weights) in budgets.items():
        for use in plan_repetition(weights, available, tokens, version.repetition_limits):
            if use.component == component and use.epochs is not None:
                epochs.setdefault((tokens, float(use.epochs)), []).append(name)
    return [{"budget": tokens, "epochs": number, "of": names} for (tokens, number), names in epochs.items()]
