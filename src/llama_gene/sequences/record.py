"""One sequence with its name: what every reader gives and every later stage takes."""

from dataclasses import dataclass

from llama_gene.errors import SequenceError
from llama_gene.sequences.alphabet import ALPHABETS, Kind


@dataclass(frozen=True, slots=True)
class Record:
    """A named, canonical sequence. It is checked here once; nothing behind the border checks again.

    Args:
        id: The record's name, unique by convention only; not empty.
        sequence: Canonical letters of the alphabet of `kind`; not empty. The readers clean it, and it is not cleaned
            again here: a chromosome is looked through once.
        kind: ``"dna"`` or ``"protein"``.
        description: What else stood beside the name.

    Raises:
        SequenceError: If the name or the sequence is empty, or the kind unknown.

    >>> len(Record("lacZ", "ATGACC", "dna"))
    6
    """

    id: str
    sequence: str
    kind: Kind
    description: str = ""

    def __post_init__(self) -> None:
        if not self.id.strip():
            raise SequenceError("a record without a name", hint="give every sequence a name, for example '>seq1'")
        if self.kind not in ALPHABETS:
            raise SequenceError(
                f"record {self.id!r}: unknown kind {self.kind!r}", hint=f"known: {', '.join(ALPHABETS)}"
            )
        if not self.sequence:
            raise SequenceError(f"record {self.id!r}: the sequence is empty", hint="remove it, or give it its letters")

    def __len__(self) -> int:
        return len(self.sequence)
