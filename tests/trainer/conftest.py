"""A small dataset version of real text, the topics of Python's manual, written with the project's own writers."""

from __future__ import annotations

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")

from pathlib import Path
from pydoc_data.topics import topics

import pytest

from pipelines.store.hashing import content_hash, document_id, keyed_hash
from pipelines.store.sequences import SequenceRecord, encode_sequence
from pipelines.store.stages import StoredFile, merkle_root
from pipelines.store.tfrecord import ShardWriter
from pipelines.store.versions import Version, publish_version, version_id
from tokenizer.encode import Encoder
from tokenizer.packing import cut_document, pack
from tokenizer.settings import TokenizerSettings
from tokenizer.train import train_tokenizer
from trainer.config import TrainingConfig

SEQUENCE_LENGTH = 32
VOCABULARY = 400
WEIGHTS = {"books": 0.2, "web": 0.8}


def documents() -> list[tuple[bytes, str]]:
    """Return (id, text) of every topic, cut to its first 1,500 characters, in the order of training."""
    texts = [text.strip()[:1500] for _, text in sorted(topics.items())]
    found = [(document_id("manual", "", content_hash(text)), text) for text in texts]
    return sorted(found, key=lambda item: keyed_hash(17, "order", item[0]))


def write_version(store: Path, name: str, every_web_document: bool = False) -> Version:
    found = documents()
    model = train_tokenizer((text for _, text in found), TokenizerSettings(vocabulary_size=VOCABULARY, threads=1))
    writer = _Writer(store / "draft", Encoder(model))
    books, web, held = found[:20], found[20 : None if every_web_document else 50], found[70:]
    web = [item for item in web if item not in held]
    body = {
        "name": name,
        "sequence_length": SEQUENCE_LENGTH,
        "vocabulary_size": VOCABULARY,
        "token_dtype": "uint16",
        "document_start_id": 2,
        "padding_id": 0,
        "components": {"books": writer.train("books", books), "web": writer.train("web", web)},
        "heldout": {"manual": writer.held_out("manual", held[:5]), "reference": writer.held_out("reference", held[5:])},
        "tokenizer": "tokenizer/tokenizer.model",
        "ledger": {},
        "stages": [],
        "recipe": {"name": name},
        "side": {
            "config": "made",
            "created": "2026-01-01T00:00:00+00:00",
            "names": {name: "2026-01-01T00:00:00+00:00"},
        },
    }
    path = writer.folder / body["tokenizer"]
    path.parent.mkdir()
    path.write_bytes(model)
    body["id"] = version_id(body["recipe"], merkle_root([file.to_json() for file in writer.files]))
    folder = store / "versions" / body["id"]
    folder.parent.mkdir()
    writer.folder.rename(folder)
    return publish_version(str(folder), writer.files, body)


class _Writer:
    def __init__(self, folder: Path, encoder: Encoder) -> None:
        self.folder, self.encoder = folder, encoder
        self.files: list[StoredFile] = []

    def train(self, component: str, found: list[tuple[bytes, str]]) -> dict:
        """Write a component in two shards."""
        shards, records, tokens = [], 0, 0
        for shard in range(2):
            part = self._encoded(found[shard::2])
            path = f"train/{component}/part-{shard:05d}-of-00002.tfrecord"
            records += self._write(path, list(pack(part, SEQUENCE_LENGTH, 2, 0)))
            tokens += sum(len(ids) + 1 for _, ids in part)
            shards.append(path)
        facts = {"weight": WEIGHTS[component], "variant": "all", "documents": len(found), "tokens_cut": 0}
        return {**facts, "records": records, "tokens": tokens, "shards": shards}

    def held_out(self, source: str, found: list[tuple[bytes, str]]) -> dict:
        """Write a held-out source in one shard."""
        part = self._encoded(found)
        path = f"heldout/{source}/part-00000-of-00001.tfrecord"
        sequences = [s for item in part for s in cut_document(*item, SEQUENCE_LENGTH, 2, 0)]
        return {
            "component": "web",
            "out_of_domain": source == "reference",
            "records": self._write(path, sequences),
            "tokens": sum(len(ids) for _, ids in part),
            "documents": len(found),
            "bytes": sum(len(text.encode()) for _, text in found),
            "shards": [path],
        }

    def _encoded(self, found: list[tuple[bytes, str]]) -> list:
        ids = self.encoder.encode_batch([text for _, text in found])
        return [(identifier, tokens) for (identifier, _), tokens in zip(found, ids, strict=True)]

    def _write(self, path: str, sequences: list) -> int:
        with ShardWriter(str(self.folder / path)) as shard:
            for sequence in sequences:
                shard.write(encode_sequence(SequenceRecord(*sequence)))
        self.files.append(StoredFile.of(path, shard.digest, rows=len(sequences)))
        return len(sequences)


@pytest.fixture(scope="session")
def version(tmp_path_factory):
    return write_version(tmp_path_factory.mktemp("store"), "filtered")


@pytest.fixture(scope="session")
def other_version(tmp_path_factory):
    """The same but for the text of `web`."""
    return write_version(tmp_path_factory.mktemp("other-store"), "all", every_web_document=True)


@pytest.fixture
def config():
    return TrainingConfig.model_validate(
        {
            "version": "filtered",
            "model": {"model_dim": 32, "hidden_dim": 64, "heads": 2, "head_dim": 16, "layers": 2, "group_size": 32},
            "training": {"steps": 12, "batch_rows": 4, "checkpoint_every": 5, "log_every": 3},
        }
    )


@pytest.fixture
def run_dir(tmp_path: Path) -> str:
    return str(tmp_path / "run")
