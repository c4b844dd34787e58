"""Text with typed spans <-> ids: one tokenizer folder, for prompts and for gigabytes.

The folder is a plain ``tokenizer.json`` that any tool loads. What this module adds is speed, with the same ids:
sequences go straight to their own BPE, and the fixed texts around them are encoded once.
"""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer, models

from llama_gene.errors import TokenizerError
from llama_gene.files import hash_value, read_json
from llama_gene.sequences.alphabet import Kind
from llama_gene.vocabulary.layout import (
    KindLayout,
    SpanLayout,
    letter_tokens,
    parts_of,
    read_layout,
    require_tokenizer,
    stands_apart,
)
from llama_gene.vocabulary.normalizer import (
    BLOCK_SIZE,
    KINDS,
    bare_letters,
    close_tag,
    num_span_rules,
    open_tag,
    require_letters,
)

_TAG = re.compile("<(?=/?(?:" + "|".join(KINDS) + ")>)")
_NUM_CACHED_TEXTS = 4096


@dataclass(frozen=True, slots=True)
class Span:
    """A sequence inside typed text.

    Args:
        kind: ``"dna"`` or ``"protein"``.
        sequence: Its letters.
    """

    kind: Kind
    sequence: str


def render(parts: Sequence[str | Span]) -> str:
    """The typed text of `parts`.

    >>> render(["Is this a promoter? ", Span("dna", "TATAAA"), " Answer:"])
    'Is this a promoter? <dna>TATAAA</dna> Answer:'
    """
    return "".join(
        part if isinstance(part, str) else open_tag(part.kind) + part.sequence + close_tag(part.kind) for part in parts
    )


def neutralise(text: str) -> tuple[str, int]:
    """Make literal tags in text from outside harmless, by a space after the bracket.

    Returns:
        The text, and how many tags there were.

    >>> neutralise("<protein><name>p53</name></protein>")
    ('< protein><name>p53</name>< /protein>', 2)
    """
    return _TAG.subn("< ", text)


class GeneTokenizer:
    """An extended tokenizer.

    Nothing is added before or after what is encoded: no beginning of text, no end of text.

    Args:
        folder: Where it stands; for messages, and to load it again in another process.
        spec: The content of ``tokenizer.json``.
        config: The content of ``tokenizer_config.json``.

    Raises:
        TokenizerError: If the tokenizer was not extended, or lacks an end-of-text or a padding token of its own.
    """

    def __init__(self, folder: Path, spec: dict[str, Any], config: dict[str, Any]) -> None:
        self.folder = folder
        self._spec = spec
        layout = read_layout(spec)
        if layout is None or not layout.kinds:
            hint = f"extend it first: llama-gene vocabulary extend --base {folder} --dna DIR --protein DIR --output DIR"
            raise TokenizerError("a tokenizer without typed spans", where=folder, hint=hint)
        self._layout: SpanLayout = layout
        self._vocab: dict[str, int] = spec["model"]["vocab"]
        self._special = {name: _content(config.get(name)) for name in ("bos_token", "eos_token", "pad_token")}
        self.num_tokens = 1 + max(max(self._vocab.values()), *(token["id"] for token in spec["added_tokens"]))
        first_tag = min(of_kind.open_id for of_kind in layout.kinds.values())
        self.base_size: int = config.get("typed_spans", {}).get("base_size", first_tag)
        self.bos_id = self._special_id("bos_token")
        self.eos_id = self._require_id("eos_token")
        self.pad_id = self._require_id("pad_token")
        if self.pad_id == self.eos_id:
            hint = "extend the base again; padding with the end of text hides it from the loss"
            raise TokenizerError("pad_token and eos_token are the same", where=folder, hint=hint)
        self._bulk = {kind: _bpe_of(of_kind) for kind, of_kind in layout.kinds.items()}
        self._encode_text: Callable[[str, bool], tuple[int, ...]] = lru_cache(_NUM_CACHED_TEXTS)(self._encode_text_anew)

    @classmethod
    def load(cls, folder: Path) -> "GeneTokenizer":
        """Open the tokenizer of `folder`.

        Raises:
            TokenizerError: If there is none, or not one with typed spans.
            FormatError: If ``tokenizer.json`` is no such file.
        """
        if not (folder / "tokenizer.json").is_file():
            hint = "give a folder that `llama-gene vocabulary extend` wrote, or a model made on one"
            raise TokenizerError("no tokenizer.json in it", where=folder, hint=hint)
        config = folder / "tokenizer_config.json"
        spec = read_json(folder / "tokenizer.json")
        require_tokenizer(spec, folder / "tokenizer.json")
        return cls(folder, spec, read_json(config) if config.is_file() else {})

    def __reduce__(self) -> tuple[Callable[[Path], "GeneTokenizer"], tuple[Path]]:
        return GeneTokenizer.load, (self.folder,)

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The kinds of span it knows, in the order they were added."""
        return tuple(self._layout.kinds)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of all that decides the ids."""
        names = ("normalizer", "pre_tokenizer", "added_tokens", "model")
        return hash_value({name: self._spec.get(name) for name in names} | self._special)

    def open_id(self, kind: Kind) -> int:
        """The id of the opening tag of `kind`."""
        return self._of(kind).open_id

    def close_id(self, kind: Kind) -> int:
        """The id of the closing tag of `kind`."""
        return self._of(kind).close_id

    def encode(self, text: str) -> list[int]:
        """Encode typed text. For many sequences, `encode_spans` and `encode_parts` give the same ids faster."""
        # Without an opening tag or a reserved character none of our rules can match, and they are most of the cost.
        tagged = any(open_tag(kind) in text for kind in self.kinds) or self._reserved.search(text) is not None
        tokenizer = self._full if tagged else self._plain
        ids: list[int] = tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def encode_spans(self, kind: Kind, sequences: Sequence[str]) -> list[list[int]]:
        """Encode sequences in bulk, on all cores.

        Args:
            kind: What they are.
            sequences: Sequences of any length. Case and white space do not matter, U is T in DNA.

        Returns:
            For each sequence the ids between its tags.

        Raises:
            SequenceError: For anything but letters and white space.
        """
        self._of(kind)
        letters = [require_letters(kind, sequence) for sequence in sequences]
        return [encoding.ids for encoding in self._bulk[kind].encode_batch_fast(letters, add_special_tokens=False)]

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

    def decode(self, ids: Sequence[int]) -> str:
        """The typed text of `ids`, special tokens too."""
        text: str = self._plain.decode(list(ids), skip_special_tokens=False)
        return text

    def spellings(self) -> dict[int, str]:
        """The letters of every piece, by its id."""
        return {
            of_kind.first_piece + place: piece
            for of_kind in self._layout.kinds.values()
            for place, piece in enumerate(of_kind.pieces)
        }

    def letters_of(self) -> np.ndarray:
        """How many sequence letters each token stands for: int32[num_tokens], 0 for text and tags."""
        letters = np.zeros(self.num_tokens, dtype=np.int32)
        for of_kind in self._layout.kinds.values():
            stop = of_kind.first_piece + len(of_kind.pieces)
            letters[of_kind.first_piece : stop] = [len(piece) for piece in of_kind.pieces]
        return letters

    def token_kinds(self) -> np.ndarray:
        """What each token is: int8[num_tokens]; 0 text or tag, 1 a piece of DNA, 2 a piece of protein."""
        kinds = np.zeros(self.num_tokens, dtype=np.int8)
        for kind, of_kind in self._layout.kinds.items():
            kinds[of_kind.first_piece : of_kind.first_piece + len(of_kind.pieces)] = 1 + KINDS.index(kind)
        return kinds

    def to_transformers(self) -> Any:
        """The same tokenizer as transformers knows it.

        For some model types (qwen2, qwen3_5) ``AutoTokenizer`` takes a class that drops the normalizer, whatever the
        folder says; this one never does.
        """
        from transformers import PreTrainedTokenizerFast

        return PreTrainedTokenizerFast.from_pretrained(str(self.folder), local_files_only=True)

    @cached_property
    def _full(self) -> Tokenizer:
        return self._tokenizer(self._spec["normalizer"])

    @cached_property
    def _plain(self) -> Tokenizer:
        """The tokenizer without the rules that act on opening tags and reserved characters."""
        steps = parts_of(self._spec, "normalizer")[num_span_rules(self.kinds) :]
        return self._tokenizer({"type": "Sequence", "normalizers": steps})

    def _tokenizer(self, normalizer: dict[str, Any]) -> Tokenizer:
        # Somebody may have saved it with truncation or padding on.
        changes = {"normalizer": normalizer, "truncation": None, "padding": None}
        return Tokenizer.from_str(json.dumps(self._spec | changes))

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

    def _encode_text_anew(self, text: str, after_tag: bool) -> tuple[int, ...]:
        """The ids of a text between tags; empty if it does not stand apart from them.

        A base may put a prefix space before the first text, so it makes a difference whether a tag stands before.
        """
        if not self._parts_stand_apart:
            return ()
        if not after_tag:
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
        ids: list[int] = self._bulk[span.kind].encode(letters, add_special_tokens=False).ids
        return [of_kind.open_id, *ids, of_kind.close_id]

    def _of(self, kind: Kind) -> KindLayout:
        if kind not in self._layout.kinds:
            hint = f"extend it: llama-gene vocabulary extend --base {self.folder} --{kind} DIR --output DIR"
            raise TokenizerError(f"the tokenizer has no {kind} spans", where=self.folder, hint=hint)
        return self._layout.kinds[kind]

    def _special_id(self, name: str) -> int | None:
        token = self._special[name]
        return None if token is None else self._vocab.get(token)

    def _require_id(self, name: str) -> int:
        index = self._special_id(name)
        if index is None:
            hint = f"tokenizer_config.json must name a token of tokenizer.json as {name}"
            raise TokenizerError(f"no {name} (it says {self._special[name]!r})", where=self.folder, hint=hint)
        return index


def _content(token: Any) -> str | None:
    # transformers writes a special token as a string, or as a dictionary with its flags.
    content = token.get("content") if isinstance(token, dict) else token
    return content if isinstance(content, str) else None


def _bpe_of(of_kind: KindLayout) -> Tokenizer:
    """The BPE of one kind over plain upper-case letters, with the ids of the whole tokenizer."""
    ids = {piece: of_kind.first_piece + place for place, piece in enumerate(of_kind.pieces)}
    return Tokenizer(models.BPE(vocab=ids, merges=list(of_kind.merges)))
