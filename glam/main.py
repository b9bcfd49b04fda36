"""The `glam` command: reads arguments, calls a function of the floors below, prints what it returned.

Everything is printed to stderr but the answer: with `--json` that is one JSON object on the last line of stdout.
Heavy modules are imported by the commands that use them.
"""

from __future__ import annotations

import logging
from typing import Annotated

import typer

from glam.compiling import compile_step
from glam.contamination import contamination
from glam.difference import diff
from glam.duplicates import duplicates
from glam.evaluation import evaluate
from glam.explain import explain
from glam.export import export, sample
from glam.fine_tuning import finetune
from glam.garbage import gc
from glam.generation import generate
from glam.listing import list_store, show_version
from glam.mixture import app as mixture_app
from glam.models import models
from glam.options import DEFAULT_STORE, JsonOption, SetOption, StoreOption, configs_folder, show
from glam.plan import plan
from glam.quality import app as quality_app
from glam.sources import sources
from glam.trace import trace
from glam.verification import verify
from pipelines.store.errors import INTERRUPTED, errors_told
from pipelines.store.presence import silence_told

app = typer.Typer(
    name="glam",
    help="Build quality-filtered pretraining corpora and train GLaM mixture-of-experts models on them.",
    epilog="Start with: glam demo",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

PASS_ON = {"allow_extra_args": True}


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import PackageNotFoundError, version

        try:
            print(f"glam {version('glam')}")
        except PackageNotFoundError:
            print("glam (a checkout that is not installed)")
        raise typer.Exit


@app.callback()
def _options(
    _: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the program's version.")
    ] = False,
) -> None:
    """Take the options that stand before a command."""


@app.command(context_settings=PASS_ON)
def build(
    context: typer.Context,
    config: Annotated[str, typer.Argument(help="Corpus configuration (TOML).")],
    store: StoreOption = DEFAULT_STORE,
    overrides: SetOption = None,
    rehash: Annotated[
        bool, typer.Option("--rehash", help="Hash every input file again, also those that the store remembers.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Build the dataset versions of a configuration.

    Finished stages are found in the store and not computed again; a build that was stopped goes on. Options after --
    are Beam's.

    Example: glam build configs/demo.toml --store store -- --direct_num_workers=2
    """
    from glam.tables import encoded_table, stage_table
    from pipelines.build import build as run_build
    from pipelines.config import load_corpus_config
    from pipelines.progress import TerminalDisplay

    made = run_build(load_corpus_config(config, overrides or []), store, context.args, TerminalDisplay(), rehash=rehash)
    stage_table(made.stages)
    encoded_table(made.encoded())
    if as_json:
        show(made.to_json())
    else:
        for name, version in made.versions.items():
            print(f"{name}  {version.id}  {version.url}")


@app.command()
def train(
    config: Annotated[str, typer.Argument(help="Training configuration (TOML); it names the dataset version.")],
    run: Annotated[str | None, typer.Option("--run", help="Folder of the run: metrics, checkpoints, run.json.")] = None,
    store: StoreOption = DEFAULT_STORE,
    overrides: SetOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what the configuration means, and stop.")] = False,
    preflight: Annotated[
        bool, typer.Option("--preflight", help="First train a small model on the same data; stop if it does not learn.")
    ] = False,
    profile: Annotated[
        str | None, typer.Option("--profile", metavar="N[:M]", help="Trace update N, or N to M, into the folder.")
    ] = None,
    peak: Annotated[
        float | None, typer.Option("--peak", help="FLOPs a second of all devices, for MFU (known or measured if not).")
    ] = None,
    coordinator: Annotated[
        str | None,
        typer.Option(
            "--coordinator",
            envvar="GLAM_COORDINATOR",
            help="Train in several processes: HOST:PORT of the first one; `auto` on TPU slices, Slurm, Kubernetes.",
        ),
    ] = None,
    processes: Annotated[
        int | None, typer.Option("--processes", envvar="GLAM_PROCESSES", min=1, help="How many processes there are.")
    ] = None,
    process: Annotated[
        int | None, typer.Option("--process", envvar="GLAM_PROCESS", min=0, help="Number of this one, from 0.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Train a model on a dataset version.

    Before the first update it prints what the configuration means: sizes, twins, routing, memory, epochs. A run that
    was stopped goes on from its last checkpoint; a finished one is returned at once. With several devices, set
    mesh.data and mesh.model (docs/tpu.md). More: docs/training.md.

    Example: glam train configs/training/demo.toml --store store --run runs/first --set training.seed=1
    """
    from glam.training import Wanted, run_training
    from trainer.processes import joined

    if not run and not dry_run:
        raise typer.BadParameter("give the folder of the run, or --dry-run", param_hint="--run")
    wanted = Wanted(None if dry_run else run, preflight, profile, peak)
    with joined(coordinator, processes, process):
        answer = run_training(config, overrides or [], store, wanted)
    if as_json:
        show(answer)
    elif not dry_run:
        print(f"{run}: {answer['steps']} steps, loss {answer['loss']:.4f}")


@app.command(context_settings=PASS_ON)
def ablate(
    context: typer.Context,
    study: Annotated[str, typer.Argument(help="Study (TOML).")],
    store: StoreOption = DEFAULT_STORE,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Validate, print arms, runs and cost, and stop.")] = False,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run a study: build its corpora, train its arms, compare them, write the report.

    Example: glam ablate configs/studies/demo.toml --store store --dry-run
    """
    from glam.studies import plan, run

    changes = overrides or []
    answer = plan(study, store, changes) if dry_run else run(study, store, context.args, overrides=changes)
    if as_json:
        show(answer)


@app.command(context_settings=PASS_ON)
def demo(
    context: typer.Context,
    store: StoreOption = DEFAULT_STORE,
    out: Annotated[str, typer.Option("--out", help="Where to put the report.")] = "report.html",
    as_json: JsonOption = False,
) -> None:
    """Run the whole system on the real text that the `demo` extra brought: filtered against unfiltered web pages.

    It is the study configs/studies/demo.toml and nothing else. Run again, it computes nothing twice.

    Example: glam demo --store store
    """
    from glam.studies import run

    answer = run(str(configs_folder() / "studies" / "demo.toml"), store, context.args, report=out)
    if as_json:
        show(answer)


@app.command()
def report(
    reference: Annotated[
        str, typer.Argument(help="Id or name of a version, folder of a run, or a study (TOML or id).")
    ],
    out: Annotated[str, typer.Option("--out", help="The HTML file to write.")] = "report.html",
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Write a self-contained HTML report of a version, a run or a study.

    Example: glam report filtered --store store --out report.html
    """
    from glam.studies import write_report

    write_report(reference, store, out)
    print(out)


app.command()(evaluate)
app.command()(verify)
app.command()(gc)
app.command()(diff)
app.command()(sample)
app.command()(export)
app.command()(duplicates)
app.command()(contamination)
app.command()(finetune)
app.command()(generate)
app.command()(explain)
app.command()(trace)
app.command()(models)
app.command()(plan)
app.command(name="compile")(compile_step)
app.command(context_settings=PASS_ON)(sources)


app.command(name="list")(list_store)
app.command(name="show")(show_version)
app.add_typer(mixture_app)
app.add_typer(quality_app)


def main() -> None:
    """Run the command; an error meant for the user is printed without a stack trace."""
    logging.getLogger().setLevel(logging.ERROR)  # libraries warn at import about what is not used here
    with errors_told(), silence_told():
        try:
            app()
        except SystemExit as end:
            if end.code == INTERRUPTED:  # the command-line library turned Ctrl-C into this
                raise KeyboardInterrupt from None
            raise
