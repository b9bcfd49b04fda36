"""`glam mixture`: how often a training reads each component, and weights from small models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_FLOOR, Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Annotated, Any

import typer

from glam.options import DEFAULT_STORE, JsonOption, SetOption, StoreOption, show
from pipelines.store.errors import GlamError

if TYPE_CHECKING:
    from pipelines.config import CorpusConfig
    from pipelines.store.repetition import ComponentUse, RepetitionLimits
    from pipelines.store.versions import Version

app = typer.Typer(name="mixture", help="Plan a mixture: epochs by component, weights.", no_args_is_help=True)

Reference = Annotated[
    str, typer.Argument(help="Corpus configuration (TOML), or id, prefix or name of a dataset version.")
]
Budget = Annotated[str, typer.Option("--budget", help="Tokens of the training, e.g. 600B (K, M, B, T).")]
TokensOf = Annotated[
    str | None,
    typer.Option("--version", help="With a configuration: take the tokens there are from this dataset version."),
]
MaxEpochs = Annotated[
    float | None, typer.Option("--max-epochs", min=0, help="In place of the mixture_limits.max_epochs there are.")
]


@app.command(name="show")
def show_mixture(
    reference: Reference,
    budget: Budget,
    version: TokensOf = None,
    store: StoreOption = DEFAULT_STORE,
    max_epochs: MaxEpochs = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print how often a training of so many tokens reads each component, and whether that is too often.

    Without data, tokens are the expected_tokens of the configuration. Beyond warn_epochs of [mixture_limits] a
    component is warned of; beyond max_epochs the command refuses, with exit code 1.

    Example: glam mixture show configs/glam_1p6t.toml --budget 600B
    """
    from glam.tables import mixture_table, say
    from pipelines.store.repetition import explain, plan_repetition

    mixture = _load(reference, version, store, max_epochs, overrides)
    tokens = amount_of(budget)
    uses = plan_repetition(mixture.weights, mixture.available, tokens, mixture.limits)
    if as_json:
        components = {use.component: use.to_json() for use in uses}
        show({"mixture": reference, "budget": tokens, "limits": mixture.limits.model_dump(), "components": components})
    else:
        mixture_table(uses, tokens)
    for use in uses:
        if use.verdict == "warning":
            say(f"warning: {explain(use, mixture.limits)}; from there on a repetition is worth less than new text")
        if use.verdict == "unknown":
            say(
                f"component {use.component}: tokens unknown; write mixture.{use.component}.expected_tokens, or give a "
                "built version with --version"
            )
    if refused := [use for use in uses if use.verdict == "refused"]:
        clauses = [f"{explain(use, mixture.limits)}; {_remedy(use, mixture.limits)}" for use in refused]
        raise GlamError("; ".join([*clauses, *_remedy_of_all(refused, mixture.limits)]))


def _remedy(use: ComponentUse, limits: RepetitionLimits) -> str:
    from pipelines.store.repetition import format_amount, largest_budget, largest_weight

    weight = _decimal(largest_weight(use, limits.max_epochs)).quantize(Decimal("0.0001"), ROUND_FLOOR).normalize()
    budget = format_amount(largest_budget(use, limits.max_epochs))
    return f"lower its weight to {weight:f} or the budget to {budget}" if weight else f"lower the budget to {budget}"


def _remedy_of_all(refused: Sequence[ComponentUse], limits: RepetitionLimits) -> list[str]:
    """Return the budget that several components allow: lower weights of each alone need not leave a sum of 1."""
    from pipelines.store.repetition import format_amount, largest_budget

    if len(refused) < 2:
        return []
    budget = min(largest_budget(use, limits.max_epochs) for use in refused)
    return [f"with these weights the largest budget that fits all {len(refused)} is {format_amount(budget)}"]


@app.command()
def weights(
    reference: Reference,
    budget: Budget,
    scores: Annotated[
        str | None, typer.Option("--scores", help="JSON {component: bits per byte}, or CSV with component, score.")
    ] = None,
    run: Annotated[
        list[str] | None, typer.Option("--run", help="Folder of a run trained on one component; give one for each.")
    ] = None,
    target: Annotated[
        list[str] | None,
        typer.Option("--target", help="Held-out source that runs are scored on; all of them if none is given."),
    ] = None,
    halving: Annotated[
        float, typer.Option("--halving", min=1e-6, max=1000, help="Difference in bits per byte that halves a weight.")
    ] = 0.25,
    version: TokensOf = None,
    store: StoreOption = DEFAULT_STORE,
    max_epochs: MaxEpochs = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Derive weights from how well small models do that were trained on one component each.

    Better components get more, by 2^(-score / halving); none gets more than max_epochs of its text at the budget. What
    the cap takes goes to the others. Prints a [mixture] to put into the configuration.

    Example: glam mixture weights configs/glam_1p6t.toml --budget 600B --scores scores.json
    """
    from glam.tables import weights_table
    from pipelines.mixture import derive_weights, mixture_toml, read_scores
    from pipelines.store.repetition import exact, plan_repetition

    if bool(scores) == bool(run):
        raise GlamError("give --scores FILE or --run RUN (one for each component), and not both")
    mixture = _load(reference, version, store, max_epochs, overrides)
    found = read_scores(scores) if scores else _scores_of_runs(run or [], store, target or [])
    _require_same_components(found, mixture.weights)
    tokens = amount_of(budget)
    limit = exact(mixture.limits.max_epochs)
    derived = derive_weights(found, mixture.available, tokens, limit, Decimal(repr(halving)))
    chosen = {entry.component: float(entry.weight) for entry in derived if entry.rows}
    uses = {use.component: use for use in plan_repetition(chosen, mixture.available, tokens, mixture.limits)}
    weights_table(derived, uses, mixture.limits.max_epochs)
    expected = mixture.config.mixture if mixture.config else {}
    if as_json:
        components = {
            entry.component: {
                "score": float(entry.score),
                "uncapped": entry.uncapped / 1000,
                "weight": float(entry.weight),
                "epochs": uses[entry.component].to_json()["epochs"] if entry.rows else 0.0,
            }
            for entry in derived
        }
        show({"mixture": reference, "budget": tokens, "halving": halving, "components": components})
    else:
        print(mixture_toml(derived, {name: part.expected_tokens for name, part in expected.items()}))


@dataclass(frozen=True)
class _Mixture:
    """Weights, tokens available and limits, of a configuration (then with it) or of a version."""

    weights: Mapping[str, float]
    available: Mapping[str, int | None]
    limits: RepetitionLimits
    config: CorpusConfig | None


def _load(
    reference: str, version: str | None, store: str, max_epochs: float | None, overrides: Sequence[str] | None
) -> _Mixture:
    from pipelines.store.versions import find_version

    if not reference.endswith(".toml"):
        if version or overrides:
            raise GlamError(f"{reference}: --version and --set go with a configuration (.toml), not with a version")
        found = find_version(store, reference)
        shares = {name: part.weight for name, part in found.components.items()}
        return _Mixture(shares, _tokens(found), _limits(found.repetition_limits, max_epochs), None)
    from pipelines.config import load_corpus_config

    config = load_corpus_config(reference, overrides or [])
    available = {name: part.expected_tokens for name, part in config.mixture.items()}
    if version:
        built = _tokens(find_version(store, version))
        available = {name: built.get(name) for name in available}
    shares = {name: part.weight for name, part in config.mixture.items()}
    return _Mixture(shares, available, _limits(config.mixture_limits, max_epochs), config)


def _tokens(version: Version) -> dict[str, int | None]:
    return {name: part.tokens for name, part in version.components.items()}


def _limits(limits: RepetitionLimits, max_epochs: float | None) -> RepetitionLimits:
    if max_epochs is None:
        return limits
    from pipelines.store.configuration import validate

    changed = {"max_epochs": max_epochs, "warn_epochs": min(limits.warn_epochs, max_epochs)}
    return validate(type(limits), changed, "--max-epochs")


def amount_of(text: str) -> int:
    """Return the tokens that `--budget` names.

    Raises:
        GlamError: when it names none.
    """
    from pipelines.config import parse_amount

    try:
        tokens = int(parse_amount(text))
    except ValueError as error:
        raise GlamError(f"--budget {text}: {error}") from error
    if tokens < 1:
        raise GlamError(f"--budget {text}: a training has at least one token")
    return tokens


def _decimal(number: Fraction) -> Decimal:
    return Decimal(number.numerator) / number.denominator


def _require_same_components(scores: Mapping[str, Any], components: Mapping[str, Any]) -> None:
    if missing := sorted(set(components) - set(scores)):
        raise GlamError(
            f"no score for {', '.join(missing)}; train a small model on each component alone "
            f"(glam train … --set mixture.{missing[0]}=1) and give its run or its score"
        )
    if unknown := sorted(set(scores) - set(components)):
        raise GlamError(f"{', '.join(unknown)} is no component of the mixture; it has {', '.join(sorted(components))}")


def _scores_of_runs(runs: Sequence[str], store: str, targets: Sequence[str]) -> dict[str, Decimal]:
    """Return, by the one component that each run was trained on, the mean bits per byte of the target sources."""
    from pipelines.store.versions import find_version
    from trainer.evaluation.bits_per_byte import evaluate
    from trainer.run_folder import read_run

    found: dict[str, Decimal] = {}
    for folder in runs:
        record = read_run(folder)
        version = find_version(store, record["version"]["id"])
        components = record["config"].get("mixture") or version.components
        if len(components) != 1 or (component := next(iter(components))) in found:
            raise GlamError(
                f"{folder}: trained on {', '.join(sorted(components))}; give one run for each component, trained on it "
                "alone (glam train … --set mixture.COMPONENT=1)"
            )
        scores = evaluate(folder, version)
        if unknown := sorted(set(targets) - set(scores)):
            raise GlamError(f"--target {unknown[0]}: version {version.name} holds out {', '.join(sorted(scores))}")
        chosen = [Decimal(f"{scores[source].bits_per_byte:.6f}") for source in targets or sorted(scores)]
        found[component] = sum(chosen, Decimal()) / len(chosen)
    return found
