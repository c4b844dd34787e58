"""What a vocabulary report can measure: every folder that holds pieces, behind one interface."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from tokenizers import Tokenizer

from llama_gene.errors import TokenizerError
from llama_gene.files import read_json
from llama_gene.sequences.alphabet import Kind
from llama_gene.vocabulary.base import load_base
from llama_gene.vocabulary.draft import dump
from llama_gene.vocabulary.layout import KindLayout, SpanLayout, read_layout, require_tokenizer
from llama_gene.vocabulary.measure import Pieces
from llama_gene.vocabulary.normalizer import KINDS, close_tag, open_tag
from llama_gene.vocabulary.shared import Collision, SharedPieces, collisions, read_shared
from llama_gene.vocabulary.train import SequenceVocabulary

Form = Literal["sequence vocabulary", "typed spans", "shared pieces", "plain tokenizer"]

_METADATA, _TOKENIZER, _CONFIG = "vocabulary.json", "tokenizer.json", "tokenizer_config.json"


@dataclass(frozen=True, eq=False)
class BareText:
    """Sequences as a tokenizer of text cuts them when they stand bare on a line of their own.

    Args:
        kind: What the sequences are.
        tokenizer: The tokenizer.
        pieces: Its tokens, by id.
    """

    kind: Kind
    tokenizer: Tokenizer
    pieces: Sequence[str]

    def encode_batch(self, sequences: Sequence[str]) -> list[np.ndarray]:
        """The ids of each sequence: int32[num_tokens]."""
        encodings = self.tokenizer.encode_batch_fast(list(sequences), add_special_tokens=False)
        return [np.array(encoding.ids, dtype=np.int32) for encoding in encodings]


@dataclass(frozen=True, eq=False)
class TypedSpans:
    """Sequences as an extended ``tokenizer.json`` cuts them between their tags.

    Args:
        kind: What the sequences are.
        tokenizer: The whole tokenizer, rules and all.
        first_piece: The id of the piece "A".
        pieces: The pieces from there on.
    """

    kind: Kind
    tokenizer: Tokenizer
    first_piece: int
    pieces: Sequence[str]

    def encode_batch(self, sequences: Sequence[str]) -> list[np.ndarray]:
        """The ids of each sequence along `pieces`, without its tags: int32[num_tokens].

        At the speed of the rules; in bulk the vocabulary behind them has the same ids, which is what this can prove.
        """
        typed = [open_tag(self.kind) + sequence + close_tag(self.kind) for sequence in sequences]
        encodings = self.tokenizer.encode_batch_fast(typed, add_special_tokens=False)
        return [np.array(encoding.ids[1:-1], dtype=np.int32) - self.first_piece for encoding in encodings]


@dataclass(frozen=True, eq=False)
class Cutter:
    """How a subject cuts one kind of sequence.

    Args:
        bulk: Cuts gigabytes.
        stock: Cuts as the folder's ``tokenizer.json`` does, if that is another way; for lines.
        learned: What counts as its pieces; None where nobody wrote that down.
        own: The vocabulary that was learned for it, where it can be told.
    """

    bulk: Pieces
    stock: Pieces | None = None
    learned: frozenset[str] | None = None
    own: SequenceVocabulary | None = None


@dataclass(frozen=True, eq=False)
class Subject:
    """A folder to measure.

    Args:
        folder: Where it stands.
        form: What it is.
        cutters: How it cuts the kinds that it knows.
        text: The tokenizer of its text; None for a sequence vocabulary.
        collisions: Pieces that its languages have in common; nothing for disjoint languages.
    """

    folder: Path
    form: Form
    cutters: Mapping[Kind, Cutter]
    text: Tokenizer | None = None
    collisions: tuple[Collision, ...] = field(default=())

    @property
    def vocabulary(self) -> SequenceVocabulary | None:
        """The sequence vocabulary, if it is one: it has prefixes, and knows where it was learned."""
        first = next(iter(self.cutters.values())).bulk
        return first if self.form == "sequence vocabulary" and isinstance(first, SequenceVocabulary) else None


def open_subject(folder: Path) -> Subject:
    """Open a sequence vocabulary, a tokenizer with typed spans or shared pieces, or any other ``tokenizer.json``.

    Raises:
        TokenizerError: If the folder holds no pieces.
        FormatError: If a file of it is not what its name says.
    """
    if (folder / _METADATA).is_file():
        vocabulary = SequenceVocabulary.load(folder)
        return Subject(folder, "sequence vocabulary", {vocabulary.kind: Cutter(vocabulary)})
    if not (folder / _TOKENIZER).is_file():
        if (folder / "tokenizer.model").is_file():
            return _plain(folder, load_base(folder).spec)
        problem = "no vocabulary in it" if folder.is_dir() else "no such folder"
        hint = "give a folder of `vocabulary train` or `vocabulary extend`, or one with a tokenizer.json"
        raise TokenizerError(problem, where=folder, hint=hint)
    spec = read_json(folder / _TOKENIZER)
    require_tokenizer(spec, folder / _TOKENIZER)
    config = read_json(folder / _CONFIG) if (folder / _CONFIG).is_file() else {}
    if layout := read_layout(spec):
        return _typed(folder, spec, layout)
    if shared := read_shared(config):
        return _plain(folder, spec, shared.kinds)
    return _plain(folder, spec)


def open_base(folder: Path) -> Tokenizer:
    """The tokenizer of a base, to compare text with.

    Raises:
        TokenizerError: If there is none.
    """
    return Tokenizer.from_str(dump(load_base(folder).spec))


def with_own(subjects: Sequence[Subject]) -> list[Subject]:
    """The subjects, each merged table with the learned vocabularies behind it, where those are among the subjects.

    A merged table keeps the pieces of a vocabulary, but not its merges.
    """
    known = [subject.vocabulary for subject in subjects if subject.vocabulary is not None]
    behind = {(vocabulary.kind, frozenset(vocabulary.pieces)): vocabulary for vocabulary in known}
    found = []
    for subject in subjects:
        cutters = {
            kind: Cutter(cutter.bulk, cutter.stock, cutter.learned, cutter.own or behind.get((kind, cutter.learned)))
            if cutter.learned
            else cutter
            for kind, cutter in subject.cutters.items()
        }
        found.append(Subject(subject.folder, subject.form, cutters, subject.text, subject.collisions))
    return found


def _typed(folder: Path, spec: Mapping[str, Any], layout: SpanLayout) -> Subject:
    tokenizer = Tokenizer.from_str(dump(spec))

    def cutter(kind: Kind, of_kind: KindLayout) -> Cutter:
        own = SequenceVocabulary(kind, of_kind.merges)
        stock = TypedSpans(kind, tokenizer, of_kind.first_piece, of_kind.pieces)
        return Cutter(own, stock, frozenset(own.pieces), own)

    cutters = {kind: cutter(kind, of_kind) for kind, of_kind in layout.kinds.items()}
    return Subject(folder, "typed spans", cutters, tokenizer)


def _plain(folder: Path, spec: Mapping[str, Any], shared: Mapping[Kind, SharedPieces] | None = None) -> Subject:
    """A tokenizer in which sequences stand bare, with the pieces of each kind where they are known."""
    tokenizer = Tokenizer.from_str(dump(spec))
    names = {index: token for token, index in tokenizer.get_vocab(with_added_tokens=True).items()}
    pieces = tuple(names.get(index, "") for index in range(1 + max(names)))
    cutters = {}
    for kind in KINDS if shared is None else shared:
        bare = BareText(kind, tokenizer, pieces)
        learned = None
        if shared is not None:
            ids = (*range(shared[kind].first, shared[kind].stop), *shared[kind].taken)
            learned = frozenset(pieces[index] for index in ids)
        cutters[kind] = Cutter(bare, bare, learned)
    if shared is None:
        return Subject(folder, "plain tokenizer", cutters, tokenizer)
    return Subject(folder, "shared pieces", cutters, tokenizer, tuple(collisions(folder)))
