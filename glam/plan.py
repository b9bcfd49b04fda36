"""`glam plan`: what a corpus and a training on it will take, before anything is there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from glam.options import DEFAULT_STORE, JsonOption, SetOption, StoreOption, configs_folder, show
from pipelines.store.errors import GlamError

if TYPE_CHECKING:
    from pipelines.config import CorpusConfig
    from pipelines.planning.rates import Rates
    from pipelines.store.configuration import Settings
    from pipelines.store.repetition import ComponentUse


def plan(
    config: Annotated[str, typer.Argument(help="Corpus configuration (TOML); its mixture has expected_tokens.")],
    budget: Annotated[str, typer.Option("--budget", help="Tokens of the training (K, M, B, T).")] = "600B",
    model: Annotated[str, typer.Option("--model", help="Size of the model (`glam models`).")] = "64B/64E",
    topology: Annotated[str, typer.Option("--topology", help="TPU slice of the training.")] = "v4:8x8x16",
    workers: Annotated[int, typer.Option("--workers", min=1, help="Workers that build the corpus.")] = 1000,
    rates: Annotated[
        str | None, typer.Option("--rates", help="Measured rates: JSON of benchmarks/stage_rates.py.")
    ] = None,
    assume: Annotated[
        list[str] | None, typer.Option("--assume", help="Change an assumption: name=value; all are printed.")
    ] = None,
    check: Annotated[
        str | None,
        typer.Option("--check", help="Predict what this dataset version of the store took instead, and compare."),
    ] = None,
    store: StoreOption = DEFAULT_STORE,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what a corpus and a training will take: CPU hours, bytes, money, epochs; chips, days, energy.

    Nothing needs to be there: it reckons from measured rates, the tokens that the configuration expects, and
    assumptions, which are all printed.

    Example: glam plan configs/glam_1p6t.toml --budget 600B --assume mfu=0.35 --assume core_price=0.04
    """
    from glam.plan_tables import print_check, print_plan
    from pipelines.config import load_corpus_config
    from pipelines.planning.rates import read_rates

    settings = load_corpus_config(config, overrides or [])
    measured = read_rates(rates or _own_rates())
    if check is not None:
        answer, tell = _check(measured, check, store), print_check
    else:
        answer, tell = _plan(settings, measured, assume or [], budget, model, topology, workers), print_plan
    if as_json:
        show(answer)
    else:
        tell(answer)


def _own_rates() -> str:
    """Return the rates that come with the program."""
    return str(configs_folder() / "plan" / "rates.json")


def _plan(
    config: CorpusConfig, rates: Rates, assume: list[str], budget: str, model: str, topology: str, workers: int
) -> dict[str, Any]:
    from glam.mixture import amount_of
    from pipelines.planning.assumptions import CorpusAssumptions
    from pipelines.planning.corpus import plan_corpus
    from pipelines.store.configuration import validate
    from pipelines.store.repetition import plan_repetition
    from trainer.config import ModelSettings
    from trainer.long_training import TrainingAssumptions, plan_training
    from trainer.pod.topology import parse_topology

    tokens = amount_of(budget)
    for_corpus, for_training = _assumed(assume)
    corpus = plan_corpus(config, rates, validate(CorpusAssumptions, for_corpus, "--assume"))
    available = {name: part.expected_tokens for name, part in config.mixture.items()}
    uses = plan_repetition(config.weights(), available, tokens, config.mixture_limits)
    training = plan_training(
        validate(ModelSettings, {"size": model}, "--model"),
        config.tokenizer.vocabulary_size,
        config.pack.sequence_length,
        tokens,
        parse_topology(topology),
        validate(TrainingAssumptions, for_training, "--assume"),
    )
    return {
        "corpus": corpus.to_json() | {"workers": workers, "hours": corpus.hours(workers)},
        "mixture": {use.component: use.to_json() | {"shortfall": _shortfall(use)} for use in uses},
        "training": training.to_json() | {"model": model},
        "assumptions": _told(corpus.assumptions) | _told(training.assumptions),
    }


def _told(assumptions: Settings) -> dict[str, dict[str, Any]]:
    """Return every assumption's value and meaning."""
    return {
        name: {"value": getattr(assumptions, name), "meaning": field.description}
        for name, field in type(assumptions).model_fields.items()
    }


def _assumed(assume: list[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what is assumed otherwise, of the corpus and of the training.

    Raises:
        GlamError: when there is no such assumption.
    """
    from pipelines.planning.assumptions import CorpusAssumptions
    from pipelines.store.configuration import apply_override
    from trainer.long_training import TrainingAssumptions

    values: dict[str, Any] = {}
    for change in assume:
        if "=" not in change:
            raise GlamError(f"--assume {change}: write NAME=VALUE, e.g. --assume mfu=0.35")
        apply_override(values, change, "--assume")
    known = set(CorpusAssumptions.model_fields), set(TrainingAssumptions.model_fields)
    if unknown := sorted(set(values) - known[0] - known[1]):
        raise GlamError(
            f"--assume {unknown[0]}: no such assumption; there are {', '.join(sorted(known[0] | known[1]))}"
        )
    of_corpus, of_training = ({name: values[name] for name in values if name in part} for part in known)
    return of_corpus, of_training


def _shortfall(use: ComponentUse) -> int:
    """Return the tokens that are missing for one epoch."""
    return max(0, round(use.asked) - (use.available or 0))


def _check(rates: Rates, reference: str, store: str) -> dict[str, Any]:
    from pipelines.planning.check import check_rates
    from pipelines.store.versions import find_version

    version = find_version(store, reference)
    found = check_rates(version, store, rates)
    total = [sum(entry[part] for entry in found.values()) for part in (0, 1)]
    return {
        "version": version.id,
        "stages": {name: entry._asdict() | {"error": entry.error} for name, entry in found.items()},
        "predicted": total[0],
        "measured": total[1],
        "error": total[0] / total[1] - 1,
    }
