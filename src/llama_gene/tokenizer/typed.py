"""Sequences in typed spans, each kind with pieces of its own."""

import re
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from llama_gene.config import Modality, Scheme
from llama_gene.errors import TokenizerError
from llama_gene.sequences.alphabet import Kind
from llama_gene.tokenizer.gene import GeneTokenizer, kind_code, tokenizer_of
from llama_gene.tokenizer.parts import Span, render
from llama_gene.vocabulary.bpe import PieceEncoder
from llama_gene.vocabulary.layout import KindLayout, SpanLayout, letter_tokens, parts_of, read_layout, stands_apart
from llama_gene.vocabulary.normalizer import (
    BLOCK_SIZE,
    bare_letters,
    close_tag,
    num_span_rules,
    open_tag,
)


class TypedTokenizer(GeneTokenizer):
    """Sequences stand in typed spans: ``<dna>ACGT</dna>``.

    Args:
        folder: Where it stands.
        spec: The content of ``tokenizer.json``.
        config: The content of ``tokenizer_config.json``.

    Raises:
        TokenizerError: If the tokenizer was not extended, or lacks a special token.
    """

    scheme: ClassVar[Scheme] = "typed"

    def __init__(self, folder: Path, spec: dict[str, Any], config: dict[str, Any]) -> None:
        layout = read_layout(spec)
        if layout is None or not layout.kinds:
            hint = f"extend it first: llama-gene vocabulary extend --base {folder} --dna DIR --protein DIR --output DIR"
            raise TokenizerError("a tokenizer without typed spans", where=folder, hint=hint)
        self._layout: SpanLayout = layout
        first_tag = min(of_kind.open_id for of_kind in layout.kinds.values())
        base_size = config.get("typed_spans", {}).get("base_size", first_tag)
        self._bulk = {
            kind: PieceEncoder(kind, of_kind.merges, of_kind.first_piece) for kind, of_kind in layout.kinds.items()
        }
        super().__init__(folder, spec, config, base_size, layout.kinds)

    def open_id(self, kind: Kind) -> int:
        """The id of the opening tag of `kind`."""
        return self._of(kind).open_id

    def close_id(self, kind: Kind) -> int:
        """The id of the closing tag of `kind`."""
        return self._of(kind).close_id

    def opening(self, kind: Kind) -> list[int]:
        """The opening tag."""
        return [self.open_id(kind)]

    def closing(self, kind: Kind) -> list[int]:
        """The closing tag."""
        return [self.close_id(kind)]

    def encode(self, text: str) -> list[int]:
        """Encode typed text. For many sequences, `encode_spans` and `encode_parts` give the same ids faster."""
        # Without an opening tag or a reserved character none of our rules can match, and they are most of the cost.
        tagged = any(open_tag(kind) in text for kind in self.kinds) or self._reserved.search(text) is not None
        tokenizer = self._full if tagged else self._plain
        ids: list[int] = tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def encode_bulk(self, kind: Kind, sequences: Sequence[str]) -> list[NDArray[np.int32]]:
        """The ids between the tags, by the BPE of the kind alone."""
        self._require_kind(kind)
        return self._bulk[kind].encode_batch(sequences)

    def encode_parts(self, parts: Sequence[str | Span]) -> list[int]:
        """Encode text and spans in turn: always the ids of ``encode(render(parts))``, with the texts cached.

        Args:
            parts: Texts (which may hold tags themselves) and spans.

        Raises:
            TokenizerError: For a span of a kind this tokenizer does not know.
        """
        ids: list[int] = []
        text = ""
        # A last empty text, so that the text before it is flushed like all others.
        for part in (*parts, None):
            if isinstance(part, str):
                text += part
                continue
            if text:
                encoded = self._encode_text(text, bool(ids))
                if not encoded:
                    return self.encode(render(parts))
                ids += encoded
                text = ""
            if part is not None:
                span = self._encode_span(part)
                if span is None:
                    return self.encode(render(parts))
                ids += span
        return ids

    def encode_texts(self, parts: Sequence[str | Span]) -> list[list[int]]:
        """The ids of each text, taken out of the whole, since a base may let what stands around a text decide them."""
        ids = self.encode_parts(parts)
        texts, start = [], 0
        for span in (part for part in parts if isinstance(part, Span)):
            stop = ids.index(self.open_id(span.kind), start)
            texts.append(ids[start:stop])
            start = ids.index(self.close_id(span.kind), stop) + 1
        return [*texts, ids[start:]]

    def base_spelling(self, index: int, num_base: int) -> list[int]:
        """How the base spells a piece outside of spans; tags are in no base's table."""
        return [piece for piece in self.encode(self.decode([index])) if piece < num_base]

    def spellings(self) -> dict[int, str]:
        """The letters of every piece, by its id."""
        return {
            of_kind.first_piece + place: piece
            for of_kind in self._layout.kinds.values()
            for place, piece in enumerate(of_kind.pieces)
        }

    def token_kinds(self) -> np.ndarray:
        """What each token is: int8[num_tokens]; 0 text or tag, 1 a piece of DNA, 2 a piece of protein."""
        kinds = np.zeros(self.num_tokens, dtype=np.int8)
        for kind, of_kind in self._layout.kinds.items():
            kinds[of_kind.first_piece : of_kind.first_piece + len(of_kind.pieces)] = kind_code(kind)
        return kinds

    def tokens_of(self, modality: Modality) -> np.ndarray:
        """The pieces of a kind, without its tags; for text all others."""
        of_modality: np.ndarray = self.token_kinds() == (0 if modality == "text" else kind_code(modality))
        return of_modality

    @cached_property
    def _full(self) -> Tokenizer:
        return tokenizer_of(self._spec, self._spec["normalizer"])

    @cached_property
    def _plain(self) -> Tokenizer:
        """The tokenizer without the rules that act on opening tags and reserved characters."""
        steps = parts_of(self._spec, "normalizer")[num_span_rules(self.kinds) :]
        return tokenizer_of(self._spec, {"type": "Sequence", "normalizers": steps})

    @property
    def _decoder(self) -> Tokenizer:
        return self._plain

    @cached_property
    def _reserved(self) -> re.Pattern[str]:
        start = self._layout.block.start
        return re.compile(f"[{chr(start)}-{chr(start + BLOCK_SIZE - 1)}]")

    @cached_property
    def _parts_stand_apart(self) -> bool:
        return stands_apart(self._spec, self.kinds)

    @cached_property
    def _letter_tokens(self) -> list[str]:
        return letter_tokens(self._spec, self.kinds)

    def _encode_text_anew(self, text: str, after_part: bool) -> tuple[int, ...]:
        """The ids of a text between tags; empty if it does not stand apart from them."""
        if not self._parts_stand_apart:
            return ()
        if not after_part:
            return tuple(self.encode(text))
        tag = self.kinds[0]
        first, *ids = self.encode(close_tag(tag) + text)
        return tuple(ids) if first == self.close_id(tag) else ()

    def _encode_span(self, span: Span) -> list[int] | None:
        """The ids of a span with its tags; None if the normalizer would not take all of it for the sequence."""
        of_kind = self._of(span.kind)
        letters = bare_letters(span.kind, span.sequence)
        if letters is None or any(token in span.sequence for token in self._letter_tokens):
            return None
        return [of_kind.open_id, *self._bulk[span.kind].encode(letters).tolist(), of_kind.close_id]

    def _of(self, kind: Kind) -> KindLayout:
        self._require_kind(kind)
        return self._layout.kinds[kind]
