"""Byte-pair encoding of sequences, in the native core: learn merges, and apply them to gigabytes.

What is learned and what is applied is what Hugging Face `tokenizers` would learn and apply, to the last tie; only the
time and the memory differ.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from llama_gene import _native
from llama_gene.errors import TokenizerError
from llama_gene.sequences.alphabet import ALPHABETS, Kind, complement, reverse_complement
from llama_gene.vocabulary.normalizer import LETTERS, NUM_LETTERS, bare_letters, require_letters

MAX_PIECES = _native.MAX_PIECES
Pair = tuple[str, str]


def num_cpus() -> int:
    """The cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class PieceLearner:
    """Collects sequences, then learns the merges of one kind.

    Args:
        kind: What the sequences are.
        both_strands: For DNA: count on both strands, and make pieces in twos, each with its reverse complement, so that
            the vocabulary is closed under it. Takes twice the memory and the time.
        num_threads: None for all cores. The merges do not depend on it.

    >>> learner = PieceLearner("dna")
    >>> learner.add("ACACACGTNNACG")
    >>> learner.learn(2)
    [('A', 'C'), ('AC', 'G')]
    """

    def __init__(self, kind: Kind, *, both_strands: bool = False, num_threads: int | None = None) -> None:
        if both_strands and kind != "dna":
            raise TokenizerError(f"{kind} has one strand", hint="pieces in twos are for DNA")
        self._letters = "".join(sorted(ALPHABETS[kind].letters))  # ties go by the order of letters
        self._both_strands = both_strands
        opposite = complement(self._letters) if both_strands else ""
        self._trainer = _native.BpeTrainer(self._letters, num_threads or num_cpus(), opposite)

    def add(self, sequence: str) -> None:
        """Add the runs of unambiguous letters in a canonical sequence, each by itself."""
        self._trainer.add(sequence)
        if self._both_strands:
            self._trainer.add(reverse_complement(sequence))

    @property
    def num_letters(self) -> int:
        """Letters in runs of two or more, on all strands counted."""
        return self._trainer.num_letters

    @property
    def variety(self) -> int:
        """How many different letters there are."""
        return self._trainer.variety

    def learn(
        self, num_merges: int, *, min_count: int = 2, progress: Callable[[int], object] | None = None
    ) -> list[Pair]:
        """Learn merges; uses up what was added.

        Args:
            num_merges: How many at most. With both strands it may be one less, since they come in twos.
            min_count: A pair that occurs less often is not merged; it ends the learning.
            progress: Called now and then with the number of merges so far.

        Returns:
            Pairs of pieces in the order they were learned.

        Raises:
            KeyboardInterrupt: On Ctrl-C, within a moment.
        """
        pieces = list(self._letters)
        merges: list[Pair] = []
        learned = self._trainer.train(num_merges, min_count, progress or _silent)
        for left, right in learned.tolist():
            merges.append((pieces[left], pieces[right]))
            pieces.append(pieces[left] + pieces[right])
        return merges


class PieceEncoder:
    """Cuts sequences into pieces, exactly, in time that grows with their length.

    Args:
        kind: What the sequences are.
        merges: Pairs of pieces over A to Z, oldest first.
        first_id: The id of the piece "A"; the others follow: B to Z, then what the merges make.

    Raises:
        TokenizerError: If there are too many pieces, or a merge can never happen: one of a piece that is not there
            yet, or one whose letters an earlier merge always takes.

    >>> encoder = PieceEncoder("dna", [("A", "C"), ("G", "T"), ("AC", "GT")], first_id=100)
    >>> encoder.encode("ttacgtacn").tolist()
    [119, 119, 128, 126, 113]
    """

    def __init__(self, kind: Kind, merges: Iterable[Pair], first_id: int = 0) -> None:
        self._kind: Kind = kind
        self._first_id = first_id
        ids = {letter: place for place, letter in enumerate(LETTERS)}
        pairs = []
        for number, (left, right) in enumerate(merges, start=1):
            for half in (left, right):
                if half not in ids:
                    raise TokenizerError(f"merge {number:,}, {left!r} + {right!r}: no piece {half!r} before it")
            if left + right in ids:
                raise TokenizerError(f"merge {number:,}, {left!r} + {right!r}: the piece exists already")
            pairs.append((ids[left], ids[right]))
            ids[left + right] = len(ids)
        if len(ids) > MAX_PIECES:
            raise TokenizerError(f"{len(ids):,} pieces of {kind}", hint=f"{MAX_PIECES:,} are the most")
        try:
            self._encoder = _native.BpeEncoder(NUM_LETTERS, np.array(pairs, dtype=np.uint16).reshape(-1, 2))
        except ValueError as error:
            raise TokenizerError(f"not the merges of a vocabulary: {error}", hint="train it again") from None
        self._meaning = _meaning(kind)

    def encode(self, sequence: str) -> NDArray[np.int32]:
        """The ids of one sequence: int32[num_tokens]. Case and white space do not matter, U is T in DNA.

        Raises:
            SequenceError: For anything but letters and white space.
        """
        return self.encode_batch([sequence], num_threads=1)[0]

    def encode_batch(self, sequences: Sequence[str], *, num_threads: int | None = None) -> list[NDArray[np.int32]]:
        """The ids of each sequence, in order; long ones are shared out over the threads, too.

        Args:
            sequences: Of any length. Case and white space do not matter, U is T in DNA.
            num_threads: None for all cores.

        Raises:
            SequenceError: For anything but letters and white space.
        """
        num_threads = num_threads or num_cpus()
        try:
            ids, offsets = self._encoder.encode(list(sequences), self._meaning, num_threads)
        except ValueError:
            # White space beyond ASCII is none to the core. If it is something else, this says which letter is none.
            plain = [require_letters(self._kind, text) for text in sequences]
            ids, offsets = self._encoder.encode(plain, self._meaning, num_threads)
        if self._first_id:
            ids += self._first_id
        return [ids[start:stop] for start, stop in pairwise(offsets.tolist())]


def _meaning(kind: Kind) -> bytes:
    """What each byte of a sequence means to the core: the place of its letter, or that it is skipped or refused."""
    meaning = bytearray([_native.REFUSED]) * 256
    for code in range(128):
        letter = bare_letters(kind, chr(code))
        if letter is not None:
            meaning[code] = LETTERS.index(letter) if letter else _native.SKIPPED
    return bytes(meaning)


def _silent(_: int) -> None:
    pass
