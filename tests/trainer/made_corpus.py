"""A made corpus, the same on every machine: sentences of a made language in which each word has few that may follow.

It goes through a real `glam build`; nothing of it is taken from a package, so that what is trained on it can be
recorded.
"""

from __future__ import annotations

import json
from pathlib import Path

from pipelines.store.hashing import KeyedHash

WORDS, FOLLOWERS = 240, 5
SYLLABLES = [consonant + vowel for consonant in "bdfgklmnprstvz" for vowel in "aeiou"]

CORPUS = """
name = "made"
seed = 5
data = "{data}"

[sources.tales]
component = "books"
reader = "jsonl"
files = ["{{data}}/tales.jsonl"]

[sources.pages]
component = "web"
reader = "jsonl"
files = ["{{data}}/pages.jsonl"]

[extract]
shards = 1

[holdout]
share = 0.1

[tokenizer]
vocabulary_size = 400
sample_bytes = 60000
threads = 1

[pack]
sequence_length = 32
shards = 2

[mixture]
books.weight = 0.4
web.weight = 0.6

[versions]
made = {{}}
"""

TRAINING = """
version = "made"
[model]
layers = 2
model_dim = 32
hidden_dim = 64
heads = 2
head_dim = 16
capacity_factor = 2.0
group_size = 64
[training]
steps = 60
batch_tokens = 256
checkpoint_every = 10
log_every = 1
"""


def words() -> list[str]:
    """Return the words of the language, each of two or three syllables."""
    draw = KeyedHash(1, "word")
    numbers = [draw(str(number).encode()) for number in range(WORDS)]
    return ["".join(SYLLABLES[number // 70**place % 70] for place in range(2 + number % 2)) for number in numbers]


def document(number: int, lexicon: list[str]) -> str:
    """Return the text of a document: each word is one of the few that follow the one before."""
    draw = KeyedHash(2, "text")
    word, said = number % WORDS, []
    for place in range(40 + number % 60):
        word = (word * 7 + draw(f"{number} {place}".encode()) % FOLLOWERS * 31) % WORDS
        said.append(lexicon[word])
    sentences = [said[start : start + 9] for start in range(0, len(said), 9)]
    return " ".join(" ".join(sentence).capitalize() + "." for sentence in sentences)


def write_made_corpus(folder: Path) -> tuple[Path, Path]:
    """Write the corpus into a new folder; return the configurations of the corpus and of a training on it."""
    folder.mkdir()
    lexicon = words()
    for name, numbers in (("tales", range(80)), ("pages", range(80, 200))):
        lines = (json.dumps({"id": str(number), "text": document(number, lexicon)}) for number in numbers)
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    corpus, training = folder / "made.toml", folder / "training.toml"
    corpus.write_text(CORPUS.format(data=folder))
    training.write_text(TRAINING)
    return corpus, training
