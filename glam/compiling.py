"""`glam compile`: what a training needs of a TPU slice, found by compiling its step without one."""

from __future__ import annotations

from typing import Annotated

import typer

from glam.options import JsonOption, SetOption, show
from pipelines.store.configuration import ConfigError
from pipelines.store.errors import GlamError

TOKENS = 1 << 20
VOCABULARY = 256_000


def compile_step(
    config: Annotated[
        str | None, typer.Argument(help="Training configuration (TOML) with its own mesh; else give --model.")
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", help="A size of `glam models`, trained as docs/tpu.md says.")
    ] = None,
    topology: Annotated[
        str, typer.Option("--topology", help="The slice: GENERATION:SHAPE, e.g. v4:8x8x16.")
    ] = "v4:8x8x16",
    mesh: Annotated[
        str | None, typer.Option("--mesh", help="DATAxMODEL, in place of the default for the size.")
    ] = None,
    tokens: Annotated[
        int | None, typer.Option("--tokens", min=1, help="Tokens a step, of a --model. [default: 1048576]")
    ] = None,
    vocabulary: Annotated[
        int | None, typer.Option("--vocabulary", min=1, help="Token ids, of a configuration. [default: 256000]")
    ] = None,
    limit: Annotated[
        float | None, typer.Option("--limit", help="GiB: exit with 1 where a chip needs more than that.")
    ] = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compile the step of a training for a TPU slice, on any machine: memory, traffic and FLOPs of a chip.

    It is the program that `glam train` runs. The largest model takes minutes and 5 GB of memory.

    Example: glam compile --model 64B/64E --topology v4:8x8x16
    """
    from glam.tables import compiled_table
    from pipelines.progress import TerminalDisplay, Watch
    from trainer.config import load_training_config
    from trainer.family import FAMILY
    from trainer.pod import compiler
    from trainer.pod.layout import SEQUENCE_LENGTH, parse_mesh, pod_config
    from trainer.pod.topology import parse_topology

    if (config is None) == (model is None):
        raise ConfigError("give a training configuration or --model SIZE, and not both")
    if model is not None and vocabulary is not None:
        raise ConfigError("--vocabulary is for a configuration; a --model has that of its paper")
    if config is not None and tokens is not None:
        raise ConfigError("--tokens is for a --model; set training.batch_tokens of the configuration by --set")
    where, shape = parse_topology(topology), parse_mesh(mesh)
    if model is not None:
        training = pod_config(model, where, overrides or [], shape, tokens or TOKENS)
        vocabulary = FAMILY[model].vocabulary
    else:
        training = load_training_config(str(config), overrides or [])
        if shape is not None:
            training = training.changed({"mesh": {"data": shape[0], "model": shape[1]}}, "--mesh")
    with Watch(TerminalDisplay(), f"compile {model or config} for {where.name}", None, ""):
        compiled = compiler.compile_step(training, vocabulary or VOCABULARY, SEQUENCE_LENGTH, where)
    answer = {"name": model or config, **compiled}
    if as_json:
        show(answer)
    else:
        compiled_table(answer)
    needed = answer["memory"]["total"] / 2**30
    if limit is not None and needed > limit:
        raise GlamError(
            f"a chip needs {needed:.2f} GiB, more than --limit {limit:g}; take more chips, more "
            "training.micro_batches, or another --mesh"
        )
