"""K-mers of sequences as sparse matrices: how often, and where. What is learned from them stands in `baselines`."""

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Kind = Literal["dna", "protein"]
Integers = npt.NDArray[np.int64]
Matrix = Any  # scipy.sparse.csr_matrix: scipy has no types, and is loaded late

LETTERS: dict[Kind, str] = {"dna": "ACGT", "protein": "ACDEFGHIKLMNPQRSTVWY"}


class KmerTable:
    """All k-mers of some sequences, k = 1 .. `max_k`, found once and put into columns in several ways.

    A k-mer with a letter outside the alphabet (N, X and the other ambiguity codes) is left out.

    Args:
        sequences: Canonical sequences, n of them.
        kind: Their alphabet.
        max_k: The longest k-mer.

    >>> table = KmerTable(["ACA", "CN"], "dna", max_k=2)
    >>> table.counts().toarray()[:, :4].astype(int).tolist()
    [[2, 1, 0, 0], [0, 1, 0, 0]]
    """

    def __init__(self, sequences: Sequence[str], kind: Kind, max_k: int) -> None:
        self.lengths: Integers = np.array([len(sequence) for sequence in sequences], dtype=np.int64)
        self.num_letters = len(LETTERS[kind])
        self.max_k = max_k
        letter_of = np.full(256, -1, dtype=np.int64)
        letter_of[np.frombuffer(LETTERS[kind].encode(), dtype=np.uint8)] = np.arange(self.num_letters)
        # A line end after each sequence is no letter, so that no k-mer runs over into the next sequence.
        text = "".join(f"{sequence}\n" for sequence in sequences).encode("ascii", "replace")
        self._letters = letter_of[np.frombuffer(text, dtype=np.uint8)]
        self._row = np.repeat(np.arange(len(sequences)), self.lengths + 1)
        self._place = np.arange(len(text)) - np.repeat(np.cumsum(self.lengths + 1) - self.lengths - 1, self.lengths + 1)

    def _found(self, max_k: int) -> Iterator[tuple[Integers, Integers, Integers, int]]:
        """For each k: row, place in the row and number of each k-mer found, and how many k-mers there are."""
        number = self._letters
        for k in range(1, max_k + 1):
            if k > 1:
                last = self._letters[k - 1 :]
                number = np.where((number[:-1] < 0) | (last < 0), -1, number[:-1] * self.num_letters + last)
            kept = np.flatnonzero(number >= 0)
            yield self._row[kept], self._place[kept], number[kept], self.num_letters**k

    def counts(self) -> Matrix:
        """How often each k-mer stands in each row; [n, sum of letters ** k], the 1-mers first."""
        return self._stack((row, number, width) for row, _, number, width in self._found(self.max_k))

    def at_places(self, num_places: int, max_k: int, *, from_end: bool = False) -> Matrix:
        """Which k-mer (k up to `max_k`) stands at each of the first (or last) `num_places`; [n, places * k-mers]."""
        return self._stack(self._placed(num_places, max_k, from_end))

    def _placed(self, num_places: int, max_k: int, from_end: bool) -> Iterator[tuple[Integers, Integers, int]]:
        for row, place, number, width in self._found(max_k):
            where = self.lengths[row] - 1 - place if from_end else place
            near = where < num_places
            yield row[near], where[near] * width + number[near], num_places * width

    def in_bins(self, num_bins: int, max_k: int) -> Matrix:
        """How often each k-mer (k up to `max_k`) stands in each of `num_bins` equal parts; [n, bins * k-mers]."""
        return self._stack(
            (row, place * num_bins // self.lengths[row] * width + number, num_bins * width)
            for row, place, number, width in self._found(max_k)
        )

    def _stack(self, parts: Iterator[tuple[Integers, Integers, int]]) -> Matrix:
        from scipy.sparse import coo_matrix, hstack  # type: ignore[import-untyped]

        n = len(self.lengths)
        blocks = [
            coo_matrix((np.ones(len(row), dtype=np.float32), (row, column)), shape=(n, width)).tocsr()
            for row, column, width in parts
        ]
        return hstack(blocks, format="csr")
