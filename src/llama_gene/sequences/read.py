"""Read sequences from any file: the format is found, every record is cleaned, and bad ones are refused or set aside."""

import io
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from llama_gene.errors import FormatError, LlamaGeneError, SequenceError, SettingsError
from llama_gene.sequences.alphabet import ALPHABETS, Alphabet, Kind, Policy
from llama_gene.sequences.compression import Section, data_suffix, display_name, open_bytes
from llama_gene.sequences.formats import Draft, read_fasta, read_fastq, read_genbank
from llama_gene.sequences.record import Record
from llama_gene.sequences.table import JSONL_SUFFIXES, TABLE_SUFFIXES, Row, require_columns, scan_rows
from llama_gene.sequences.uniprot import is_uniprot, read_uniprot

_FASTA_SUFFIXES = {".fa", ".fasta", ".fna", ".faa", ".ffn", ".frn", ".fas", ".fsa"}
_FASTQ_SUFFIXES = {".fq", ".fastq"}
_GENBANK_SUFFIXES = {".gb", ".gbk", ".gbff", ".genbank", ".gp", ".gpff"}
_SEQUENCE_COLUMNS = ("sequence", "seq")
_ID_COLUMNS = ("id", "seq_id", "name")

# Where the table of formats meets a file that is none of them.
_KNOWN = "known: FASTA, FASTQ, GenBank, UniProt, CSV, TSV and JSONL, plain or gz, bz2, xz, zst"


@dataclass(frozen=True, slots=True)
class Reject:
    """A record that was set aside.

    Args:
        id: Its name, or ``""`` if that is what it lacks.
        where: File and line, ``"reads.fa:12"``.
        reason: What is wrong with it.
    """

    id: str
    where: str
    reason: str


def read_records(
    path: str | Path,
    kind: Kind,
    *,
    policy: Policy = "refuse",
    column: str | None = None,
    section: Section | None = None,
    on_reject: Callable[[Reject], None] | None = None,
) -> Iterator[Record]:
    """Read the records of a file one at a time, cleaned; memory is bounded by the longest record.

    Args:
        path: FASTA, FASTQ, GenBank, a UniProt flat file, CSV, TSV or JSONL, plain or gz, bz2, xz, zst; ``"-"`` is
            standard input. The format is found by content first, then by name.
        kind: What the letters are; nothing is guessed.
        policy: What letters outside the alphabet get, see `Alphabet.clean`.
        column: The column of a table that holds the sequence; without it ``sequence`` or ``seq``.
        section: Only this part of the file, see `find_sections`.
        on_reject: Called with each bad record, and reading goes on. Without it a bad record raises, whatever the
            policy: nothing is left out silently.

    Raises:
        SequenceError: With file and line, for a record that is empty or has letters outside the alphabet.
        FormatError: With file and line, for a file that is not what its format says, or that holds no record.
        SettingsError: If the kind or the policy is unknown.
    """
    if kind not in ALPHABETS:
        raise SettingsError(f"unknown kind {kind!r}", hint=f"known: {', '.join(ALPHABETS)}")
    alphabet = ALPHABETS[kind]
    name = display_name(path)
    lines_before = section.lines if section else 0
    empty = True
    with open_bytes(path, section) as stream, at_line(lines_before):
        for draft in _read_drafts(stream, name, data_suffix(path), column):
            empty = False
            try:
                record = _admit(draft, alphabet, policy, name)
            except (SequenceError, FormatError) as error:
                if on_reject is None:
                    raise
                on_reject(Reject(draft.id, f"{name}:{draft.line + lines_before}", error.problem))
            else:
                yield record
                # Not held while the next one is read: a record may be a chromosome.
                del record
    if empty:
        raise FormatError("no records", where=name, hint=_KNOWN)


def parse_records(content: bytes, kind: Kind, *, name: str, policy: Policy = "refuse") -> Iterator[Record]:
    r"""Read records from bytes that came from elsewhere than a file; the first bad one raises, see `read_records`.

    Args:
        content: Plain: what is packed is not unpacked, so that a small message cannot become a large one.
        kind: What the letters are.
        name: What messages call it.
        policy: What letters outside the alphabet get.

    >>> [len(record) for record in parse_records(b">a\nACGT\n>b\nAC", "dna", name="body")]
    [4, 2]
    """
    empty = True
    for draft in _read_drafts(io.BufferedReader(io.BytesIO(content)), name, "", None):
        empty = False
        yield _admit(draft, ALPHABETS[kind], policy, name)
    if empty:
        raise FormatError("no records", where=name, hint=_KNOWN)


@contextmanager
def at_line(lines_before: int) -> Iterator[None]:
    """Errors that say a line of a section say the line of the file, which has `lines_before` more."""
    try:
        yield
    except LlamaGeneError as error:
        found = re.search(r"^(.*):(\d+)$", error.where or "") if lines_before else None
        if found is None:
            raise
        where = f"{found[1]}:{int(found[2]) + lines_before}"
        raise type(error)(error.problem, where=where, hint=error.hint) from None


def _admit(draft: Draft, alphabet: Alphabet, policy: Policy, name: str) -> Record:
    """The record a draft becomes, or an error that says where it stands."""
    where = f"{name}:{draft.line}"
    subject = f"record {draft.id!r}: " if draft.id else ""
    if draft.fault:
        raise FormatError(f"{subject}{draft.fault}", where=where, hint=draft.hint)
    # Taken off the draft, so that a chromosome's raw text can go as soon as it is clean.
    text, draft.sequence = draft.sequence, ""
    try:
        return Record(draft.id, alphabet.clean(text, policy), alphabet.kind, draft.description)
    except SequenceError as error:
        hint = error.hint or "remove it, or give it its letters"
        raise SequenceError(f"{subject}{error.problem}", where=where, hint=hint) from None


def _read_drafts(stream: io.BufferedReader, name: str, suffix: str, column: str | None) -> Iterator[Draft]:
    """The drafts of a stream, by the parser its first bytes ask for, else its suffix."""
    start = stream.peek(1).removeprefix(b"\xef\xbb\xbf").lstrip()
    if start.startswith((b">", b";")):
        return read_fasta(stream, name)
    if start.startswith(b"@"):
        return read_fastq(stream, name)
    if is_uniprot(start):
        return read_uniprot(stream, name)
    # Releases of GenBank begin with a page of prose.
    if start.startswith(b"LOCUS ") or b"\nLOCUS " in start:
        return read_genbank(stream, name)
    if start.startswith(b"{") or suffix in TABLE_SUFFIXES or suffix in JSONL_SUFFIXES:
        return _read_table(stream, name, suffix, column)
    if not start.strip():
        raise FormatError("no records, only blank lines", where=name, hint=_KNOWN)
    if suffix in _FASTA_SUFFIXES:
        return read_fasta(stream, name)
    if suffix in _FASTQ_SUFFIXES:
        return read_fastq(stream, name)
    if suffix in _GENBANK_SUFFIXES:
        raise FormatError(
            "GenBank without a LOCUS line", where=f"{name}:1", hint="download it again as 'GenBank (full)'"
        )
    first, *_ = start.splitlines()
    if b"," in first or b"\t" in first:
        return _read_table(stream, name, suffix, column)
    shown = first[:30].decode(errors="replace")
    hint = f"a FASTA record begins with a line '>name'; {_KNOWN}"
    raise FormatError(f"the format is not known: it begins with {shown!r}", where=f"{name}:1", hint=hint)


def _read_table(stream: io.BufferedReader, name: str, suffix: str, column: str | None) -> Iterator[Draft]:
    for row in scan_rows(stream, name, suffix):
        if isinstance(row, FormatError):
            yield _faulty_row(row)
            continue
        yield Draft(_row_id(row), row.cells[_sequence_column(row, name, column)], row.line)


def _faulty_row(error: LlamaGeneError) -> Draft:
    line = int(str(error.where).rpartition(":")[2])
    return Draft(f"row{line}", "", line, fault=error.problem, hint=error.hint or "")


def _row_id(row: Row) -> str:
    given = next((row.cells[column] for column in _ID_COLUMNS if row.cells.get(column, "").strip()), "")
    return given.strip() or f"row{row.line}"


def _sequence_column(row: Row, name: str, column: str | None) -> str:
    if column is None:
        column = next((known for known in _SEQUENCE_COLUMNS if known in row.cells), None)
    if column is not None:
        require_columns(name, row, [column])
        return column
    there = ", ".join(row.cells)
    hint = f"name the column that holds it with --column; columns: {there}"
    raise FormatError("no column 'sequence' or 'seq'", where=f"{name}:{row.line}", hint=hint)
