"""`glam quality`: train, judge, use and explain quality classifiers, on a corpus or on one's own files."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from glam.options import DEFAULT_STORE, JsonOption, SetOption, StoreOption, show
from pipelines.store.errors import GlamError

if TYPE_CHECKING:
    from pipelines.quality_evaluation import Training
    from pipelines.quality_texts import LabeledText
    from quality_filter.classifier import LinearClassifier

app = typer.Typer(name="quality", help="Train, judge, use and explain quality classifiers.", no_args_is_help=True)

Config = Annotated[str | None, typer.Argument(metavar="[CONFIG]", help="Corpus configuration (TOML) with [quality].")]
Positives = Annotated[
    list[str] | None, typer.Option("--positives", help="File or glob of good texts (.jsonl, .parquet, .txt).")
]
Negatives = Annotated[list[str] | None, typer.Option("--negatives", help="File or glob of other texts.")]
TextField = Annotated[str, typer.Option("--text-field", help="Field of the text in JSON lines and Parquet.")]
Seed = Annotated[int, typer.Option("--seed", help="Of every random choice; with CONFIG its own seed counts.")]
Model = Annotated[str, typer.Option("--model", help="Model file.")]


@app.command(context_settings={"allow_extra_args": True})
def train(
    context: typer.Context,
    config: Config = None,
    positives: Positives = None,
    negatives: Negatives = None,
    out: Annotated[str, typer.Option("--out", help="The model file to write.")] = "quality.model",
    text_field: TextField = "text",
    seed: Seed = 17,
    store: StoreOption = DEFAULT_STORE,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train one classifier on all texts of two classes and write it to a file.

    The texts are your own files, or the training documents that a configuration names; the file may then stand as
    `model` in [quality] of any configuration. With files, --set sets keys of [quality.classifier], e.g. epochs=5.

    Example: glam quality train --positives good.jsonl --negatives crawl.jsonl.gz --out quality.model
    """
    from pipelines.store.files import write_bytes

    texts, training, _ = _labeled(config, positives, negatives, text_field, seed, store, overrides, context.args)
    print(f"training on {len(texts):,} texts", file=sys.stderr)
    model = _told(training.train, [text for text in texts if text.seen])
    digest = write_bytes(out, model.to_bytes())
    figures = {name: model.training[name] for name in ("positives", "negatives", "lengths", "words")}
    if as_json:
        show({"model": out, "sha256": digest.sha256, "size": digest.size, **figures})
    else:
        print(out)


@app.command(context_settings={"allow_extra_args": True})
def evaluate(
    context: typer.Context,
    config: Config = None,
    positives: Positives = None,
    negatives: Negatives = None,
    model: Annotated[
        str | None, typer.Option("--model", help="Judge this model, which must not have learned from the texts.")
    ] = None,
    out: Annotated[str, typer.Option("--out", help="The HTML page to write.")] = "quality.html",
    groups: Annotated[int, typer.Option("--groups", min=0, help="Sources, and hosts, to leave out of training.")] = 3,
    text_field: TextField = "text",
    seed: Seed = 17,
    store: StoreOption = DEFAULT_STORE,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Judge a classifier on texts that it did not learn from: overall, by source, host, language and length.

    Each text is scored by a model of another fold. For some sources and hosts a model is trained without any of their
    texts: when the order then falls apart, the classifier had learned the source and not the quality.

    Example: glam quality evaluate configs/corpus.toml --set data=DIR --store store --out quality.html
    """
    from glam.quality_page import write_page
    from glam.tables import quality_table
    from pipelines.folds import read_classifier
    from pipelines.quality_evaluation import evaluate as judge
    from pipelines.quality_evaluation import train_folds

    def say(message: str) -> None:
        print(message, file=sys.stderr)

    texts, training, models = _labeled(config, positives, negatives, text_field, seed, store, overrides, context.args)
    if model is not None:
        models = [read_classifier(model)]
    answer = _told(judge, texts, models or _told(train_folds, texts, training, say), training, groups, say)
    write_page(answer, config or "Your texts", out)
    quality_table(answer)
    if as_json:
        show({"report": out, **answer})
    else:
        print(out)


@app.command()
def score(
    model: Model,
    file: Annotated[
        str, typer.Argument(metavar="[FILE]", help="JSON lines, plain or compressed; - is standard input.")
    ] = "-",
    out: Annotated[str, typer.Option("--out", help="Where to write the lines; - is standard output.")] = "-",
    text_field: TextField = "text",
    score_field: Annotated[str, typer.Option("--score-field", help="The field to add.")] = "quality",
) -> None:
    """Add to every line of JSON lines the probability of its text, 0 to 1; all else stays as it was written.

    Example: zcat crawl.jsonl.gz | glam quality score --model quality.model > scored.jsonl
    """
    from contextlib import ExitStack

    from pipelines.folds import read_classifier
    from pipelines.quality_texts import read_lines, score_lines
    from pipelines.store.files import AtomicFile

    classifier = read_classifier(model)
    with ExitStack() as stack:
        source = sys.stdin.buffer if file == "-" else read_lines(file)
        target = sys.stdout.buffer if out == "-" else stack.enter_context(AtomicFile(out))
        for lines in score_lines(source, classifier, text_field, score_field, file):
            target.write(lines)
        target.flush()


@app.command()
def explain(
    what: Annotated[str, typer.Argument(metavar="WHAT", help="A text file; with --version a URL or document id.")],
    version: Annotated[
        str | None, typer.Option("--version", help="Id, prefix or name of the version whose document it is.")
    ] = None,
    model: Annotated[str | None, typer.Option("--model", help="Model file, for a text file.")] = None,
    features: Annotated[int, typer.Option("--features", min=1, help="How many words and pairs to show.")] = 20,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Tell why a text has its score: what each word and pair of words adds; of a version's document also its draw.

    Example: glam quality explain http://example.com/page.html --version filtered --store store
    """
    from glam.tables import explanation_table

    if (version is None) == (model is None):
        raise GlamError("give --version for a document of a corpus, or --model for a text file")
    answers = _explain_documents(what, version, store, features) if version else [_explain_file(what, model, features)]
    if as_json:
        show({"documents": answers})
    else:
        for answer in answers:
            explanation_table(answer)


def _explain_documents(what: str, version: str, store: str, features: int) -> list[dict[str, Any]]:
    from glam.duplicates import not_found
    from pipelines.lookup import VersionDocuments
    from pipelines.quality_explanation import explain_document
    from pipelines.store.versions import find_version

    documents = VersionDocuments(store, find_version(store, version))
    places = documents.find(what)
    if not places:
        raise GlamError(not_found(documents, what))
    return [explain_document(store, documents, place, features) for place in places]


def _explain_file(path: str, model: str | None, features: int) -> dict[str, Any]:
    from pipelines.folds import read_classifier
    from pipelines.quality_explanation import explain_text

    try:
        text = sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise GlamError(f"{path}: cannot be read as text in UTF-8 ({error})") from error
    return {"file": path, **explain_text(read_classifier(str(model)), text, features)}


def _told(work: Any, *arguments: Any) -> Any:
    """Do work whose refusals are meant for the user."""
    try:
        return work(*arguments)
    except (ValueError, RuntimeError) as error:
        raise GlamError(f"quality: {error}") from error


def _labeled(
    config: str | None,
    positives: Sequence[str] | None,
    negatives: Sequence[str] | None,
    text_field: str,
    seed: int,
    store: str,
    overrides: Sequence[str] | None,
    beam_options: Sequence[str],
) -> tuple[list[LabeledText], Training, list[LinearClassifier]]:
    """Return labeled texts, how to train on them, and the models of a corpus's folds; from files or a configuration."""
    from pipelines.quality_evaluation import Training
    from pipelines.quality_texts import read_files, refuse_both_classes
    from pipelines.store.configuration import apply_override, validate
    from quality_filter.settings import QualitySettings

    if config is not None:
        if positives or negatives:
            raise GlamError(
                f"{config} is taken for a configuration: give one, or --positives and --negatives, not both "
                "(quote a glob: 'crawl-*.jsonl')"
            )
        return _of_corpus(config, overrides or [], store, beam_options)
    if not positives or not negatives:
        raise GlamError("give --positives and --negatives, or a corpus configuration with [quality]")
    values: dict[str, Any] = {}
    for override in overrides or []:
        apply_override(values, override, "--set")
    good, other = read_files(positives, True, text_field), read_files(negatives, False, text_field)
    for option, files, found in (("--positives", positives, good), ("--negatives", negatives, other)):
        if not found:
            raise GlamError(f"{option} {' '.join(files)}: no text in it; give files that have some")
    refuse_both_classes(good, other)
    return good + other, Training(validate(QualitySettings, values, "--set"), seed), []


def _of_corpus(
    path: str, overrides: Sequence[str], store: str, beam_options: Sequence[str]
) -> tuple[list[LabeledText], Training, list[LinearClassifier]]:
    """Build what is not there up to the classifier, and return its texts and models."""
    from pipelines.build import build
    from pipelines.config import load_corpus_config
    from pipelines.folds import read_classifier
    from pipelines.progress import TerminalDisplay
    from pipelines.quality_evaluation import Training
    from pipelines.quality_texts import read_samples

    config = load_corpus_config(path, overrides)
    if config.quality is None:
        raise GlamError(f"{path}: has no [quality]; name positives and negatives there")
    made = build(config, store, beam_options, TerminalDisplay(), until="classifier")
    stage = next(stage for stage in made.stages if stage.stage == "classifier")
    models = [read_classifier(url) for url in stage.urls("models/")]
    return read_samples(stage), Training(config.quality.classifier, config.seed), models
