"""Sequences that stand bare in the text, with pieces that all languages share."""

import re
from collections.abc import Callable, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from llama_gene.config import Modality, Scheme
from llama_gene.sequences.alphabet import Kind
from llama_gene.tokenizer.gene import GeneTokenizer, kind_code, tokenizer_of
from llama_gene.tokenizer.parts import Span
from llama_gene.vocabulary.layout import parts_of
from llama_gene.vocabulary.normalizer import bare_letters, require_letters
from llama_gene.vocabulary.shared import SharedLayout

_BARE_PIECE = re.compile("[A-Z]+")


class SharedTokenizer(GeneTokenizer):
    """Sequences stand bare in the text, in upper case, and share its table of pieces: the paper's scheme.

    Where a text and a sequence meet, a token ends. So a sequence has the same ids wherever it stands, and can be
    shortened piece by piece. Where no piece of the table reaches across, these are the ids of the text as a whole.

    Args:
        folder: Where it stands.
        spec: The content of ``tokenizer.json``.
        config: The content of ``tokenizer_config.json``.
        layout: What `config` says of the table.

    Raises:
        TokenizerError: If it lacks a special token.
    """

    scheme: ClassVar[Scheme] = "shared"

    def __init__(self, folder: Path, spec: dict[str, Any], config: dict[str, Any], layout: SharedLayout) -> None:
        self._layout = layout
        self._full = tokenizer_of(spec, spec["normalizer"])
        # What follows other parts of a text gets no space before it.
        steps = [step for step in parts_of(spec, "normalizer") if step["type"] != "Prepend"]
        self._unprefixed = {"type": "Sequence", "normalizers": steps}
        self._following = tokenizer_of(spec, self._unprefixed)
        self._base: Callable[[int], Tokenizer] = lru_cache(1)(self._base_anew)
        super().__init__(folder, spec, config, layout.base_size, layout.kinds)

    def opening(self, kind: Kind) -> list[int]:
        """Nothing."""
        self._require_kind(kind)
        return []

    def closing(self, kind: Kind) -> list[int]:
        """Nothing."""
        self._require_kind(kind)
        return []

    def encode(self, text: str) -> list[int]:
        """Encode text with bare sequences in it, as it stands."""
        ids: list[int] = self._full.encode(text, add_special_tokens=False).ids
        return ids

    def encode_bulk(self, kind: Kind, sequences: Sequence[str]) -> list[NDArray[np.int32]]:
        """The ids of each sequence, cut by the whole table."""
        self._require_kind(kind)
        letters = [require_letters(kind, sequence) for sequence in sequences]
        found = self._following.encode_batch_fast(letters, add_special_tokens=False)
        return [np.array(encoding.ids, np.int32) for encoding in found]

    def encode_parts(self, parts: Sequence[str | Span]) -> list[int]:
        """Encode text and sequences in turn, each by itself."""
        ids: list[int] = []
        for place, part in enumerate(parts):
            if isinstance(part, str):
                ids += self._encode_text(part, place > 0)
                continue
            self._require_kind(part.kind)
            letters = bare_letters(part.kind, part.sequence)
            # What is no sequence stands in the text as any other word.
            sequence = part.sequence if letters is None else letters
            ids += self._following.encode(sequence, add_special_tokens=False).ids
        return ids

    def encode_texts(self, parts: Sequence[str | Span]) -> list[list[int]]:
        """The ids of each text."""
        return [list(self._encode_text(part, place > 0)) for place, part in enumerate(parts) if isinstance(part, str)]

    def base_spelling(self, index: int, num_base: int) -> list[int]:
        """How the base cuts the letters of a new piece."""
        letters = self._sequence_pieces.get(index)
        if letters is None:
            return []
        ids: list[int] = self._base(num_base).encode(letters, add_special_tokens=False).ids
        return ids

    def spellings(self) -> dict[int, str]:
        """The letters of every token of upper-case letters alone, whichever language brought it."""
        return dict(self._sequence_pieces)

    def token_kinds(self) -> np.ndarray:
        """Which vocabulary brought each token: int8[num_tokens]; 0 the base, 1 DNA, 2 protein.

        It may stand in texts and sequences of any kind all the same.
        """
        kinds = np.zeros(self.num_tokens, dtype=np.int8)
        for kind, pieces in self._layout.kinds.items():
            kinds[pieces.first : pieces.stop] = kind_code(kind)
        return kinds

    def tokens_of(self, modality: Modality) -> np.ndarray:
        """All tokens of upper-case letters for DNA and protein alike; for text all there are."""
        return np.ones(self.num_tokens, dtype=bool) if modality == "text" else self.letters_of() > 0

    @property
    def _decoder(self) -> Tokenizer:
        return self._full

    @cached_property
    def _sequence_pieces(self) -> dict[int, str]:
        return {index: text for text, index in self._vocab.items() if _BARE_PIECE.fullmatch(text)}

    def _base_anew(self, num_base: int) -> Tokenizer:
        return tokenizer_of(_restricted(self._spec, num_base), self._unprefixed)

    def _encode_text_anew(self, text: str, after_part: bool) -> tuple[int, ...]:
        """The ids of a text of a prompt."""
        tokenizer = self._following if after_part else self._full
        return tuple(tokenizer.encode(text, add_special_tokens=False).ids)


def _restricted(spec: dict[str, Any], num_tokens: int) -> dict[str, Any]:
    """A tokenizer of the first `num_tokens` tokens alone."""
    model = spec["model"]
    vocab = {text: index for text, index in model["vocab"].items() if index < num_tokens}
    merges = [merge for merge in model["merges"] if "".join(merge) in vocab and set(merge) <= vocab.keys()]
    added = [token for token in spec["added_tokens"] if token["id"] < num_tokens]
    return spec | {"model": model | {"vocab": vocab, "merges": merges}, "added_tokens": added, "post_processor": None}
