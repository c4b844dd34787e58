"""Keep held-out sequences out of the corpus: windows that share a k-mer with them are left out."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from llama_gene.errors import FormatError
from llama_gene.sequences.alphabet import ALPHABETS, Kind
from llama_gene.sequences.compression import data_suffix
from llama_gene.sequences.kmers import KmerLookup, kmers_of_each
from llama_gene.sequences.read import read_records
from llama_gene.sequences.table import JSONL_SUFFIXES, TABLE_SUFFIXES, read_rows, require_columns

_SEQUENCE_COLUMNS = ("sequence", "seq", "sequence_a", "sequence_b", "seq_a", "seq_b")
# What a column beside the sequence calls its kind, in the tables of LucaOne.
_KIND_NAMES: dict[str, Kind] = {"gene": "dna", "dna": "dna", "rna": "dna", "prot": "protein", "protein": "protein"}


@dataclass(frozen=True, slots=True)
class HeldOutFile:
    """A file whose sequences the corpus must not hold.

    Args:
        path: A table of sequences, or any file of sequences.
        kind: Which of its sequences count.
        columns: The columns of the table that hold them; empty for those with a usual name, ``sequence`` and ``seq``,
            ``seq_a`` and ``seq_b``. Where a column ``seq_type`` stands beside ``seq``, only the rows of `kind` count.
    """

    path: Path
    kind: Kind
    columns: tuple[str, ...] = ()

    def sequences(self) -> Iterator[str]:
        """Its canonical sequences, letters outside the alphabet masked.

        Raises:
            FormatError: If it is no table of sequences and no file of sequences.
        """
        if data_suffix(self.path) not in {*TABLE_SUFFIXES, *JSONL_SUFFIXES}:
            yield from (record.sequence for record in read_records(self.path, self.kind, policy="mask"))
            return
        for row in read_rows(self.path):
            columns = self.columns or [name for name in _SEQUENCE_COLUMNS if name in row.cells]
            if not columns:
                hint = f"the columns are {', '.join(row.cells)}; call the one with sequences 'sequence'"
                raise FormatError("no column of sequences", where=f"{self.path}:{row.line}", hint=hint)
            require_columns(self.path, row, columns)
            for column in columns:
                kind = _KIND_NAMES.get(row.cells.get(column.replace("seq", "seq_type", 1), ""), self.kind)
                if kind == self.kind and row.cells[column].strip():
                    yield ALPHABETS[kind].clean(row.cells[column], "mask")


class Guard:
    """The k-mers of one kind that must not stand in the corpus.

    Args:
        kind: Their kind.
        k: Their length.
        codes: Their codes, uint64[num], sorted, each once.
    """

    def __init__(self, kind: Kind, k: int, codes: NDArray[np.uint64]) -> None:
        self.kind, self.k, self.codes = kind, k, codes
        self._lookup = KmerLookup(codes)

    def hits(self, sequences: Sequence[str]) -> list[bool]:
        """Whether each canonical sequence has one of the k-mers, on either strand."""
        owners, codes = kmers_of_each(sequences, self.k, ALPHABETS[self.kind])
        found, _ = self._lookup.find(codes)
        hit = np.zeros(len(sequences), dtype=np.bool_)
        hit[owners[found]] = True
        return [bool(one) for one in hit]


@dataclass(frozen=True, slots=True)
class Guarded:
    """What a guard was made of.

    Args:
        guard: The k-mers.
        num_sequences: The sequences they are from.
        num_short: How many of these are shorter than a k-mer, so that nothing keeps them out.
    """

    guard: Guard
    num_sequences: int
    num_short: int


def collect(files: Iterable[HeldOutFile], kind: Kind, k: int) -> Guarded:
    """The k-mers of all sequences of `kind` in `files`."""
    found: set[str] = set()
    num_sequences = num_short = 0
    for file in files:
        for sequence in file.sequences():
            num_sequences += 1
            num_short += len(sequence) < k
            found.add(sequence)
    merged = np.unique(kmers_of_each(sorted(found), k, ALPHABETS[kind])[1])
    return Guarded(Guard(kind, k, merged), num_sequences, num_short)
