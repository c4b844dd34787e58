"""UniProt flat files (``.dat``, or ``.txt`` from the site): the sequences, and what is known of their function.

Of the other forms that UniProt gives its entries in, XML is read by `uniprot_xml`, a row of a TSV by `from_row`.
"""

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from llama_gene.errors import FormatError
from llama_gene.sequences.compression import as_text
from llama_gene.sequences.formats import Draft
from llama_gene.sequences.table import Row

TSV_COLUMNS = ("Entry", "Sequence", "Function [CC]")

_START = re.compile(rb"ID   \S+\s+(?:Reviewed|Unreviewed);")
_LENGTH = re.compile(r"SEQUENCE\s+([0-9]{1,18}) AA;")
_FUNCTION = re.compile(r"(?:^|[;.]?\s+)FUNCTION:\s*")
_FULL_NAME = re.compile(r"Full=([^;{]+)")
# {ECO:0000269|PubMed:12345678} and (PubMed:12345678, PubMed:2): where a statement is from, and none of its words.
_EVIDENCE = re.compile(r"\s*\{ECO:[^}]*\}|\s*\((?:PubMed:\d+|Ref\.\d+)(?:, (?:PubMed:\d+|Ref\.\d+))*\)")


@dataclass(slots=True)
class Entry:
    """One entry of UniProt.

    Args:
        line: The line of the file it begins on, from 1.
        accession: Its first accession number.
        name: The recommended or submitted name of the protein.
        organism: The species.
        function: The function comments, without their evidence; ``""`` where there is none.
        sequence: The letters as they stand.
        length: How many letters it says it has.
    """

    line: int
    accession: str = ""
    name: str = ""
    organism: str = ""
    function: str = ""
    sequence: str = ""
    length: int | None = None

    @property
    def text(self) -> str:
        """The function in words that stand alone: ``NAME of ORGANISM: FUNCTION``; ``""`` where none is known."""
        if not self.function:
            return ""
        subject = " of ".join(part for part in (self.name, self.organism) if part)
        return f"{subject}: {self.function}" if subject else self.function


def clean_comment(text: str) -> str:
    """A comment without its evidence and the white space around it.

    >>> clean_comment("Binds zinc (PubMed:1, PubMed:2). {ECO:0000269|PubMed:1}.")
    'Binds zinc.'
    """
    return re.sub(r"\.\.+$", ".", _EVIDENCE.sub("", text)).strip()


def species(organism: str) -> str:
    """An organism without its strain and its other names.

    >>> species("Frog virus 3 (isolate Goorha) (FV-3).")
    'Frog virus 3'
    """
    return organism.partition(" (")[0].rstrip(".")


def from_row(row: Row) -> Entry:
    """The entry in a row of a TSV from UniProt's site or its REST interface.

    Args:
        row: A row with the columns ``Entry``, ``Sequence`` and ``Function [CC]`` (the fields ``accession``,
            ``sequence`` and ``cc_function``); ``Protein names`` and ``Organism`` are read where they are.

    Raises:
        FormatError: A column is not there.
    """
    missing = next((name for name in TSV_COLUMNS if name not in row.cells), None)
    if missing is not None:
        hint = "download it with fields=accession,protein_name,organism_name,cc_function,sequence"
        raise FormatError(f"no column {missing!r}; there are: {', '.join(row.cells)}", hint=hint)
    # Several comments stand in one cell, each after its heading.
    comments = [clean_comment(text) for text in _FUNCTION.split(row.cells["Function [CC]"])]
    return Entry(
        row.line,
        row.cells["Entry"].strip(),
        row.cells.get("Protein names", "").partition(" (")[0],
        species(row.cells.get("Organism", "")),
        " ".join(text if text.endswith(".") else f"{text}." for text in comments if text),
        row.cells["Sequence"].strip(),
    )


def is_uniprot(start: bytes) -> bool:
    """Whether a file that begins with `start` is a UniProt flat file.

    >>> is_uniprot(b"ID   001R_FRG3G              Reviewed;         256 AA.")
    True
    """
    return _START.match(start) is not None


def read_uniprot(stream: io.BufferedReader, name: str) -> Iterator[Draft]:
    """The sequence of each entry, under its accession number.

    Raises:
        FormatError: If an entry does not end with ``//``.
    """
    for entry in read_entries(stream, name):
        draft = Draft(entry.accession, entry.sequence, entry.line, entry.name)
        if not entry.accession:
            draft.fault, draft.hint = "UniProt: no accession number (AC)", "give it one"
        elif not entry.sequence:
            draft.fault, draft.hint = "UniProt: no sequence (SQ)", "download it again as 'Text'"
        elif entry.length is not None and entry.length != len(entry.sequence):
            draft.fault = f"UniProt: SQ says {entry.length:,} residues, and there are {len(entry.sequence):,}"
            draft.hint = "download it again"
        yield draft


def read_entries(stream: io.BufferedReader, name: str) -> Iterator[Entry]:
    """Every entry of a flat file.

    Raises:
        FormatError: If an entry does not end with ``//``.
    """
    parts: _Parts | None = None
    for number, line in enumerate(as_text(stream, name), start=1):
        code = line[:2]
        if code == "ID":
            if parts is not None:
                raise _cut(name, parts.line)
            parts = _Parts(number)
        elif parts is None:
            continue
        elif code == "//":
            yield parts.entry()
            parts = None
        elif code == "  ":
            parts.letters.append(line.replace(" ", "").strip())
        elif code in parts.lines:
            parts.lines[code].append(line[5:].rstrip())
    if parts is not None:
        raise _cut(name, parts.line)


@dataclass(slots=True)
class _Parts:
    """The lines of an entry that are made use of."""

    line: int
    lines: dict[str, list[str]] = field(default_factory=lambda: {code: [] for code in ("AC", "DE", "OS", "CC", "SQ")})
    letters: list[str] = field(default_factory=list)

    def entry(self) -> Entry:
        lines = self.lines
        accession, *_ = [*(" ".join(lines["AC"]).replace(";", " ").split()), ""]
        name = _FULL_NAME.search(" ".join(lines["DE"]))
        length = _LENGTH.search(" ".join(lines["SQ"]))
        organism = species(" ".join(lines["OS"]))
        return Entry(
            self.line,
            accession,
            name[1].strip() if name else "",
            organism,
            " ".join(_function_comments(lines["CC"])),
            "".join(self.letters),
            int(length[1]) if length else None,
        )


def _function_comments(lines: list[str]) -> Iterator[str]:
    """The text of each ``-!- FUNCTION`` block."""
    text: str | None = None
    for line in [*lines, "-!-"]:
        if line.startswith(("-!-", "---")):
            if text:
                yield clean_comment(text)
            text = line.removeprefix("-!- FUNCTION:").strip() if line.startswith("-!- FUNCTION:") else None
        elif text is not None:
            # A line is broken after a hyphen, too.
            text += ("" if text.endswith("-") and not text.endswith(" -") else " ") + line.strip()


def _cut(name: str, line: int) -> FormatError:
    hint = "an entry ends with '//'; the file was cut: copy or download it again"
    return FormatError("UniProt: the entry that begins here does not end", where=f"{name}:{line}", hint=hint)
