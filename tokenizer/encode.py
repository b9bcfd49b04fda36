"""Text to token ids and back, byte for byte: a batch of strings in, one array of ids per string out.

SentencePiece writes a blank as U+2581 inside, so that character alone would come back as a blank; `Encoder` puts its
three byte tokens in its place.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import sentencepiece

from tokenizer.train import SPACE_SYMBOL

# Each of these comes back changed, or is counted wrongly, under a normalization or prefix that loses bytes.
_PROBES = ("a", " a  b ", "\n\n a\n", "\t", "e\u0301\ufb01\uff21\u00a0", "\U0001f600\u65e5\u672c", "\ufeff\u200b\u00ad")


class Encoder:
    """A lossless SentencePiece model.

    Attributes:
        vocabulary_size: number of ids.
        dtype: uint16 where every id fits in it, else uint32.
        document_start_id: id that begins a document's token stream (`</s>`).
        padding_id: id of the padding.
    """

    def __init__(self, model: bytes, name: str = "tokenizer.model") -> None:
        """Load the bytes of a model; `name` is what errors call it.

        Raises:
            ValueError: when the model cannot be read, or would not give text back byte for byte.
        """
        try:
            self._processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        except RuntimeError as error:
            raise ValueError(f"{name}: not a SentencePiece model ({error}); rebuild it or give another file") from error
        self.vocabulary_size: int = self._processor.get_piece_size()
        self.dtype = np.dtype(np.uint16 if self.vocabulary_size <= 1 << 16 else np.uint32)
        self.document_start_id: int = self._processor.eos_id()
        self.padding_id: int = self._processor.pad_id()
        self._check_special_ids(name)
        self._space_symbol = self._byte_ids(SPACE_SYMBOL.encode(), name)
        self._piece_bytes = self._count_piece_bytes()
        self._check_lossless(name)

    def encode_batch(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Return the token ids of every text, without the document start."""
        ids = self._processor.encode(list(texts), return_type="numpy")
        arrays = [array.astype(self.dtype) for array in ids]
        for position, text in enumerate(texts):
            if SPACE_SYMBOL in text:
                arrays[position] = self._encode_with_space_symbols(text)
        return arrays

    def decode(self, ids: Sequence[int] | np.ndarray) -> str:
        """Return the text of the ids; bytes that are not UTF-8, as when a character is cut, become U+FFFD."""
        return self._processor.decode([int(token) for token in ids])

    def piece_bytes(self) -> np.ndarray:
        """Return how many UTF-8 bytes of text each id stands for: (vocabulary_size,) int32, 0 for special ids."""
        return self._piece_bytes.copy()

    def pieces(self, ids: Sequence[int] | np.ndarray) -> list[str]:
        """Return the pieces of the ids as SentencePiece writes them, to look at."""
        return [self._processor.id_to_piece(int(token)) for token in ids]

    def _encode_with_space_symbols(self, text: str) -> np.ndarray:
        parts = self._processor.encode(text.split(SPACE_SYMBOL), return_type="numpy")
        joined = [parts[0]]
        for part in parts[1:]:
            joined += [self._space_symbol, part]
        return np.concatenate(joined).astype(self.dtype)

    def _byte_ids(self, data: bytes, name: str) -> np.ndarray:
        ids = [self._processor.piece_to_id(f"<0x{byte:02X}>") for byte in data]
        if not all(self._processor.is_byte(token) for token in ids):
            raise ValueError(
                f"{name}: has no byte tokens, so rare characters would be lost; train it with byte_fallback"
            )
        return np.array(ids, np.int32)

    def _count_piece_bytes(self) -> np.ndarray:
        counts = np.zeros(self.vocabulary_size, np.int32)
        for token in range(self.vocabulary_size):
            if self._processor.is_byte(token):
                counts[token] = 1
            elif not (self._processor.is_control(token) or self._processor.is_unknown(token)):
                counts[token] = len(self._processor.id_to_piece(token).replace(SPACE_SYMBOL, " ").encode())
        return counts

    def _check_special_ids(self, name: str) -> None:
        for purpose, token in (("document start (eos)", self.document_start_id), ("padding (pad)", self.padding_id)):
            if token < 0:
                raise ValueError(f"{name}: has no {purpose} id; train it with --eos_id and --pad_id of 0 or more")

    def _check_lossless(self, name: str) -> None:
        for probe in _PROBES:
            (ids,) = self.encode_batch([probe])
            if self.decode(ids) != probe or int(self._piece_bytes[ids].sum()) != len(probe.encode()):
                raise ValueError(
                    f"{name}: turns {probe!r} into {self.decode(ids)!r}, so bits per byte would be wrong; train with "
                    "--normalization_rule_name=identity --add_dummy_prefix=false --remove_extra_whitespaces=false"
                )
