"""Text to packed training sequences with our encoder, and bare SentencePiece on the same text, in one run.

    python benchmarks/tokenize_pack.py

Bare SentencePiece: `encode` to numpy arrays, nothing kept. Ours: encode, convert, pack into sequences of 1,024 tokens,
serialize tokens. Prints CPU seconds, MB a second and the ratio.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import sentencepiece
from real_text import pages

from tokenizer.encode import Encoder
from tokenizer.packing import pack
from tokenizer.settings import TokenizerSettings
from tokenizer.train import train_tokenizer

ROUNDS = 3
BATCH = 256
SEQUENCE_LENGTH = 1024
TRAINING_PAGES = 800


def least_cpu_seconds(function: Callable[[], int]) -> tuple[float, int]:
    """Return the least CPU seconds of a few rounds, and the number of tokens."""
    seconds = []
    for _ in range(ROUNDS):
        start = time.process_time()
        tokens = function()
        seconds.append(time.process_time() - start)
    return min(seconds), tokens


def main() -> None:
    """Run both and print the comparison."""
    documents = pages()
    sample = documents[:: max(1, len(documents) // TRAINING_PAGES)]
    model = train_tokenizer(sample, TokenizerSettings(vocabulary_size=4096))
    documents = documents[:4000]
    batches = [documents[start : start + BATCH] for start in range(0, len(documents), BATCH)]
    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    encoder = Encoder(model)

    def bare() -> int:
        return sum(len(ids) for batch in batches for ids in processor.encode(batch, return_type="numpy"))

    def packed() -> int:
        numbered = ((bytes(16), ids) for batch in batches for ids in encoder.encode_batch(batch))
        sequences = pack(numbered, SEQUENCE_LENGTH, encoder.document_start_id, encoder.padding_id)
        return sum(len(sequence.tokens.tobytes()) for sequence in sequences) // encoder.dtype.itemsize

    size = sum(len(text.encode()) for text in documents) / 1e6
    theirs, tokens = least_cpu_seconds(bare)
    ours, _ = least_cpu_seconds(packed)
    print(f"{len(documents):,} documents, {size:.1f} MB, {tokens:,} tokens, {size * 1e6 / tokens:.2f} bytes a token")
    print(f"bare SentencePiece  {theirs:.3f} CPU s  {size / theirs:.1f} MB/s")
    print(f"encode and pack     {ours:.3f} CPU s  {size / ours:.1f} MB/s")
    print(f"speed relative to bare SentencePiece {theirs / ours:.2f}")


if __name__ == "__main__":
    main()
