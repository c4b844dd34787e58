"""Variants of a VCF file, each alternative allele on its own."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from llama_gene.errors import FormatError
from llama_gene.sequences.compression import display_name, open_text
from llama_gene.sequences.read import Reject

_POSITION = re.compile("[0-9]{1,18}")
_LETTERS = re.compile("[ACGTNacgtn]+")


@dataclass(frozen=True, slots=True)
class Variant:
    """One alternative allele.

    Args:
        where: File and line.
        record: The reference sequence it lies on.
        position: Of its first letter, from 1, as in the file.
        id: Its name; ``.`` for none.
        reference: The letters of the reference there, upper case.
        alternative: What stands there instead, upper case.
    """

    where: str
    record: str
    position: int
    id: str
    reference: str
    alternative: str


def read_variants(path: str | Path, on_reject: Callable[[Reject], None]) -> Iterator[Variant]:
    """The variants of a VCF file, plain or packed, in its order; ``-`` is standard input.

    Args:
        path: The file.
        on_reject: Told of alleles that are not spelled out: ``<DEL>``, ``*``, breakends.

    Raises:
        FormatError: With file and line: too few columns, a position that is no number, a reference allele that is none.
    """
    name, empty = display_name(path), True
    with open_text(path) as lines:
        for number, line in enumerate(lines, 1):
            if line.startswith("#") or not line.strip():
                continue
            empty, where = False, f"{name}:{number}"
            cells = line.rstrip("\r\n").split("\t")
            if len(cells) < 5:
                hint = "a VCF line begins with CHROM, POS, ID, REF and ALT, separated by tabs"
                raise FormatError(f"{len(cells)} columns", where=where, hint=hint)
            record, position, identity, reference, alternatives = cells[:5]
            if not _POSITION.fullmatch(position) or int(position) < 1:
                raise FormatError(f"POS {position!r:.40} is no position", where=where, hint="it counts from 1")
            if not _LETTERS.fullmatch(reference):
                raise FormatError(f"REF {reference!r:.40} is no DNA", where=where, hint="it has the letters ACGTN")
            for alternative in alternatives.split(","):
                if alternative == ".":
                    continue
                if not _LETTERS.fullmatch(alternative):
                    on_reject(Reject(identity, where, f"ALT {alternative!r:.40} is not spelled out"))
                    continue
                yield Variant(where, record, int(position), identity, reference.upper(), alternative.upper())
    if empty:
        raise FormatError("no variants", where=name, hint="give a VCF file")
