"""A study that takes seconds: three sources from Python's own manual, two tiny dense models, three seeds,
each fine-tuned on two made tasks. Trainings and fine-tunings are of equal shapes, steps and rates, so that a process
compiles an arm once."""

from __future__ import annotations

import json
from pathlib import Path
from pydoc_data.topics import topics

CORPUS = """
name = "manual"
data = "{data}"
[sources.statements]
component = "web"
reader = "jsonl"
files = ["{{data}}/statements.jsonl"]
[sources.expressions]
component = "books"
reader = "jsonl"
files = ["{{data}}/expressions.jsonl"]
[sources.types]
component = "books"
reader = "jsonl"
files = ["{{data}}/types.jsonl"]
[extract]
shards = 1
[holdout]
share = 0.3
sources = ["types"]
[tokenizer]
vocabulary_size = 400
[pack]
sequence_length = 32
shards = 1
[mixture]
web.weight = 0.6
books.weight = 0.4
[versions]
all = {{}}
"""
TRAINING = """
version = "all"
[model]
layers = 2
model_dim = 16
hidden_dim = 16
heads = 2
head_dim = 8
experts = 0
attend_across_documents = false
[training]
steps = 12
batch_rows = 4
checkpoint_every = 4
log_every = 1
"""
STUDY = """
name = "small"
title = "Do wider layers help?"
question = "A model and one of four times the width inside its layers, on the same text."
corpus = "corpus.toml"
training = "training.toml"
seeds = [0, 1, 2]
curated = ["books"]
workers = 2
[fine_tuning]
catalogue = "tasks"
data = "{tasks}"
tasks = ["letters", "words"]
train_share = 0.6
steps = 12
batch_rows = 4
learning_rate = 0.1
[arms.narrow]
version = "all"
[arms.wide]
version = "all"
model = { hidden_dim = 64 }
[[comparisons]]
a = "wide"
b = "narrow"
claim = "Wider layers help"
"""


SETS = """
[sets.letters]
files = ["{folder}/letters.jsonl"]
fields = ["text"]
[sets.words]
files = ["{folder}/words.jsonl"]
fields = ["text"]
"""
TASK = """
set = "{name}"
title = "Made {name}"
[fields]
text = "text"
label = "label"
[ranking]
context = "Is {{{{ text }}}} a name?"
options = "['no', 'yes']"
gold = "label"
"""


def write_study(folder: Path) -> Path:
    """Write texts, tasks, configurations and study file; return the latter's path."""
    _write_texts(folder / "texts")
    _write_tasks(folder / "tasks")
    (folder / "corpus.toml").write_text(CORPUS.format(data=folder / "texts"))
    (folder / "training.toml").write_text(TRAINING)
    (folder / "study.toml").write_text(STUDY.replace("{tasks}", str(folder / "tasks")))
    return folder / "study.toml"


def changed(path: Path, old: str, new: str) -> str:
    """Put `new` in the place of `old` in a study file, and return its path."""
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    return str(path)


def _write_tasks(folder: Path) -> None:
    """Write two tasks of 60 examples; nine answers in ten are the same: `no` of letters, `yes` of words."""
    (folder / "tasks").mkdir(parents=True)
    (folder / "suites.toml").write_text("[suites]\n")
    (folder / "sets.toml").write_text(SETS)
    for name, usual in (("letters", 0), ("words", 1)):
        (folder / "tasks" / f"{name}.toml").write_text(TASK.format(name=name))
        texts = [f"{topic} {number}" for number, topic in enumerate(sorted(topics)[:60])]
        lines = [{"text": text, "label": usual if number % 10 else 1 - usual} for number, text in enumerate(texts)]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def _write_texts(folder: Path) -> None:
    folder.mkdir()
    names = ("statements", "expressions", "types")
    for number, name in enumerate(names):
        chosen = sorted(topics.items())[number::3][:25]
        lines = [json.dumps({"id": topic, "text": text[:3000]}) for topic, text in chosen]
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
