"""`glam generate`: what a model says after a prompt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer
from pydantic import BaseModel

from glam.options import DEFAULT_STORE, JsonOption, StoreOption, show
from pipelines.progress import TerminalDisplay
from pipelines.store.configuration import ConfigError, validate
from pipelines.store.versions import find_version
from trainer.generation.settings import GenerationSettings
from trainer.json_lines import read_json_lines
from trainer.run_folder import read_run

DEFAULTS = GenerationSettings()


class PromptLine(BaseModel):
    """A line of a file of prompts; what else it has is passed over, so that examples with answers will do."""

    prompt: str


def generate(
    run: Annotated[str, typer.Argument(help="Folder of a run; its newest checkpoint is read.")],
    prompt: Annotated[
        list[str] | None, typer.Option("--prompt", help="A prompt; give it as often as you like.")
    ] = None,
    prompts: Annotated[str | None, typer.Option("--prompts", help="JSON lines with the field `prompt`.")] = None,
    max_tokens: Annotated[
        int, typer.Option("--max-tokens", help="Most tokens of a continuation.")
    ] = DEFAULTS.max_tokens,
    method: Annotated[str, typer.Option("--method", help="greedy, sample or beam.")] = DEFAULTS.method,
    top_k: Annotated[
        int, typer.Option("--top-k", help="`sample` draws from so many likeliest tokens; 0: from all.")
    ] = DEFAULTS.top_k,
    temperature: Annotated[
        float, typer.Option("--temperature", help="`sample` divides the logits by it.")
    ] = DEFAULTS.temperature,
    beam_width: Annotated[
        int, typer.Option("--beam-width", help="Continuations that `beam` follows at a time.")
    ] = DEFAULTS.beam_width,
    length_exponent: Annotated[
        float, typer.Option("--length-exponent", help="Of `beam`'s length normalisation; 0: none.")
    ] = DEFAULTS.length_exponent,
    seed: Annotated[int, typer.Option("--seed", help="Of `sample`.")] = DEFAULTS.seed,
    samples: Annotated[int, typer.Option("--samples", min=1, help="Continuations of each prompt, by `sample`.")] = 1,
    stop: Annotated[
        list[str] | None, typer.Option("--stop", help="A text that ends a continuation, e.g. $'\\n'; may be repeated.")
    ] = None,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Go on with prompts: the likeliest tokens, sampled ones, or the best that a beam search finds.

    A continuation ends with the document, at a --stop text, or after --max-tokens. A prompt that does not fit into the
    context beside it loses tokens at its left, and that is said.

    Example: glam generate runs/first --store store --prompt "The theory of" --method sample --top-k 40 --seed 1
    """
    settings = validate(
        GenerationSettings,
        {
            "max_tokens": max_tokens,
            "method": method,
            "top_k": top_k,
            "temperature": temperature,
            "beam_width": beam_width,
            "length_exponent": length_exponent,
            "seed": seed,
            "stop": tuple(stop or ()),
        },
        "glam generate",
    )
    given = [*(prompt or ()), *(line.prompt for line in (read_json_lines(prompts, PromptLine) if prompts else ()))]
    if not given:
        raise ConfigError("glam generate: there is no prompt; give --prompt TEXT or --prompts FILE.jsonl")
    changed = [
        f"--{name.replace('_', '-')}"
        for name in ("top_k", "temperature", "seed")
        if getattr(settings, name) != getattr(DEFAULTS, name)
    ]
    if changed and method != "sample":
        raise ConfigError(f"{', '.join(changed)}: {method} draws nothing; add --method sample")
    if samples > 1 and method != "sample":
        raise ConfigError(f"--samples {samples}: {method} says the same every time; add --method sample")
    answer = run_generation(run, store, given, settings, samples)
    if as_json:
        show(answer)
        return
    for entry in answer["continuations"]:
        print(entry["prompt"] + entry["text"] + "\n")


def run_generation(
    run: str, store: str, prompts: Sequence[str], settings: GenerationSettings, samples: int
) -> dict[str, Any]:
    """Go on with each prompt `samples` times and return what `glam generate --json` prints."""
    version = find_version(store, read_run(run)["version"]["id"])
    from trainer.generation.generate import generate as go_on
    from trainer.generation.generate import load_language_model

    model = load_language_model(run, version)
    display = TerminalDisplay()
    display.say(f"{run}: checkpoint of update {model.step}, {model.context} tokens of context")
    asked = [(text, sample) for text in prompts for sample in range(samples)]
    display.start("generate", len(asked), "continuations")
    made = go_on(
        model,
        model.encode([text for text, _ in asked]),
        settings,
        samples=[sample for _, sample in asked],
        on_prompts=lambda done, _: display.move(done),
    )
    display.finish()
    for number, found in enumerate(made[::samples], 1):
        if found.cut:
            display.say(
                f"prompt {number}: lost {found.cut} tokens at its left; the context has room for "
                f"{model.context - settings.max_tokens} beside the continuation"
            )
    told = ("text", "log_probability", "reason", "cut")
    return {
        "run": run,
        "version": version.id,
        "step": model.step,
        "settings": settings.model_dump(mode="json"),
        "continuations": [
            {
                "prompt": text,
                "sample": sample,
                "tokens": len(found.ids),
                **{name: getattr(found, name) for name in told},
            }
            for (text, sample), found in zip(asked, made, strict=True)
        ],
    }
