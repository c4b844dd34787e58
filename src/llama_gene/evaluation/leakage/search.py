"""The search for test rows in training rows, which are read one block at a time; all of it is exact."""

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from llama_gene.config import LeakageSettings
from llama_gene.evaluation.leakage.containment import (
    Block,
    ContainmentIndex,
    Integers,
    Pairs,
    canonical_strand,
    ranges,
    verify,
)
from llama_gene.evaluation.leakage.leaks import LEAK_KINDS, Leak, Leakage, LeakKind
from llama_gene.sequences.alphabet import Kind
from llama_gene.tasks.task import Example

# Letters in a block. The first ones are small: after them, the rows of large families are found and need no more work.
_FIRST_BLOCK, _LAST_BLOCK = 1 << 18, 1 << 22


def find_leaks(
    test: Iterable[Example], train: Iterable[Example], kinds: Sequence[Kind], rule: LeakageSettings
) -> Leakage:
    """Look for test rows in training rows.

    Args:
        test: The test rows; they are kept in memory.
        train: The training rows; they are read once, and not kept.
        kinds: What each sequence of a row is.
        rule: The k-mers, and the share of them.
    """
    search = _Search(list(test), kinds, rule)
    num_train = 0
    for rows in _blocks(train):
        search.look_into(rows)
        num_train += len(rows)
    return Leakage(rule, len(search.rows), num_train, search.short(), search.leaks())


def find_leaks_of_parts(
    test: Iterable[Example],
    documents: Callable[[Kind], Iterable[Example]],
    kinds: Sequence[Kind],
    rule: LeakageSettings,
) -> Leakage:
    """Look for test rows in a corpus, whose documents are single sequences: all parts of a row stand somewhere in it.

    Args:
        test: The test rows.
        documents: The documents of a kind, of one sequence each; they are read once for each input.
        kinds: What each sequence of a row is.
        rule: The k-mers, and the share of them.
    """
    rows = list(test)
    parts = [
        find_leaks((Example(row.id, (row.sequences[place],)) for row in rows), documents(kind), [kind], rule)
        for place, kind in enumerate(kinds)
    ]
    by_row = [{leak.row: leak for leak in part.leaks} for part in parts]
    # The part that is known the least says how well the row is known.
    leaks = [
        max((leaks[row] for leaks in by_row), key=lambda leak: (LEAK_KINDS.index(leak.kind), -leak.share))
        for row in range(len(rows))
        if all(row in leaks for leaks in by_row)
    ]
    short = sorted(set().union(*(part.short for part in parts)))
    return Leakage(rule, len(rows), sum(part.num_train for part in parts), tuple(short), tuple(leaks))


def row_key(kinds: Sequence[Kind], sequences: Sequence[str]) -> tuple[str, ...]:
    """The same for rows that are exact copies or reverse complements of each other; of a pair in either order.

    >>> row_key(["dna", "dna"], ["TTG", "CCC"]) == row_key(["dna", "dna"], ["CCC", "CAA"])
    True
    """
    strands = [canonical_strand(kind, sequence) for kind, sequence in zip(kinds, sequences, strict=True)]
    return tuple(sorted(strands) if _is_symmetric(kinds) else strands)


def _is_symmetric(kinds: Sequence[Kind]) -> bool:
    return len(kinds) == 2 and kinds[0] == kinds[1]


def _blocks(rows: Iterable[Example]) -> Iterator[list[Example]]:
    block: list[Example] = []
    size, limit = 0, _FIRST_BLOCK
    for row in rows:
        block.append(row)
        size += sum(map(len, row.sequences))
        if size >= limit:
            yield block
            block, size, limit = [], 0, min(2 * limit, _LAST_BLOCK)
    if block:
        yield block


class _Numbers:
    """The distinct sequences of one kind, numbered, and for each place in a row the rows that have each there."""

    def __init__(self, rows: Sequence[Sequence[str]], places: Sequence[int]) -> None:
        numbers: dict[str, int] = {}
        self.of_row = {
            place: np.array([numbers.setdefault(row[place], len(numbers)) for row in rows], dtype=np.int64)
            for place in places
        }
        self.sequences = list(numbers)
        self._rows = {place: np.argsort(column, kind="stable") for place, column in self.of_row.items()}
        self._counts = {place: np.bincount(column, minlength=len(numbers)) for place, column in self.of_row.items()}

    def rows_with(self, place: int, numbers: Integers) -> tuple[Integers, Integers]:
        """The rows that have each of `numbers` at `place`, one number after the other; and how many these are."""
        counts = self._counts[place]
        starts = np.cumsum(counts) - counts
        return self._rows[place][ranges(starts[numbers], counts[numbers])], counts[numbers]


class _Search:
    """The test rows, and what was found of them so far."""

    def __init__(self, rows: list[Example], kinds: Sequence[Kind], rule: LeakageSettings) -> None:
        self.rows, self._kinds = rows, kinds
        self._places = {kind: [place for place, one in enumerate(kinds) if one == kind] for kind in sorted(set(kinds))}
        sequences = [row.sequences for row in rows]
        self._numbers = {kind: _Numbers(sequences, places) for kind, places in self._places.items()}
        self._indexes = {kind: ContainmentIndex(one.sequences, kind, rule) for kind, one in self._numbers.items()}
        self._by_key: dict[tuple[str, ...], list[int]] = {}
        for number, row in enumerate(rows):
            self._by_key.setdefault(row_key(kinds, row.sequences), []).append(number)
        self._lengths = {tuple(sorted(map(len, row.sequences))) for row in rows}
        self._found: dict[int, Leak] = {}
        self._is_found = np.zeros(len(rows), dtype=np.bool_)

    def short(self) -> tuple[int, ...]:
        short = np.zeros(len(self.rows), dtype=np.bool_)
        for kind, numbers in self._numbers.items():
            for column in numbers.of_row.values():
                short |= self._indexes[kind].num_kmers[column] == 0
        return tuple(np.flatnonzero(short).tolist())

    def leaks(self) -> tuple[Leak, ...]:
        return tuple(self._found[row] for row in sorted(self._found))

    def look_into(self, train: Sequence[Example]) -> None:
        for row in train:
            # Most rows have not even the lengths of a test row, and need no reverse complement.
            if tuple(sorted(map(len, row.sequences))) in self._lengths:
                for number in self._by_key.get(row_key(self._kinds, row.sequences), ()):
                    self._note_equal(number, row)
        self._forget()
        self._note_shared(train)
        self._forget()

    def _note_equal(self, number: int, train: Example) -> None:
        mine = self.rows[number]
        same = mine.sequences == train.sequences
        same |= _is_symmetric(self._kinds) and mine.sequences == train.sequences[::-1]
        kind: LeakKind = "exact" if same else "reverse complement"
        before = self._found.get(number)
        if before is None or LEAK_KINDS.index(kind) < LEAK_KINDS.index(before.kind):
            self._note(Leak(number, mine.id, kind, train.id, 1.0))

    def _note(self, leak: Leak) -> None:
        self._found[leak.row] = leak
        self._is_found[leak.row] = True

    def _forget(self) -> None:
        """What all rows that have it are found with needs no more search."""
        for kind, numbers in self._numbers.items():
            wanted = np.zeros(len(numbers.sequences), dtype=np.bool_)
            for column in numbers.of_row.values():
                wanted[column[~self._is_found]] = True
            self._indexes[kind].forget(~wanted)

    def _note_shared(self, train: Sequence[Example]) -> None:
        rows = [row.sequences for row in train]
        if _is_symmetric(self._kinds):
            # Either order: the turned row stands behind its own, so that the first one is found first.
            rows = [either for row in rows for either in (row, row[::-1])]
        step = len(rows) // len(train)
        theirs = {kind: _Numbers(rows, places) for kind, places in self._places.items()}
        blocks = {kind: self._indexes[kind].block(one.sequences) for kind, one in theirs.items()}

        def shares(mine: Integers, others: Integers) -> NDArray[np.float64]:
            of_parts = []
            for place, kind in enumerate(self._kinds):
                pair = self._numbers[kind].of_row[place][mine], theirs[kind].of_row[place][others]
                of_parts.append(self._indexes[kind].shares(blocks[kind], *pair))
            least: NDArray[np.float64] = np.minimum.reduce(of_parts)
            return least

        def is_open(mine: Integers, _: Integers) -> NDArray[np.bool_]:
            return ~self._is_found[mine]

        for keys in self._candidates(theirs, blocks, len(rows)):
            for mine, others, share in verify(*np.divmod(keys, len(rows)), shares, is_open):
                first = np.flatnonzero(np.diff(mine, prepend=-1))
                for row, other, value in zip(mine[first], others[first], share[first], strict=True):
                    found = train[int(other) // step]
                    self._note(Leak(int(row), self.rows[row].id, "shared k-mers", found.id, float(value)))

    def _candidates(self, theirs: dict[Kind, "_Numbers"], blocks: dict[Kind, Block], num: int) -> Iterator[Integers]:
        """Test rows that may be leaked, each times `num` plus the number of the row that may leak it; sorted."""
        by_kind = {kind: index.candidates(blocks[kind]) for kind, index in self._indexes.items()}
        if len(self._kinds) == 1:
            for pairs in by_kind[self._kinds[0]]:
                yield self._as_rows(theirs, 0, pairs, num)
            return
        # Row by row only where all sequences of one are candidates.
        gathered: dict[Kind, Pairs] = {}
        for kind, parts in by_kind.items():
            mine, others = zip(*parts, strict=True)
            gathered[kind] = np.concatenate(mine), np.concatenate(others)
        of_places = [self._as_rows(theirs, place, gathered[kind], num) for place, kind in enumerate(self._kinds)]
        yield functools.reduce(functools.partial(np.intersect1d, assume_unique=True), of_places)

    def _as_rows(self, theirs: dict[Kind, "_Numbers"], place: int, pairs: Pairs, num: int) -> Integers:
        """The rows that have the sequences of each pair at `place`, as `_candidates` writes them."""
        kind = self._kinds[place]
        mine, counts = self._numbers[kind].rows_with(place, pairs[0])
        others = np.repeat(pairs[1], counts)
        open_ones = ~self._is_found[mine]
        others, counts = theirs[kind].rows_with(place, others[open_ones])
        return np.sort(np.repeat(mine[open_ones], counts) * num + others)
