"""`glam evaluate`: scores of a run on held-out documents and on tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from glam.options import DEFAULT_STORE, JsonOption, StoreOption, configs_folder, show
from pipelines.progress import TerminalDisplay
from pipelines.store.errors import GlamError
from pipelines.store.files import join, write_json
from pipelines.store.versions import Version, find_version

if TYPE_CHECKING:
    from trainer.evaluation.evaluate import Asking, Dirty
    from trainer.evaluation.results import TaskResult
    from trainer.evaluation.task import Catalogue

HELDOUT, DOMAINS, COOCCURRENCE = "heldout", "domains", "cooccurrence"
NOTHING = {"score": None, "low": None, "high": None, "n": 0, "chance": None}


def evaluate(
    run: Annotated[str, typer.Argument(help="Folder of a run.")],
    store: StoreOption = DEFAULT_STORE,
    tasks: Annotated[
        str,
        typer.Option(
            "--tasks",
            help="Comma-separated: heldout, heldout/SOURCE, domains (perplexity and experts by component, quality and "
            "language), cooccurrence (adjectives said of people), tasks, suites (glam, nlg, nlu, bias …), all.",
        ),
    ] = HELDOUT,
    shots: Annotated[
        str, typer.Option("--shots", help="Comma-separated numbers of demonstrations; `few` is each task's own.")
    ] = "0",
    data: Annotated[
        str | None,
        typer.Option("--data", envvar="GLAM_EVAL", help="Folder of the tasks' files; a task without one has no data."),
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="Examples of a task, documents of a source, chosen by hash.")
    ] = None,
    draws: Annotated[int, typer.Option("--draws", min=1, help="Draws of demonstrations; scores are their means.")] = 1,
    unconditional: Annotated[
        bool,
        typer.Option("--unconditional", help="Compare options with their likelihood without the question (GPT-3)."),
    ] = False,
    stride: Annotated[
        int | None,
        typer.Option("--stride", min=1, help="Of `domains`: new tokens of a window; half of the context by default."),
    ] = None,
    samples: Annotated[
        int | None,
        typer.Option("--samples", min=1, help="Of `cooccurrence`: continuations of a prompt; the file's by default."),
    ] = None,
    catalogue: Annotated[
        str | None, typer.Option("--catalogue", help="Folder with sets.toml, suites.toml and tasks/ in place of ours.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Score a run: bits per byte on held-out documents, language modelling by domain, and any of the tasks.

    What the model answered is kept in RUN/evaluation: a stopped evaluation goes on, and nothing is asked twice.

    Example: glam evaluate runs/first --store store --tasks heldout,small --data DIR --limit 200
    """
    from glam.cooccurrence import run_cooccurrence
    from glam.domains import run_domains
    from glam.evaluation_tables import mean_table, score_table, task_table
    from trainer.evaluation.evaluate import Asking
    from trainer.evaluation.task import Catalogue

    asking = Asking(tuple(shots.split(",")), draws, limit, unconditional)
    names = tasks.split(",")
    heldout = [name for name in names if name == HELDOUT or name.startswith(f"{HELDOUT}/")]
    place = catalogue or str(configs_folder() / "evaluation")
    known = Catalogue(place)
    wanted = list(known.named(name for name in names if name not in (*heldout, DOMAINS, COOCCURRENCE)))
    version = _version_of(run, store)
    answer: dict[str, Any] = {"run": run, "tasks": _heldout(run, version, heldout) if heldout else {}}
    if answer["tasks"]:
        task_table(answer["tasks"])
    folder = data or known.folder
    if DOMAINS in names:
        answer["domains"] = run_domains(run, store, version, known, folder, stride, limit)
    if COOCCURRENCE in names:
        answer["cooccurrence"] = run_cooccurrence(run, version, place, samples)
    if wanted:
        results = _results(run, store, version, known, wanted, folder, asking)
        body = {name: _entry(known, name, results[name], asking.shots) for name in wanted}
        answer |= {"tasks": answer["tasks"] | body, "means": _means(known, results, asking.shots)}
        score_table({name: body[name] for name in wanted})
        mean_table(answer["means"])
        write_json(join(run, "evaluation", "summary.json"), {"tasks": body, "means": answer["means"]})
    if as_json:
        show(answer)


def _version_of(run: str, store: str) -> Version:
    from trainer.run_folder import read_run

    return find_version(store, read_run(run)["version"]["id"])


def _heldout(run: str, version: Version, names: Sequence[str]) -> dict[str, Any]:
    from trainer.evaluation.bits_per_byte import evaluate as score
    from trainer.evaluation.intervals import ratio_interval

    display = TerminalDisplay()
    display.start("evaluate", sum(entry.tokens for entry in version.heldout.values()), "tokens")
    scores = score(run, version, lambda done, _: display.move(done))
    display.finish()
    answer = {}
    for source, entry in scores.items():
        if HELDOUT in names or f"{HELDOUT}/{source}" in names:
            low, high = ratio_interval(entry.bits, entry.bytes) or (None, None)
            figures = {"score": entry.bits_per_byte, "low": low, "high": high, "n": len(entry.ids), "chance": None}
            answer[f"{HELDOUT}/{source}"] = figures
    absent = [name for name in names if name != HELDOUT and name not in answer]
    if absent or not answer:
        raise GlamError(f"--tasks {','.join(names)}: the version holds out {', '.join(sorted(scores)) or 'nothing'}")
    return answer


def _results(
    run: str, store: str, version: Version, catalogue: Catalogue, names: Sequence[str], data: str | None, asking: Asking
) -> dict[str, dict[str, TaskResult]]:
    from trainer.evaluation.checkpoint import load_checkpoint
    from trainer.evaluation.evaluate import evaluate_tasks, open_set

    if data is None:
        raise GlamError("--data: give the folder of the tasks' files, or set GLAM_EVAL, or `folder` in sets.toml")
    if not Path(data).is_dir():
        raise GlamError(f"--data {data}: there is no such folder")
    display = TerminalDisplay()
    sets = [open_set(name, catalogue, data, asking.limit) for name in names]
    for one in sets:
        if not one.files:
            patterns = ", ".join(catalogue.sets[one.task.set].files).replace("{folder}", data)
            display.say(f"{one.name}: no data ({patterns})")
    if not any(one.examples for one in sets):
        return {name: {} for name in names}
    dirty = _dirty(store, version, display)
    return evaluate_tasks(load_checkpoint(run, version), sets, asking, display, join(run, "evaluation"), dirty)


def _dirty(store: str, version: Version, display: TerminalDisplay) -> dict[str, Dirty] | None:
    """Return which records of every set stand in the training text; None, and a word about it, where nobody looked."""
    from pipelines.contamination.results import ContaminationError, VersionContamination

    try:
        found = VersionContamination(store, version)
    except ContaminationError as error:
        display.say(f"contamination is not known: {error}")
        return None
    return {name: found.by_record(name) for name, entry in found.tasks.items() if entry["examples"]}


def _entry(catalogue: Catalogue, name: str, results: Mapping[str, TaskResult], shots: Sequence[str]) -> dict[str, Any]:
    """Return what is printed of a task: the first number of demonstrations, and all of them where there are several."""
    from trainer.evaluation.means import reference

    task = catalogue.tasks[name]
    made: dict[str, dict[str, Any]] = {}
    for wanted in shots:
        if wanted in results:
            found = results[wanted].to_json()
            published = {metric: reference(task, metric, wanted) for metric in task.metrics}
            made[wanted] = found | {"reference": published, "shots_of": task.shots_of if wanted == "few" else None}
        else:
            made[wanted] = NOTHING | {"reason": "no demonstrations" if results else "no data"}
    first = made[shots[0]] | {"title": task.title, "metric": task.metrics[0], "category": task.category}
    return first if len(shots) == 1 else first | {"by_shots": made}


def _means(
    catalogue: Catalogue, results: Mapping[str, Mapping[str, TaskResult]], shots: Sequence[str]
) -> dict[str, dict[str, Any]]:
    from trainer.evaluation.means import means

    made: dict[str, dict[str, Any]] = {}
    for wanted in shots:
        made[wanted] = {}
        for name, mean in means(results, wanted, catalogue).items():
            published = {model: scores.of(wanted) for model, scores in catalogue.means.get(name, {}).items()}
            reference = {model: score.score for model, score in published.items() if score is not None}
            made[wanted][name] = {**vars(mean), "reference": reference}
    return made
