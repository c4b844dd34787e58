"""Which sequences hold a share of the k-mers of others: exact, by an inverted index of the rarest k-mers.

Of n distinct k-mers a sequence must share `need` with another one to be held by it. Of *any* n - need + m of its k-mers
the two then share at least m. So only so many, the rarest, are listed in the index, and who shares m of these is a
candidate: repeats and constant flanks, which would make most of the work, are not even listed. Candidates are verified
by all k-mers, so that nothing is missed and nothing is there too much.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llama_gene.config import LeakageSettings
from llama_gene.sequences.alphabet import ALPHABETS, Kind, reverse_complement
from llama_gene.sequences.kmers import KmerLookup, kmers_of_each

Integers = NDArray[np.int64]
Pairs = tuple[Integers, Integers]

# The m above: a quarter of what is needed, but not less than four. The more, the fewer candidates are there by chance,
# and the more is listed; half and an eighth take about as long.
_LEAST_SHARE, _MIN_LEAST = 4, 4
_MAX_FREQUENCY = 1 << 16  # beyond it one k-mer is as frequent as the other
_CHUNK = 1 << 22  # letters or k-mers at a time


def canonical_strand(kind: Kind, sequence: str) -> str:
    """The same for a sequence of DNA and its reverse complement; a protein is itself.

    >>> canonical_strand("dna", "TTG")
    'CAA'
    """
    return min(sequence, reverse_complement(sequence)) if kind == "dna" else sequence


def ranges(starts: Integers, counts: Integers) -> Integers:
    """start, start + 1, ... of each of several ranges, one after the other.

    >>> ranges(np.array([5, 0]), np.array([2, 3])).tolist()
    [5, 6, 0, 1, 2]
    """
    before = np.cumsum(counts) - counts
    found: Integers = np.arange(counts.sum()) + np.repeat(starts - before, counts)
    return found


def distinct(numbers: Integers) -> Integers:
    """The numbers from the least to the greatest, each once; in a fifth of the time of `np.unique`, which hashes."""
    numbers = np.sort(numbers)
    found: Integers = numbers[np.diff(numbers, prepend=-1) != 0]
    return found


@dataclass(frozen=True, slots=True)
class Block:
    """Sequences as the index sees them.

    Attributes:
        keys: int64, sorted: the number of a sequence times the k-mers of the index, plus the number of a k-mer that it
            has.
        equals: For the sequences of the index that are too short for a k-mer: their numbers, and those of the equal
            ones here.
        num: How many sequences there are.
    """

    keys: Integers
    equals: Pairs
    num: int


class ContainmentIndex:
    """Sequences, to be found in others.

    Args:
        sequences: Canonical sequences, each once.
        kind: What they are.
        rule: How long a k-mer is, and what share of them it takes.

    Attributes:
        num_kmers: int64[n], the distinct k-mers of each; 0 where it is too short, or has none without an ambiguous
            letter. Such a sequence is held by its equal only (on either strand).
    """

    def __init__(self, sequences: Sequence[str], kind: Kind, rule: LeakageSettings) -> None:
        self._kind, self._k = kind, rule.k_of(kind)
        owners, codes = kmers_of_each(sequences, self._k, ALPHABETS[kind])
        vocabulary, ranks = np.unique(codes, return_inverse=True)
        self._lookup = KmerLookup(vocabulary)
        owners, self._ranks = np.divmod(distinct(owners * len(vocabulary) + ranks), max(len(vocabulary), 1))
        self.num_kmers: Integers = np.bincount(owners, minlength=len(sequences))
        self._starts = np.cumsum(self.num_kmers) - self.num_kmers
        # Not a hair more than the share, by rounding.
        self._need = np.maximum(np.ceil(rule.threshold * self.num_kmers - 1e-9).astype(np.int64), 1)
        self._least = np.minimum(self._need, np.maximum(self._need // _LEAST_SHARE, _MIN_LEAST))
        self._list(owners)
        self._short: dict[str, list[int]] = {}
        for number in np.flatnonzero(self.num_kmers == 0).tolist():
            self._short.setdefault(canonical_strand(kind, sequences[number]), []).append(number)

    def _list(self, owners: Integers) -> None:
        """Note under each of the rarest k-mers of a sequence the number of that."""
        frequency = np.minimum(np.bincount(self._ranks), _MAX_FREQUENCY - 1)
        rarest_first = np.argsort(owners * _MAX_FREQUENCY + frequency[self._ranks])
        place = np.arange(len(owners)) - self._starts[owners]
        listed = rarest_first[place < (self.num_kmers - self._need + self._least)[owners]]
        listed.sort()
        by_rank = np.argsort(self._ranks[listed], kind="stable")
        self._listed = owners[listed][by_rank]
        ends = np.cumsum(np.bincount(self._ranks[listed], minlength=len(self._lookup)))
        self._list_ends = np.concatenate([[0], ends])

    def forget(self, done: NDArray[np.bool_]) -> None:
        """Give no candidates any more for the sequences in bool[n] `done`."""
        kept = ~done[self._listed]
        self._list_ends = np.concatenate([[0], np.cumsum(kept)])[self._list_ends]
        self._listed = self._listed[kept]

    def block(self, sequences: Sequence[str]) -> Block:
        """What the index knows of the k-mers of `sequences`."""
        owners, codes = kmers_of_each(sequences, self._k, ALPHABETS[self._kind])
        known, ranks = self._lookup.find(codes)
        keys = distinct(owners[known] * len(self._lookup) + ranks)
        equals: list[tuple[int, int]] = []
        if self._short:
            strands = (canonical_strand(self._kind, sequence) for sequence in sequences)
            equals = [(mine, other) for other, text in enumerate(strands) for mine in self._short.get(text, ())]
        mine, others = np.array(sorted(equals), dtype=np.int64).reshape(-1, 2).T
        return Block(keys, (mine, others), len(sequences))

    def candidates(self, block: Block) -> Iterator[Pairs]:
        """Numbers of sequences here, and of those in `block` that may hold them; every pair that does is among them."""
        yield block.equals
        owners, ranks = np.divmod(block.keys, max(len(self._lookup), 1))
        counts = self._list_ends[ranks + 1] - self._list_ends[ranks]
        listed = np.flatnonzero(counts)
        owners, ranks, counts = owners[listed], ranks[listed], counts[listed]
        ends = np.cumsum(counts)
        start = 0
        while start < len(owners):
            # Whole sequences only; one of them takes no more than all lists together.
            full = np.searchsorted(ends, ends[start] - counts[start] + _CHUNK, side="right")
            stop = int(np.searchsorted(owners, owners[full])) if full < len(owners) else len(owners)
            if stop <= start:
                stop = int(np.searchsorted(owners, owners[start], side="right"))
            part = slice(start, stop)
            mine = self._listed[ranges(self._list_ends[ranks[part]], counts[part])]
            pairs = np.sort(mine * block.num + np.repeat(owners[part], counts[part]))
            first = np.flatnonzero(np.diff(pairs, prepend=-1))
            shared = np.diff(first, append=len(pairs))
            mine, others = np.divmod(pairs[first], block.num)
            enough = shared >= self._least[mine]
            yield mine[enough], others[enough]
            start = stop

    def shares(self, block: Block, mine: Integers, others: Integers) -> NDArray[np.float64]:
        """The share of the k-mers of each of `mine` that stand in its one of `others`, or 0 if that is too little."""
        counts = self.num_kmers[mine]
        shared = np.zeros(len(mine), dtype=np.int64)
        for part in parts(counts):
            ranks = self._ranks[ranges(self._starts[mine[part]], counts[part])]
            wanted = np.repeat(others[part] * len(self._lookup), counts[part]) + ranks
            places = np.minimum(np.searchsorted(block.keys, wanted), max(len(block.keys) - 1, 0))
            found = block.keys[places] == wanted if len(block.keys) else np.zeros(len(wanted), np.bool_)
            which = np.repeat(np.arange(len(counts[part])), counts[part])
            shared[part] = np.bincount(which[found], minlength=len(counts[part]))
        # Only its equal is a candidate for one without k-mers.
        share = np.where(counts > 0, shared / np.maximum(counts, 1), 1.0)
        return np.where((shared >= self._need[mine]) | (counts == 0), share, 0.0)


def parts(counts: Integers) -> Iterator[slice]:
    """Slices of `counts` that sum up to four million at most, or are of one."""
    ends = np.cumsum(counts)
    start = 0
    while start < len(counts):
        before = ends[start] - counts[start]
        stop = max(int(np.searchsorted(ends, before + _CHUNK, side="right")), start + 1)
        yield slice(start, stop)
        start = stop


def verify(
    mine: Integers,
    others: Integers,
    shares: Callable[[Integers, Integers], NDArray[np.float64]],
    is_open: Callable[[Integers, Integers], NDArray[np.bool_]],
) -> Iterator[tuple[Integers, Integers, NDArray[np.float64]]]:
    """The candidates that hold, with their shares, in rounds: of each of `mine` the first, the next two, the next four.

    Args:
        mine: Candidates, sorted.
        others: What may hold them, sorted where `mine` is equal.
        shares: The share of each pair, 0 if that is too little.
        is_open: Whether each pair is still asked for after a round; one found is enough where there are a thousand.
    """
    width = 1
    while len(mine):
        place = np.arange(len(mine)) - np.searchsorted(mine, mine)
        now = place < width
        share = shares(mine[now], others[now])
        held = share > 0
        yield mine[now][held], others[now][held], share[held]
        later = ~now & is_open(mine, others)
        mine, others = mine[later], others[later]
        width *= 2
