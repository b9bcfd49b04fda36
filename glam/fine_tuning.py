"""`glam finetune`: a run goes on with prompts and answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from glam.options import DEFAULT_STORE, JsonOption, SetOption, StoreOption, show
from glam.training_console import TrainingConsole
from pipelines.progress import TerminalDisplay
from pipelines.store.configuration import apply_override, validate
from pipelines.store.versions import find_version
from trainer.accounting import cost
from trainer.fine_tuning.settings import FineTuningSettings
from trainer.run_folder import read_run

DEFAULTS = FineTuningSettings()


def finetune(
    run: Annotated[str, typer.Argument(help="Folder of a run; its newest checkpoint is gone on with.")],
    data: Annotated[str, typer.Option("--data", help="JSON lines with the fields `prompt` and `answer`.")],
    out: Annotated[str, typer.Option("--out", help="Folder of the new run.")],
    epochs: Annotated[int, typer.Option("--epochs", help="How often every example is read.")] = DEFAULTS.epochs,
    steps: Annotated[int, typer.Option("--steps", help="Updates, in place of epochs.")] = DEFAULTS.steps,
    learning_rate: Annotated[
        float, typer.Option("--learning-rate", help="Highest rate, relative to the parameters; it falls to a tenth.")
    ] = DEFAULTS.learning_rate,
    rows: Annotated[
        int, typer.Option("--rows", help="Sequences a batch, several examples each.")
    ] = DEFAULTS.batch_rows,
    seed: Annotated[int, typer.Option("--seed", help="Of the order of the examples.")] = DEFAULTS.seed,
    store: StoreOption = DEFAULT_STORE,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Fine-tune a run on prompts and answers; the loss is that of the answers alone.

    The result is a run like any other, for evaluate and generate. One that was stopped goes on from its last
    checkpoint. --set changes the run's configuration, e.g. --set training.checkpoint_every=50.

    Example: glam finetune runs/first --data answers.jsonl --out runs/tuned --store store --epochs 3
    """
    changes: dict[str, Any] = {}
    for override in overrides or ():
        apply_override(changes, override, "glam finetune")
    asked = {"epochs": epochs, "steps": steps, "learning_rate": learning_rate, "batch_rows": rows, "seed": seed}
    settings = validate(FineTuningSettings, asked, "glam finetune")
    answer = run_fine_tuning(run, data, out, settings, changes, store)
    if as_json:
        show(answer)
    else:
        print(f"{out}: {answer['steps']} steps, loss {answer['loss']:.4f}")


def run_fine_tuning(
    run: str, data: str, out: str, settings: FineTuningSettings, changes: Mapping[str, Any], store: str
) -> dict[str, Any]:
    """Fine-tune a run and return what `glam finetune --json` prints."""
    version = find_version(store, read_run(run)["version"]["id"])
    from trainer.fine_tuning.fine_tune import fine_tune, prepare

    prepared = prepare(run, version, data, settings, changes)
    note, training = prepared.origin.note, prepared.config.training
    display = TerminalDisplay()
    display.say(
        f"{run}: checkpoint of update {note['parent']['step']}, weights {note['parent']['weights'][:12]}; "
        f"{data}: {note['data']['examples']:,} examples, {training.steps:,} updates"
    )
    if note["data"]["cut"]:
        display.say(
            f"{note['data']['cut']:,} examples are longer than a sequence of {version.sequence_length} tokens: "
            "their prompts lose tokens at the left"
        )
    tokens = training.batch_rows * version.sequence_length
    size = cost(prepared.config.model, version.vocabulary_size, version.sequence_length)
    result = fine_tune(prepared, out, TrainingConsole(display, "fine-tune", tokens, size.training_flops))
    display.finish()
    return {
        "run": out,
        "version": version.id,
        "parent": dict(note["parent"]),
        "data": dict(note["data"]),
        "steps": result.steps,
        "loss": result.loss,
        "finished": True,
    }
