"""What a ``tokenizer.json`` says about its typed spans, read from that file alone: no side file can disagree."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llama_gene.errors import FormatError, TokenizerError
from llama_gene.sequences.alphabet import Kind
from llama_gene.vocabulary.normalizer import (
    BLOCK_SIZE,
    FIRST_PRIVATE,
    KINDS,
    LAST_PRIVATE,
    NUM_LETTERS,
    Block,
    close_tag,
    num_span_rules,
    open_tag,
)

# Beside its opening tag a kind has its closing tag, then the 26 letters, then its learned pieces in order.
_LETTERS_AFTER_OPEN = 2


@dataclass(frozen=True, slots=True)
class KindLayout:
    """Where one kind of span stands in the vocabulary.

    Args:
        open_id: The id of the opening tag; the closing tag's is the next one.
        pieces: The letters of every piece, from id `first_piece` on: A to Z, then the learned ones.
        merges: The merges over those letters, in order.
    """

    open_id: int
    pieces: tuple[str, ...]
    merges: tuple[tuple[str, str], ...]

    @property
    def close_id(self) -> int:
        """The id of the closing tag."""
        return self.open_id + 1

    @property
    def first_piece(self) -> int:
        """The id of the piece "A"."""
        return self.open_id + _LETTERS_AFTER_OPEN


@dataclass(frozen=True, slots=True)
class SpanLayout:
    """The typed spans of an extended tokenizer: its private block, and its kinds in the order they were added."""

    block: Block
    kinds: Mapping[Kind, KindLayout]


def is_byte_level(spec: Mapping[str, Any]) -> bool:
    """Whether the tokenizer writes characters as bytes (GPT-2, LLaMA 3, Qwen)."""
    return any(part["type"] == "ByteLevel" for name in ("normalizer", "pre_tokenizer") for part in parts_of(spec, name))


def parts_of(spec: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """The steps of a normalizer, pre-tokenizer or decoder, whether there are none, one or a sequence of them."""
    part = spec.get(name)
    if part is None:
        return []
    if part["type"] != "Sequence":
        return [part]
    # The key of the list differs: normalizers, pretokenizers, decoders.
    steps: list[dict[str, Any]] = next(value for key, value in part.items() if key != "type")
    return steps


def require_tokenizer(spec: Any, where: Path) -> None:
    """Check that `spec` is the content of some ``tokenizer.json``.

    Raises:
        FormatError: If it is not.
    """
    model = spec.get("model") if isinstance(spec, dict) else None
    if not isinstance(model, dict) or "vocab" not in model or not isinstance(spec.get("added_tokens"), list):
        raise FormatError("not a tokenizer", where=where, hint="it has to hold what `tokenizers` saves")


def read_layout(spec: Mapping[str, Any]) -> SpanLayout | None:
    """Read the typed spans of a ``tokenizer.json``.

    Returns:
        None for a tokenizer that was not extended.

    Raises:
        TokenizerError: If some of an extension is there, but not all of it.
    """
    start = _block_start(spec)
    if start is None:
        return None
    block = Block(start, is_byte_level(spec))
    vocab = spec["model"]["vocab"]
    tokens = {index: token for token, index in vocab.items()}
    found = sorted((vocab[open_tag(kind)], kind) for kind in KINDS if open_tag(kind) in vocab)
    kinds: dict[Kind, KindLayout] = {}
    for open_id, kind in found:
        pieces = _pieces(tokens, open_id, kind, block)
        layout = KindLayout(open_id, pieces, _merges(spec, kind, block))
        if tokens.get(layout.close_id) != close_tag(kind) or len(pieces) != NUM_LETTERS + len(layout.merges):
            raise TokenizerError(f"the {kind} spans of the tokenizer are damaged", hint="extend the base again")
        kinds[kind] = layout
    return SpanLayout(block, kinds)


def _block_start(spec: Mapping[str, Any]) -> int | None:
    # The decoder has a rule for every private character.
    for rule in parts_of(spec, "decoder"):
        character = rule.get("pattern", {}).get("String", "") if rule["type"] == "Replace" else ""
        if len(character) == 1 and FIRST_PRIVATE <= ord(character) <= LAST_PRIVATE:
            return ord(character) - ord(character) % BLOCK_SIZE
    return None


def _pieces(tokens: Mapping[int, str], open_id: int, kind: Kind, block: Block) -> tuple[str, ...]:
    pieces = []
    starts = tuple(block.symbols(kind))
    index = open_id + _LETTERS_AFTER_OPEN
    while (token := tokens.get(index, "")).startswith(starts):
        pieces.append(token)
        index += 1
    return tuple(block.read(kind, token) for token in pieces)


def _merges(spec: Mapping[str, Any], kind: Kind, block: Block) -> tuple[tuple[str, str], ...]:
    starts = tuple(block.symbols(kind))
    merges = (merge.split(" ") if isinstance(merge, str) else merge for merge in spec["model"]["merges"])
    ours = [(left, right) for left, right in merges if left.startswith(starts)]
    return tuple((block.read(kind, left), block.read(kind, right)) for left, right in ours)


def stands_apart(spec: Mapping[str, Any], kinds: Sequence[Kind]) -> bool:
    """Whether a text beside a tag always has the ids it has by itself: nothing of the base reaches across a tag."""
    if not all(_is_local(step) for step in parts_of(spec, "normalizer")[num_span_rules(kinds) :]):
        return False
    tags = [tag for kind in kinds for tag in (open_tag(kind), close_tag(kind))]
    return not any(
        content.endswith(tag[:cut]) or content.startswith(tag[cut:])
        for content in _base_tokens(spec, kinds)
        for tag in tags
        for cut in range(1, len(tag))
    )


def letter_tokens(spec: Mapping[str, Any], kinds: Sequence[Kind]) -> list[str]:
    """Added tokens of the base that can stand inside a sequence.

    They are cut out of the raw text before its white space is skipped or its letters are mapped. Tokens that are
    matched after the normalizer are not: there is no white space and no plain letter left in a span then.
    """
    raw = {token["content"] for token in spec["added_tokens"] if not token["normalized"]}
    return [
        content for content in _base_tokens(spec, kinds) if content in raw and re.fullmatch(r"[A-Za-z\s]+", content)
    ]


def _base_tokens(spec: Mapping[str, Any], kinds: Sequence[Kind]) -> list[str]:
    tags = {tag for kind in kinds for tag in (open_tag(kind), close_tag(kind))}
    return [token["content"] for token in spec["added_tokens"] if token["content"] not in tags]


def _is_local(normalizer: Mapping[str, Any]) -> bool:
    """Whether a normalizer does the same to a text before a tag as to the text alone (`Strip`, for one, does not)."""
    if normalizer["type"] == "Replace":
        # The regexes that look at the beginning only are our own.
        return "String" in normalizer["pattern"] or normalizer["pattern"]["Regex"].startswith(r"\A")
    return normalizer["type"] in {"Prepend", "NFC", "NFD", "NFKC", "NFKD", "Lowercase", "ByteLevel", "Precompiled"}
