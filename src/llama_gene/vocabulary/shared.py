"""The paper's shared scheme: DNA and protein pieces appended to the SentencePiece table of the base.

A sequence stands bare in the text, and all three languages share one table of pieces, as ``merge_tokenizers.py`` of
Chinese-LLaMA makes it: what the base has already is not added again. A, C, G and T are also amino acids and English
letters, so merges of one language act in the others; typed spans (`extend`) are our answer to that. This scheme is
here for comparison.

**Scores.** SentencePiece merges the neighbours whose piece has the best score. ``merge_tokenizers.py`` gives every new
piece the score 0, above all of LLaMA's; of several new pieces the leftmost is then made first, whatever was learned
first. No ``tokenizer.json`` can do that: it ranks pairs of pieces, and with AB and BA tied, ABA wants AB first and BAB
wants BA. So we keep the new pieces above the base and break the ties by their order: the pieces of the first vocabulary
as they were learned, then those of the next. Scores are unique then, and the ids of ``tokenizer.json`` are exactly
those of SentencePiece. One ranks pairs and the other pieces, but with unique scores a piece can only come about by the
last merge of its own encoding, so its other pairs never meet.

A published model with tied scores opens with the same order. Measured on LLaMA 2 with 30,000 pieces of each kind,
against SentencePiece on score 0: 544 of 66,297 lines of English are cut differently (0.8 %), and nearly all sequences
(946 of 947 windows of 600 bases, 1,992 of 2,000 proteins). With our scores none are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from llama_gene.errors import TokenizerError
from llama_gene.files import atomic_folder, read_json, write_json
from llama_gene.sequences.alphabet import Kind
from llama_gene.vocabulary import sentencepiece
from llama_gene.vocabulary.base import Base, load_base
from llama_gene.vocabulary.draft import dump
from llama_gene.vocabulary.extend import PAD
from llama_gene.vocabulary.layout import is_byte_level
from llama_gene.vocabulary.table import (
    CONTROL,
    HINT,
    NORMAL,
    PieceTable,
    reserved_name,
    table_of,
    type_of_added,
    vocab_of,
)
from llama_gene.vocabulary.train import SequenceVocabulary

# Above every score of a base, which are 0 and less; and all numbers below it are exact in 32 bits.
_TOP_SCORE = 1 << 20
_CONFIG = "shared_pieces"


@dataclass(frozen=True, slots=True)
class SharedPieces:
    """Where the pieces of one vocabulary stand.

    Args:
        first: The first id that this vocabulary added.
        stop: The id after its last.
        taken: The ids of its other pieces, which were in the table before it.
    """

    first: int
    stop: int
    taken: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class SharedLayout:
    """What ``tokenizer_config.json`` says of a merged table.

    Args:
        base_size: Ids below this are the base's.
        kinds: The vocabularies, in the order they were appended.
    """

    base_size: int
    kinds: Mapping[Kind, SharedPieces]


@dataclass(frozen=True, slots=True)
class SharedExtension:
    """What `extend_shared` made.

    Args:
        folder: Where the tokenizer stands.
        kinds: All vocabularies in it, in the order they were appended.
        base_size: The ids below this are the first base's (with reserved names for its unused rows).
        first_new: The first id that *this* extension added.
        num_tokens: The largest id plus 1.
        added_pad: Whether the base had no padding token of its own.
    """

    folder: Path
    kinds: tuple[Kind, ...]
    base_size: int
    first_new: int
    num_tokens: int
    added_pad: bool


@dataclass(frozen=True, slots=True)
class Collision:
    """Pieces that two languages have in common.

    Args:
        between: ``"base"``, ``"dna"`` or ``"protein"``, two of them.
        pieces: All of more than one letter, in the order of their ids; one of three languages stands in three pairs.
    """

    between: tuple[str, str]
    pieces: tuple[str, ...]


def extend_shared(base: Path, vocabularies: Sequence[SequenceVocabulary], output: Path) -> SharedExtension:
    """Append vocabularies to the SentencePiece table of `base`.

    Every token of the base keeps its id, but texts may be cut differently: that is the price of this scheme. The ids of
    the ``tokenizer.json`` equal those of the merged ``tokenizer.model`` in SentencePiece. Appending to a folder that
    this function made gives the same as appending all at once.

    Args:
        base: A folder with ``tokenizer.model``, or a ``tokenizer.json`` that was converted from one.
        vocabularies: At most one a kind, in the order of their rank.
        output: The folder to write: ``tokenizer.json``, ``tokenizer_config.json``, ``tokenizer.model``.

    Raises:
        TokenizerError: If there is no vocabulary, or the base has no table that can be appended to.
    """
    kinds = [vocabulary.kind for vocabulary in vocabularies]
    if not kinds or len(set(kinds)) < len(kinds):
        hint = "give one vocabulary of DNA, one of protein, or both"
        raise TokenizerError(f"cannot extend with {kinds or 'no vocabulary'}", where=base, hint=hint)
    if output.resolve() == base.resolve():
        raise TokenizerError("the base cannot be its own extension", where=base, hint="choose another --output")
    source = load_base(base)
    _require_sentencepiece(source)
    table = table_of(source)
    before = read_shared(source.config)
    post_processor, added_pad = source.spec.get("post_processor"), False
    if before is None:
        _keep_what_the_model_lacks(source, table)
        before = SharedLayout(table.size, {})
    else:
        # As it was written, without what transformers makes of it.
        post_processor = read_json(base / "tokenizer.json").get("post_processor")
    first_new = table.size
    if source.config.get("pad_token") in {None, source.config.get("eos_token")}:
        # Padding with the end-of-text token would hide it from the loss.
        table.add(PAD, 0, CONTROL)
        source.config["pad_token"], added_pad = PAD, True
    appended = dict(before.kinds)
    for vocabulary in vocabularies:
        if vocabulary.kind in appended:
            raise TokenizerError(f"the base has {vocabulary.kind} pieces already", where=base)
        appended[vocabulary.kind] = _append(table, vocabulary, before.base_size)
    layout = SharedLayout(before.base_size, appended)
    result = SharedExtension(
        folder=output,
        kinds=tuple(layout.kinds),
        base_size=layout.base_size,
        first_new=first_new,
        num_tokens=table.size,
        added_pad=added_pad,
    )
    with atomic_folder(output) as draft:
        (draft / "tokenizer.model").write_bytes(table.message)
        spec, _ = sentencepiece.convert(draft / "tokenizer.model")
        spec["post_processor"] = post_processor
        (draft / "tokenizer.json").write_text(dump(spec), encoding="utf-8")
        write_json(draft / "tokenizer_config.json", _config(source, layout))
        source.copy_extras(draft)
        _check(Tokenizer.from_file(str(draft / "tokenizer.json")), spec, table, layout, base)
    return result


def read_shared(config: Mapping[str, Any]) -> SharedLayout | None:
    """Read what a ``tokenizer_config.json`` says of a merged table.

    Returns:
        None for a tokenizer that `extend_shared` did not make.

    Raises:
        TokenizerError: If that entry is not what `extend_shared` writes.
    """
    if _CONFIG not in config:
        return None
    try:
        entry = config[_CONFIG]
        kinds = {
            kind: SharedPieces(int(pieces["first"]), int(pieces["stop"]), tuple(map(int, pieces["taken"])))
            for kind, pieces in entry["kinds"].items()
        }
        return SharedLayout(int(entry["base_size"]), {kind: kinds[kind] for kind in entry["order"]})
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        problem = f"{_CONFIG!r} in tokenizer_config.json is damaged ({error!r})"
        raise TokenizerError(problem, hint="extend the base again") from None


def collisions(folder: Path) -> list[Collision]:
    """The pieces that base, DNA and protein have in common, for each two of them.

    Single letters are left out: all languages have them.

    Raises:
        TokenizerError: If `folder` was not made by `extend_shared`.
    """
    layout = read_shared(read_json(folder / "tokenizer_config.json"))
    if layout is None:
        hint = "make one with: llama-gene vocabulary extend --scheme shared"
        raise TokenizerError("no merged table of pieces", where=folder, hint=hint)
    vocab = read_json(folder / "tokenizer.json")["model"]["vocab"]
    texts = {index: text for text, index in vocab.items() if len(text) > 1}
    languages = {"base": set(range(layout.base_size))} | {
        kind: {*range(pieces.first, pieces.stop), *pieces.taken} for kind, pieces in layout.kinds.items()
    }
    return [
        Collision((one, two), tuple(texts[index] for index in sorted(languages[one] & languages[two] & texts.keys())))
        for one, two in combinations(languages, 2)
    ]


def _require_sentencepiece(source: Base) -> None:
    where = source.folder
    if source.layout is not None:
        hint = "the two schemes exclude each other; give the base as it was before"
        raise TokenizerError("the base has typed spans already", where=where, hint=hint)
    if is_byte_level(source.spec):
        raise TokenizerError("the base is byte-level (GPT-2, LLaMA 3, Qwen), not SentencePiece", where=where, hint=HINT)
    if source.spec["model"].get("type") != "BPE":
        raise TokenizerError(f"its model is {source.spec['model'].get('type')}, not BPE", where=where, hint=HINT)
    if source.config.get("eos_token") is None:
        hint = 'name it in tokenizer_config.json: "eos_token": "..."'
        raise TokenizerError("the base has no end-of-text token", where=where, hint=hint)


def _keep_what_the_model_lacks(source: Base, table: PieceTable) -> None:
    """Add the tokens that stand in ``tokenizer.json`` alone, and names for rows of the model that have none."""
    tokens = {index: text for text, index in vocab_of(source.spec).items()}
    for index in range(table.size, max(source.num_rows, 1 + max(tokens))):
        text = tokens.get(index, reserved_name(index))
        table.add(text, 0, type_of_added(source.spec, text))


def _append(table: PieceTable, vocabulary: SequenceVocabulary, base_size: int) -> SharedPieces:
    first, taken = table.size, []
    for piece in vocabulary.pieces:
        if piece in table.vocab:
            taken.append(table.vocab[piece])
        else:
            table.add(piece, _TOP_SCORE - (table.size - base_size), NORMAL)
    return SharedPieces(first, table.size, tuple(taken))


def _config(source: Base, layout: SharedLayout) -> dict[str, Any]:
    kinds = {
        kind: {"first": pieces.first, "stop": pieces.stop, "taken": list(pieces.taken)}
        for kind, pieces in layout.kinds.items()
    }
    entry = {"base_size": layout.base_size, "kinds": kinds, "order": list(kinds)}
    defaults = {"clean_up_tokenization_spaces": False}
    # LlamaTokenizer of transformers 5 would rebuild the tokenizer, and takes no notice of the scores.
    return defaults | source.config | {"tokenizer_class": "TokenizersBackend", _CONFIG: entry}


def _check(written: Tokenizer, spec: Mapping[str, Any], table: PieceTable, layout: SharedLayout, base: Path) -> None:
    """Check the reloaded file: every id, and that no piece of the base ranks above a new one."""
    if written.get_vocab() != table.vocab:
        odd = next(iter(set(written.get_vocab().items()) ^ set(table.vocab.items())))
        raise TokenizerError(f"token {odd[0]!r} would not keep its id", where=base, hint=HINT)
    is_base = [table.vocab[left + right] < layout.base_size for left, right in spec["model"]["merges"]]
    if is_base != sorted(is_base):
        problem = f"a piece of the base has a score above {_TOP_SCORE - table.size:,}"
        raise TokenizerError(problem, where=base, hint="take the base as it was published")


__all__ = ["Collision", "SharedExtension", "SharedLayout", "SharedPieces", "collisions", "extend_shared", "read_shared"]
