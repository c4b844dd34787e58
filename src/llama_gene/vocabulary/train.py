"""Learn the pieces of one kind of sequence: byte-pair encoding over its letters.

The trainer is the one of Hugging Face `tokenizers`, fed with bounded windows: on a whole chromosome without white space
it would not finish. No window joins two records.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, models, trainers

from llama_gene.errors import FormatError, SequenceError, TokenizerError
from llama_gene.files import atomic_folder, read_json, write_json
from llama_gene.sequences.alphabet import ALPHABETS, Kind
from llama_gene.vocabulary.normalizer import LETTERS, require_letters

WINDOW = 512
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
        TokenizerError: If a merge uses a piece that does not exist yet, or makes one that does.

    >>> vocabulary = SequenceVocabulary("dna", (("A", "C"), ("AC", "GT")))
    Traceback (most recent call last):
        ...
    llama_gene.errors.TokenizerError: merge 2 of 2, 'AC' + 'GT': no piece 'GT' before it
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
        known = set(LETTERS)
        for number, (left, right) in enumerate(self.merges, start=1):
            merge = f"merge {number:,} of {len(self.merges):,}, {left!r} + {right!r}"
            for half in (left, right):
                if half not in known:
                    raise TokenizerError(f"{merge}: no piece {half!r} before it")
            if left + right in known:
                raise TokenizerError(f"{merge}: the piece {left + right!r} exists already")
            known.add(left + right)

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
        _require_alphabet(self.kind, size)
        if size > self.size:
            raise TokenizerError(f"{size:,} pieces of a vocabulary that has {self.size:,}", hint="train a larger one")
        return SequenceVocabulary(self.kind, self.merges[: len(self.merges) - (self.size - size)], self.sources)

    def encode(self, sequence: str) -> list[str]:
        """Cut a sequence into pieces.

        Raises:
            SequenceError: For anything but letters and white space.
        """
        tokens: list[str] = self._bpe.encode(require_letters(self.kind, sequence)).tokens
        return tokens

    def tokenizer(self) -> Tokenizer:
        """The vocabulary as a stock tokenizer over upper-case letters; ids count along `pieces`."""
        ids = {piece: number for number, piece in enumerate(self.pieces)}
        return Tokenizer(models.BPE(vocab=ids, merges=list(self.merges)))

    @cached_property
    def _bpe(self) -> Tokenizer:
        return self.tokenizer()

    def save(self, folder: Path) -> None:
        """Write `folder`: a stock ``tokenizer.json``, and ``vocabulary.json`` with kind, size and sources."""
        with atomic_folder(folder) as draft:
            self.tokenizer().save(str(draft / _TOKENIZER))
            write_json(draft / _METADATA, {"kind": self.kind, "size": self.size, "sources": list(self.sources)})

    @classmethod
    def load(cls, folder: Path) -> "SequenceVocabulary":
        """Read a folder that `save` wrote.

        Raises:
            FormatError: If a file is missing or is not what `save` writes.
        """
        metadata, spec = read_json(folder / _METADATA), read_json(folder / _TOKENIZER)
        hint = "make it again: llama-gene vocabulary train"
        try:
            kind, size = metadata["kind"], metadata["size"]
            merges = tuple((left, right) for left, right in map(_split_merge, spec["model"]["merges"]))
            vocabulary = cls(kind, merges, tuple(metadata["sources"]))
        except (KeyError, TypeError, ValueError, TokenizerError) as error:
            raise FormatError(f"not a sequence vocabulary ({error})", where=folder, hint=hint) from None
        if kind not in ALPHABETS or vocabulary.size != size:
            raise FormatError(f"kind {kind!r}, {vocabulary.size:,} pieces, announced {size:,}", where=folder, hint=hint)
        return vocabulary


def train(
    sequences: Iterable[str],
    kind: Kind,
    size: int,
    *,
    window: int = WINDOW,
    min_count: int = 2,
    sources: Sequence[Mapping[str, Any]] = (),
    progress: Callable[[int], None] | None = None,
) -> SequenceVocabulary:
    """Learn a vocabulary. The same sequences and settings give the same merges.

    Where the data does not hold enough different pairs, training stops early and the vocabulary is smaller than asked:
    compare its `size`.

    Args:
        sequences: Canonical sequences; runs between ambiguity codes are learned from, each by itself.
        kind: What they are.
        size: Canonical letters plus merges. The alphabet's own size asks for letters only; then nothing is read.
        window: Runs are cut into windows of this many letters.
        sample: Learn from at most about this many letters, drawn evenly from all windows (one pass, bounded memory).
            None takes everything.
        seed: Of the drawing.
        min_count: A pair seen less often is not merged.
        sources: Kept with the vocabulary.
        progress: Called with the number of letters read so far.

    Raises:
        TokenizerError: If `size` is below the alphabet, or a setting makes no sense.
        SequenceError: If there is nothing to learn from.

    >>> vocabulary = train(["ACACACGT", "ACGTNNACG"], "dna", 6)
    >>> vocabulary.merges
    (('A', 'C'), ('AC', 'G'))
    """
    _require_alphabet(kind, size)
    if window < 2:
        raise TokenizerError(f"windows of {window} letters", hint="give 2 or more")
    merges: tuple[tuple[str, str], ...] = ()
    num_letters = len(ALPHABETS[kind].letters)
    if size > num_letters:
        drawn = list(_windows(sequences, kind, window, progress))
        _require_variety(drawn, kind)
        merges = _merges(drawn, kind, size, min_count)
    return SequenceVocabulary(kind, merges, tuple(sources))


def _windows(
    sequences: Iterable[str], kind: Kind, window: int, progress: Callable[[int], None] | None
) -> Iterator[str]:
    num_read = 0
    for sequence in sequences:
        for _, run in ALPHABETS[kind].pure_runs(sequence, 2):
            for start in range(0, len(run) - 1, window):
                yield run[start : start + window]
        num_read += len(sequence)
        if progress is not None:
            progress(num_read)


def _merges(windows: list[str], kind: Kind, size: int, min_count: int) -> tuple[tuple[str, str], ...]:
    trainer = trainers.BpeTrainer(
        vocab_size=size, initial_alphabet=list(ALPHABETS[kind].letters), min_frequency=min_count, show_progress=False
    )
    tokenizer = Tokenizer(models.BPE())
    tokenizer.train_from_iterator(windows, trainer, length=len(windows))
    spec = json.loads(tokenizer.to_str())
    return tuple((left, right) for left, right in map(_split_merge, spec["model"]["merges"]))


def _split_merge(merge: str | list[str]) -> list[str]:
    # `tokenizers` writes pairs; older files have both halves in one string.
    return merge.split(" ") if isinstance(merge, str) else merge


def _require_alphabet(kind: Kind, size: int) -> None:
    letters = ALPHABETS[kind].letters
    if size < len(letters):
        hint = f"{len(letters)} is {kind} by letters; ask for that or more"
        raise TokenizerError(f"a vocabulary of {size} is below the {len(letters)} letters of {kind}", hint=hint)


def _require_variety(windows: list[str], kind: Kind) -> None:
    if not windows:
        raise SequenceError(
            f"no {kind} to learn from: no two unambiguous letters stand together", hint="check the files"
        )
    letters: set[str] = set()
    for window in windows:
        letters.update(window)
        if len(letters) > 1:
            return
    raise SequenceError(f"nothing to learn: {letters.pop()!r} is the only letter in the data", hint="check the files")
