"""The pieces of one kind of sequence: learned by byte-pair encoding over its letters, saved, loaded, applied."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer, models

from llama_gene.errors import FormatError, SequenceError, TokenizerError
from llama_gene.files import atomic_folder, hash_file, read_object, write_sealed
from llama_gene.sequences.alphabet import ALPHABETS, Kind
from llama_gene.vocabulary.bpe import MAX_PIECES, PieceEncoder, PieceLearner
from llama_gene.vocabulary.normalizer import LETTERS

_TOKENIZER, _METADATA = "tokenizer.json", "vocabulary.json"


@dataclass(frozen=True)
class SequenceVocabulary:
    """The pieces of DNA or of protein, as the merges that build them, in the order they were learned.

    Every prefix of the merges is a vocabulary too. Beside the canonical letters all 26 can be spelled, so N or X is a
    piece of its own; those do not count in `size`.

    Args:
        kind: ``"dna"`` or ``"protein"``.
        merges: Pairs of pieces; each makes one new piece out of earlier ones.
        sources: Where it was learned, as the caller tells it (paths, hashes); saved, and of no influence.

    Raises:
        TokenizerError: If a merge uses a piece that does not exist yet, makes one that does, or can never happen.

    >>> vocabulary = SequenceVocabulary("dna", (("A", "C"), ("AC", "GT")))
    Traceback (most recent call last):
        ...
    llama_gene.errors.TokenizerError: merge 2, 'AC' + 'GT': no piece 'GT' before it
    >>> vocabulary = SequenceVocabulary("dna", (("A", "C"), ("G", "T"), ("AC", "GT")))
    >>> vocabulary.size, vocabulary.encode("ttacgtacn")
    (7, ['T', 'T', 'ACGT', 'AC', 'N'])
    >>> vocabulary.prefix(6).encode("TTACGTAC")
    ['T', 'T', 'AC', 'GT', 'AC']
    """

    kind: Kind
    merges: tuple[tuple[str, str], ...]
    sources: tuple[Mapping[str, Any], ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        _ = self.encoder  # it checks the merges

    @property
    def size(self) -> int:
        """Canonical letters plus merges: 4 is DNA by letters, 20 protein by letters."""
        return len(ALPHABETS[self.kind].letters) + len(self.merges)

    @property
    def pieces(self) -> tuple[str, ...]:
        """All that can stand in an encoded sequence: A to Z, then what the merges make, in order."""
        return (*LETTERS, *(left + right for left, right in self.merges))

    def prefix(self, size: int) -> "SequenceVocabulary":
        """The vocabulary of the first merges alone, as if training had stopped at `size`.

        Raises:
            TokenizerError: If `size` is below the alphabet, or above this vocabulary.
        """
        require_size(self.kind, size)
        if size > self.size:
            raise TokenizerError(f"{size:,} pieces of a vocabulary that has {self.size:,}", hint="train a larger one")
        return SequenceVocabulary(self.kind, self.merges[: len(self.merges) - (self.size - size)], self.sources)

    def encode(self, sequence: str) -> list[str]:
        """Cut a sequence into pieces.

        Raises:
            SequenceError: For anything but letters and white space.
        """
        pieces = self.pieces
        return [pieces[index] for index in self.encoder.encode(sequence).tolist()]

    def encode_batch(self, sequences: Sequence[str], *, num_threads: int | None = None) -> list[NDArray[np.int32]]:
        """Cut many sequences into pieces, on all cores.

        Returns:
            For each sequence its ids along `pieces`: int32[num_tokens].

        Raises:
            SequenceError: For anything but letters and white space.
        """
        return self.encoder.encode_batch(sequences, num_threads=num_threads)

    def tokenizer(self) -> Tokenizer:
        """The vocabulary as a stock tokenizer over upper-case letters; ids count along `pieces`."""
        ids = {piece: number for number, piece in enumerate(self.pieces)}
        return Tokenizer(models.BPE(vocab=ids, merges=list(self.merges)))

    @cached_property
    def encoder(self) -> PieceEncoder:
        """What cuts sequences into ids along `pieces`."""
        return PieceEncoder(self.kind, self.merges)

    def save(self, folder: Path) -> None:
        """Write `folder`: a stock ``tokenizer.json``, and ``vocabulary.json`` with kind, size and sources."""
        with atomic_folder(folder) as draft:
            self.tokenizer().save(str(draft / _TOKENIZER))
            metadata = {"kind": self.kind, "size": self.size, "sources": list(self.sources)}
            write_sealed(draft / _METADATA, metadata | {"sha256": hash_file(draft / _TOKENIZER)})

    @classmethod
    def load(cls, folder: Path) -> "SequenceVocabulary":
        """Read a folder that `save` wrote.

        Raises:
            FormatError: If a file is missing or is not what `save` writes.
        """
        metadata, spec = read_object(folder / _METADATA), read_object(folder / _TOKENIZER)
        hint = "make it again: llama-gene vocabulary train"
        try:
            kind, size = metadata["kind"], metadata["size"]
            merges = tuple((left, right) for left, right in map(_split_merge, spec["model"]["merges"]))
            vocabulary = cls(kind, merges, tuple(metadata["sources"]))
        except (KeyError, TypeError, ValueError, TokenizerError) as error:
            raise FormatError(f"not a sequence vocabulary ({error})", where=folder, hint=hint) from None
        if kind not in ALPHABETS or vocabulary.size != size:
            raise FormatError(f"kind {kind!r}, {vocabulary.size:,} pieces, announced {size:,}", where=folder, hint=hint)
        if metadata.get("sha256") not in (None, hash_file(folder / _TOKENIZER)):
            raise FormatError("not the pieces that were learned", where=folder / _TOKENIZER, hint=hint)
        return vocabulary


def train(
    sequences: Iterable[str],
    kind: Kind,
    size: int,
    *,
    min_count: int = 2,
    both_strands: bool = False,
    num_threads: int | None = None,
    sources: Sequence[Mapping[str, Any]] = (),
) -> SequenceVocabulary:
    """Learn a vocabulary. The same sequences and settings give the same merges, for any number of threads.

    Where the data does not hold enough different pairs, training stops early and the vocabulary is smaller than asked:
    compare its `size`.

    Args:
        sequences: Canonical sequences; runs between ambiguity codes are learned from, each by itself.
        kind: What they are.
        size: Canonical letters plus merges. The alphabet's own size asks for letters only; then nothing is read.
        min_count: A pair seen less often is not merged.
        both_strands: Count DNA on both strands and learn pieces in twos, so that the reverse complement of every piece
            is a piece. A size that cuts a two apart is not reached by one.
        num_threads: None for all cores.
        sources: Kept with the vocabulary.

    Raises:
        TokenizerError: If `size` is below the alphabet or above what ids of 16 bits can hold.
        SequenceError: If there is nothing to learn from.

    >>> vocabulary = train(["ACACACGT", "ACGTNNACG"], "dna", 6)
    >>> vocabulary.merges
    (('A', 'C'), ('AC', 'G'))
    >>> train(["AACAACAAC"], "dna", 8, both_strands=True).pieces[26:]
    ('AA', 'TT', 'GTT', 'AAC')
    """
    learner = PieceLearner(kind, both_strands=both_strands, num_threads=num_threads)
    if size > len(ALPHABETS[kind].letters):
        for sequence in sequences:
            learner.add(sequence)
    return learn_from(learner, kind, size, min_count=min_count, sources=sources)


def learn_from(
    learner: PieceLearner,
    kind: Kind,
    size: int,
    *,
    min_count: int = 2,
    sources: Sequence[Mapping[str, Any]] = (),
    on_merge: Callable[[int], object] | None = None,
) -> SequenceVocabulary:
    """Learn a vocabulary from what was added to `learner`, and use that up.

    Args:
        learner: Of the same kind.
        kind: What the sequences are.
        size: As for `train`.
        min_count: As for `train`.
        sources: Kept with the vocabulary.
        on_merge: Called with the number of merges learned so far.

    Raises:
        TokenizerError: If `size` is below the alphabet or above what ids of 16 bits can hold.
        SequenceError: If there is nothing to learn from.
    """
    require_size(kind, size)
    num_merges = size - len(ALPHABETS[kind].letters)
    merges: Sequence[tuple[str, str]] = ()
    if num_merges:
        if not learner.num_letters:
            message = f"no {kind} to learn from: no two unambiguous letters stand together"
            raise SequenceError(message, hint="check the files")
        if learner.variety == 1:
            raise SequenceError("nothing to learn: the data has one letter only", hint="check the files")
        merges = learner.learn(num_merges, min_count=min_count, progress=on_merge)
    return SequenceVocabulary(kind, tuple(merges), tuple(sources))


def require_size(kind: Kind, size: int) -> None:
    """Check that a vocabulary can have so many pieces.

    Raises:
        TokenizerError: If it is fewer than the alphabet has letters, or more than ids of 16 bits can hold.
    """
    letters = ALPHABETS[kind].letters
    if size < len(letters):
        hint = f"{len(letters)} is {kind} by letters; ask for that or more"
        raise TokenizerError(f"a vocabulary of {size} is below the {len(letters)} letters of {kind}", hint=hint)
    # Beside the canonical letters all others can be spelled.
    most = MAX_PIECES - len(LETTERS) + len(letters)
    if size > most:
        raise TokenizerError(f"a vocabulary of {size:,} pieces", hint=f"{most:,} are the most for {kind}")


def _split_merge(merge: str | list[str]) -> list[str]:
    # `tokenizers` writes pairs; older files have both halves in one string.
    return merge.split(" ") if isinstance(merge, str) else merge
