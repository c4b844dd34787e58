"""Extend a base tokenizer with typed spans: a plain ``tokenizer.json`` that needs no code of ours.

The contract: for every text without tags and without the reserved private characters the ids are the base's; for every
sequence the ids inside its span are those of its own vocabulary, shifted; decoding gives back what the base gives back,
and inside a span the canonical sequence.
"""

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from llama_gene.errors import TokenizerError
from llama_gene.files import atomic_folder, write_json
from llama_gene.sequences.alphabet import Kind
from llama_gene.vocabulary import draft
from llama_gene.vocabulary.base import SPECIAL_TOKENS, Base, load_base
from llama_gene.vocabulary.draft import Draft
from llama_gene.vocabulary.normalizer import close_tag, open_tag
from llama_gene.vocabulary.train import SequenceVocabulary

PAD = "<|pad|>"
_PROBES = (
    "The TATA box of KRAS lies 25-30 bp upstream; p < 0.05, 3.7e-4.",
    "  Two spaces, then a line break\n\n\tand a tab.  ",
    "ACGTACGTNNNACGT MKVLAAGIV * def f(x): return x  # naïve Größe, 蛋白质, 🧬, Ω≈ç√",
    " ",
    "\n",
    "</",
    "dna> <DNA>",
)


@dataclass(frozen=True, slots=True)
class Extension:
    """What an extension made.

    Args:
        folder: Where the tokenizer stands.
        kinds: All kinds of span it knows, in the order they were added.
        base_size: The ids below this are the first base's (with reserved names for its unused rows); ids from here on
            are ours.
        first_new: The first id that *this* extension added. For a base that was extended before it lies above
            `base_size`: the rows between were trained with that base, and must be kept.
        num_tokens: The largest id plus 1: an embedding needs at least so many rows.
        block: The first private code point.
        added_pad: Whether the base had no padding token of its own.
    """

    folder: Path
    kinds: tuple[Kind, ...]
    base_size: int
    first_new: int
    num_tokens: int
    block: int
    added_pad: bool


def extend(base: Path, vocabularies: Sequence[SequenceVocabulary], output: Path) -> Extension:
    """Add typed spans to the tokenizer of `base`.

    Vocabularies are added in the order given. Extending an extended folder with another kind gives the same tokenizer
    as giving both at once.

    Args:
        base: A folder with a tokenizer: ``tokenizer.json``, or a SentencePiece ``tokenizer.model``; byte-level or
            SentencePiece-style BPE. A ``config.json`` beside it tells of padded rows.
        vocabularies: At most one a kind.
        output: The folder to write.

    Raises:
        TokenizerError: If the base cannot be extended, or the extension would not keep the contract.
    """
    kinds = [vocabulary.kind for vocabulary in vocabularies]
    if not kinds or len(set(kinds)) < len(kinds):
        hint = "give one vocabulary of DNA, one of protein, or both"
        raise TokenizerError(f"cannot extend with {kinds or 'no vocabulary'}", where=base, hint=hint)
    if output.resolve() == base.resolve():
        raise TokenizerError("the base cannot be its own extension", where=base, hint="choose another --output")
    source = load_base(base)
    original = Tokenizer.from_str(draft.dump(source.spec))
    growing, added_pad = _begin(source)
    first_new = growing.base_size
    base_size = source.config.get("typed_spans", {}).get("base_size", first_new)
    for vocabulary in vocabularies:
        if growing.layout_kinds and vocabulary.kind in growing.layout_kinds:
            raise TokenizerError(f"the base has {vocabulary.kind} spans already", where=base)
        growing.add_kind(vocabulary)
    result = Extension(
        folder=output,
        kinds=tuple(growing.layout_kinds),
        base_size=base_size,
        first_new=first_new,
        num_tokens=growing.num_tokens,
        block=growing.block.start,
        added_pad=added_pad,
    )
    with atomic_folder(output) as folder:
        (folder / "tokenizer.json").write_text(draft.dump(growing.spec), encoding="utf-8")
        write_json(folder / "tokenizer_config.json", _config(source, result))
        source.copy_extras(folder)
        _check(Tokenizer.from_file(str(folder / "tokenizer.json")), original, growing, vocabularies, base)
    return result


def _begin(source: Base) -> tuple[Draft, bool]:
    """A draft with everything that does not depend on the kinds."""
    if source.layout is not None:
        return draft.reopen(source.spec, source.layout), False
    growing = draft.prepare(source.spec, source.num_rows, source.folder)
    eos, pad = source.config.get("eos_token"), source.config.get("pad_token")
    if eos is None:
        hint = 'name one of its tokens in tokenizer_config.json: "eos_token": "..."'
        raise TokenizerError("the base has no end-of-text token", where=source.folder, hint=hint)
    added_pad = pad is None or pad == eos
    if added_pad:
        # Padding with the end-of-text token would hide it from the loss: models that never stop come from that.
        growing.add_token(PAD, special=True, normalized=False)
        source.config["pad_token"] = PAD
    growing.add_byte_pair()
    return growing, added_pad


def _config(source: Base, result: Extension) -> dict[str, Any]:
    spans = {"base_size": result.base_size, "block": f"U+{result.block:04X}", "kinds": list(result.kinds)}
    defaults = {"clean_up_tokenization_spaces": False}
    # Llama's, Qwen's and other classes would rebuild the tokenizer and lose the normalizer.
    return defaults | source.config | {"tokenizer_class": "TokenizersBackend", "typed_spans": spans}


def _check(
    extended: Tokenizer,
    original: Tokenizer,
    growing: Draft,
    vocabularies: Sequence[SequenceVocabulary],
    base: Path,
) -> None:
    """Check the contract on the reloaded file: a wrong id would not show before the model has learned nonsense."""
    problem = (
        _changed_id(extended, original)
        or _changed_text(extended, original)
        or next(filter(None, (_changed_span(extended, growing.written_ids(v.kind), v) for v in vocabularies)), None)
    )
    if problem is None and extended.get_vocab_size() != growing.num_tokens:
        problem = f"{extended.get_vocab_size():,} tokens under {growing.num_tokens:,} ids"
    if problem is not None:
        hint = "this base cannot have typed spans; please report it with the name of the base"
        raise TokenizerError(f"the extension does not keep its contract: {problem}", where=base, hint=hint)


def _changed_id(extended: Tokenizer, original: Tokenizer) -> str | None:
    after = extended.get_vocab()
    for token, index in original.get_vocab().items():
        if after.get(token) != index:
            return f"token {token!r} moved from {index} to {after.get(token)}"
    before, kept = original.get_added_tokens_decoder(), extended.get_added_tokens_decoder()
    for index, added in before.items():
        if index not in kept or _flags(kept[index]) != _flags(added):
            return f"added token {added!r} of id {index} became {kept.get(index)!r}"
    return None


def _flags(token: Any) -> tuple[str | bool, ...]:
    # Whether white space is matched before or after the normalizer is ours to say (`draft.prepare`).
    normalized = token.normalized and not token.content.isspace()
    return (token.content, token.special, token.lstrip, token.rstrip, token.single_word, normalized)


def _changed_text(extended: Tokenizer, original: Tokenizer) -> str | None:
    added = [token.content for token in original.get_added_tokens_decoder().values()]
    own = re.compile("|".join(f"</?{kind}>" for kind in ("dna", "protein")))
    probes = [*_PROBES, *(f"{token}Some text {token} {token}\n{token}" for token in added if not own.search(token))]
    for text in probes:
        before = original.encode(text, add_special_tokens=False).ids
        after = extended.encode(text, add_special_tokens=False).ids
        if before != after:
            return f"{text!r} had the ids {before}, has {after}"
        if original.decode(before, skip_special_tokens=False) != extended.decode(after, skip_special_tokens=False):
            return f"{text!r} decodes differently"
    return None


def _changed_span(extended: Tokenizer, ids: Mapping[str, int], vocabulary: SequenceVocabulary) -> str | None:
    rng = random.Random(0)
    sequences = ["".join(ids)[:26], *("".join(rng.choices(vocabulary.pieces, k=40)) for _ in range(20))]
    if vocabulary.kind == "dna":
        sequences = [sequence.replace("U", "T") for sequence in sequences]
    after = extended.get_vocab()
    start, end = after[open_tag(vocabulary.kind)], after[close_tag(vocabulary.kind)]
    for sequence in sequences:
        text = f"a {open_tag(vocabulary.kind)}{sequence}{close_tag(vocabulary.kind)} b"
        got = extended.encode(text, add_special_tokens=False).ids
        wanted = [start, *(ids[piece] for piece in vocabulary.encode(sequence)), end]
        place = got.index(start) if start in got else 0
        if got[place : place + len(wanted)] != wanted:
            return f"the {vocabulary.kind} span of {sequence!r} has the ids {got}, its own pieces {wanted}"
        if sequence not in extended.decode(wanted, skip_special_tokens=False):
            return f"the {vocabulary.kind} span of {sequence!r} decodes to {extended.decode(wanted)!r}"
    return None


__all__ = ["PAD", "SPECIAL_TOKENS", "Extension", "extend"]
