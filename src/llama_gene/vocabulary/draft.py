"""A ``tokenizer.json`` while it is being extended: ids, merges, normalizer and decoder."""

import copy
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llama_gene.errors import TokenizerError
from llama_gene.sequences.alphabet import Kind
from llama_gene.vocabulary.layout import SpanLayout, is_byte_level, parts_of
from llama_gene.vocabulary.normalizer import (
    BLOCK_SIZE,
    FIRST_PRIVATE,
    KINDS,
    LAST_PRIVATE,
    LETTERS,
    Block,
    Rule,
    byte_symbols,
    close_tag,
    drop_doubled_prefix,
    num_span_rules,
    open_tag,
    unprefix_rule,
)
from llama_gene.vocabulary.train import SequenceVocabulary


@dataclass
class Draft:
    """The parts of a ``tokenizer.json`` in the making.

    Args:
        spec: Its content; ours alone, it is changed in place.
        block: The private code points.
        base_size: The number of ids that are the base's.
        num_tokens: The next free id; no id below it is unused.
        layout_kinds: The kinds added so far.
    """

    spec: dict[str, Any]
    block: Block
    base_size: int
    num_tokens: int
    layout_kinds: list[Kind] = field(default_factory=list)

    def add_token(self, content: str, *, special: bool, normalized: bool) -> int:
        """Add a token that is found in the text as it stands."""
        # `tokenizers` numbers added tokens that model.vocab lacks by its length; so all of them stand in it, under
        # their ids.
        index = self._add_piece(content)
        flags = {"single_word": False, "lstrip": False, "rstrip": False}
        entry = {"id": index, "content": content, **flags, "normalized": normalized, "special": special}
        self.spec["added_tokens"].append(entry)
        return index

    def add_byte_pair(self) -> None:
        """For byte-level bases: join the first two bytes, which all characters of the block share."""
        if self.block.byte_level:
            symbol = self.block.symbols("dna")[0]
            self._add_merge(symbol[0], symbol[1])

    def add_kind(self, vocabulary: SequenceVocabulary) -> None:
        """Add tags, letters, pieces and rules of one kind."""
        kind = vocabulary.kind
        for tag in (open_tag(kind), close_tag(kind)):
            # The normalizer must still see a tag, so it is matched after it; it is part of what a model writes: not
            # special.
            self.add_token(tag, special=False, normalized=True)
        for symbol in self.block.symbols(kind):
            if self.block.byte_level:
                self._add_merge(symbol[:2], symbol[2])
            else:
                self._add_piece(symbol)
        for left, right in vocabulary.merges:
            self._add_merge(self.block.write(kind, left), self.block.write(kind, right))
        normalizers = parts_of(self.spec, "normalizer")
        place = num_span_rules(self.layout_kinds)
        normalizers[place:place] = self.block.span_rules(kind)
        for place in reversed(range(len(normalizers))):
            if normalizers[place]["type"] == "Prepend":
                normalizers.insert(place + 1, unprefix_rule(kind, normalizers[place]["prepend"]))
        parts_of(self.spec, "decoder").extend(self.block.decoder_rules(kind))
        self.layout_kinds.append(kind)

    def written_ids(self, kind: Kind) -> dict[str, int]:
        """The id of every piece of `kind`, by its letters."""
        vocab = self.spec["model"]["vocab"]
        first = vocab[open_tag(kind)] + 2
        starts = tuple(self.block.symbols(kind))
        return {
            self.block.read(kind, token): index
            for token, index in vocab.items()
            if index >= first and token.startswith(starts)
        }

    def _add_piece(self, token: str) -> int:
        vocab = self.spec["model"]["vocab"]
        if token in vocab:
            raise TokenizerError(f"the base has a token {token!r} of its own", hint="choose another base")
        vocab[token] = self.num_tokens
        self.num_tokens += 1
        return self.num_tokens - 1

    def _add_merge(self, left: str, right: str) -> None:
        self._add_piece(left + right)
        self.spec["model"]["merges"].append([left, right])


def dump(spec: Mapping[str, Any]) -> str:
    """The text of a ``tokenizer.json``."""
    return json.dumps(spec, ensure_ascii=False, indent=1)


def reopen(spec: dict[str, Any], layout: SpanLayout) -> Draft:
    """Go on with a tokenizer that was extended before."""
    num_tokens = max(spec["model"]["vocab"].values()) + 1
    return Draft(copy.deepcopy(spec), layout.block, num_tokens, num_tokens, list(layout.kinds))


def prepare(spec: dict[str, Any], num_rows: int, where: Path) -> Draft:
    """Make a base ready to be extended, without changing any of its ids.

    Args:
        spec: The content of its ``tokenizer.json``.
        num_rows: Rows of its model, 0 if unknown; rows without a token get reserved names.
        where: The folder, for errors.
    """
    _require_extendable(spec, where)
    spec = copy.deepcopy(spec)
    # These would shorten or lengthen what is encoded; that is for the caller to say.
    spec["truncation"] = spec["padding"] = None
    model = spec["model"]
    vocab = model["vocab"]
    model["merges"] = [merge.split(" ") if isinstance(merge, str) else merge for merge in model["merges"]]
    for token in spec["added_tokens"]:
        vocab.setdefault(token["content"], token["id"])
    used = set(vocab.values())
    base_size = max(max(used) + 1, num_rows)
    vocab |= {f"<|reserved_{index}|>": index for index in range(base_size) if index not in used}
    if len(vocab) != base_size:
        raise TokenizerError(f"{len(vocab):,} tokens share {base_size:,} ids", where=where, hint="choose another base")
    block = _free_block(spec, where)
    _expose_prefix(spec, where)
    _release_white_space(spec)
    steps = parts_of(spec, "normalizer")
    spec["normalizer"] = {"type": "Sequence", "normalizers": [block.guard(), *steps]}
    spec["decoder"] = {"type": "Sequence", "decoders": list(parts_of(spec, "decoder"))}
    return Draft(spec, block, base_size, base_size)


def _require_extendable(spec: Mapping[str, Any], where: Path) -> None:
    model = spec["model"]
    hint = "choose a base whose tokenizer is SentencePiece-style or byte-level BPE (LLaMA, Mistral, Qwen, GPT-2, Gemma)"
    if model.get("type") != "BPE":
        raise TokenizerError(f"its model is {model.get('type')}, not BPE", where=where, hint=hint)
    for name in ("continuing_subword_prefix", "end_of_word_suffix", "dropout"):
        if model.get(name):
            raise TokenizerError(f"its {name} is {model[name]!r}", where=where, hint=hint)
    if not parts_of(spec, "decoder"):
        raise TokenizerError("it has no decoder, so text cannot be got back", where=where, hint=hint)
    contents = [token["content"] for token in spec["added_tokens"]]
    for tag in (tag for kind in KINDS for tag in (open_tag(kind), close_tag(kind))):
        if tag in model["vocab"] or any(content in tag or tag in content for content in contents):
            raise TokenizerError(f"one of its tokens collides with the tag {tag!r}", where=where, hint=hint)


def _free_block(spec: Mapping[str, Any], where: Path) -> Block:
    """The first block of private code points that the base neither has tokens for nor merges bytes of."""
    byte_level = is_byte_level(spec)
    tokens = spec["model"]["vocab"]
    if byte_level:
        missing = set(byte_symbols()) - tokens.keys()
        if missing:
            raise TokenizerError(f"byte-level, but without tokens for {len(missing)} bytes", where=where)
        # Any merge that could act inside a span makes a token that is a part of a row of private characters.
        rare = [token for token in tokens if len(token) > 1 and not token.isascii()]
    else:
        present = {ord(character) for token in tokens for character in token if ord(character) >= FIRST_PRIVATE}
    for start in range(FIRST_PRIVATE, LAST_PRIVATE + 1, BLOCK_SIZE):
        block = Block(start, byte_level)
        if byte_level:
            part = _part_of_span(block)
            if not any(part.fullmatch(token) for token in rare):
                return block
        elif present.isdisjoint(range(start, start + BLOCK_SIZE)):
            return block
    raise TokenizerError(
        "every block of private characters is used by the base", where=where, hint="choose another base"
    )


def _part_of_span(block: Block) -> re.Pattern[str]:
    symbols = [symbol for kind in KINDS for symbol in block.symbols(kind)]
    first, second = map(re.escape, symbols[0][:2])
    third = "[" + "".join(re.escape(symbol[2]) for symbol in symbols) + "]"
    return re.compile(f"(?:{second}?{third})?(?:{first}{second}{third})*(?:{first}{second}?)?")


def _expose_prefix(spec: dict[str, Any], where: Path) -> None:
    """Turn a prefix that the pre-tokenizer puts before *every* part of a text into one our tags can be exempted from.

    A text is cut at added tokens, so such a pre-tokenizer would put a space before the letters of every span. As a
    ``Prepend`` normalizer it acts once a text (or part between special tokens), before our tags are cut out.
    """
    steps = parts_of(spec, "pre_tokenizer")
    for place, step in enumerate(steps):
        metaspace = step["type"] == "Metaspace" and step.get("prepend_scheme", "always") == "always"
        if not (metaspace or (step["type"] == "ByteLevel" and step.get("add_prefix_space"))):
            continue
        if place > 0 or any(token["normalized"] for token in spec["added_tokens"]):
            raise TokenizerError("its pre-tokenizer puts a space before every part of a text", where=where)
        prefix = step["replacement"] if metaspace else " "
        steps[place] = step | ({"prepend_scheme": "never"} if metaspace else {"add_prefix_space": False})
        if spec["pre_tokenizer"]["type"] != "Sequence":
            spec["pre_tokenizer"] = steps[place]
        own: list[Rule] = [{"type": "Prepend", "prepend": prefix}, drop_doubled_prefix(prefix)]
        spec["normalizer"] = {"type": "Sequence", "normalizers": [*parts_of(spec, "normalizer"), *own]}


def _release_white_space(spec: dict[str, Any]) -> None:
    """Let the normalizer see white space that is an added token (line breaks in Gemma), so that a span may hold it.

    Such a token is cut out of the raw text, which would end a pasted FASTA body at its first line. Matched after the
    normalizer it has the same ids everywhere else, as long as nothing else deals in its characters: then it is changed.
    """
    steps = parts_of(spec, "normalizer")
    tokens = spec["added_tokens"]
    if any(step["type"] != "Replace" or "String" not in step["pattern"] for step in steps):
        return
    runs = [token for token in tokens if token["content"].isspace() and not (token["normalized"] or token["special"])]
    others = [token for token in tokens if token not in runs]
    if any(token["lstrip"] or token["rstrip"] or token["single_word"] for token in tokens):
        return
    taken = {character for step in steps for character in step["pattern"]["String"] + step["content"]}
    taken |= {character for token in others for character in token["content"]}
    if all(taken.isdisjoint(token["content"]) for token in runs):
        for token in runs:
            token["normalized"] = True


__all__ = ["LETTERS", "Draft", "dump", "prepare", "reopen"]
