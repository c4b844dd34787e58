"""Parsers of FASTA, FASTQ and GenBank: an open stream in, one `Draft` a record out.

A draft is what stood in the file. What is wrong with one record is noted on its draft, and reading goes on; what makes
the rest of the file unreadable raises.
"""

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass

from llama_gene.errors import FormatError
from llama_gene.sequences.compression import as_text, not_utf8

_WHITE = b" \t\r\n\v\f"
_BOM = b"\xef\xbb\xbf"
_CHUNK = 1 << 20
_MAX_HEADER = 1 << 24
_NEXT_HEADER = re.compile(rb"\n(?=[>;])")
_ODD_BYTE = re.compile(rb"[\x80-\xff]")
_LOCUS_LENGTH = re.compile(r"\s([0-9]{1,18}) (?:bp|aa)\b")


@dataclass(slots=True)
class Draft:
    """A record as it stood in a file, not cleaned yet.

    Args:
        id: Its name; may be empty.
        sequence: Its letters, with anything somebody put between them.
        line: The line it begins on, from 1.
        description: What stood beside its name.
        fault: What is wrong with it, or ``""``.
        hint: The way out of `fault`.
    """

    id: str
    sequence: str
    line: int
    description: str = ""
    fault: str = ""
    hint: str = ""


def read_fasta(stream: io.BufferedReader, name: str) -> Iterator[Draft]:
    """Read FASTA; blank lines and comment lines that begin with ``;`` are passed over.

    Raises:
        FormatError: For letters before the first header, and for bytes that are not UTF-8.
    """
    draft: Draft | None = None
    letters = bytearray()
    odd_line = 0
    for number, part in _fasta_parts(stream):
        if part.startswith(b">"):
            if draft is not None:
                draft.sequence, letters = _decode(letters, name, odd_line), bytearray()
                yield draft
            draft, odd_line = _fasta_header(part, number, name), 0
            continue
        odd = None if part.isascii() else _ODD_BYTE.search(part)
        if odd and not odd_line:
            odd_line = number + part.count(b"\n", 0, odd.start())
        if draft is None and part.strip():
            line = number + part[: len(part) - len(part.lstrip())].count(b"\n")
            hint = "put a line such as '>name' before the sequence"
            raise FormatError("FASTA without a header", where=f"{name}:{line}", hint=hint)
        letters += part.translate(None, _WHITE)
    if draft is not None:
        draft.sequence = _decode(letters, name, odd_line)
        yield draft


def _fasta_parts(stream: io.BufferedReader) -> Iterator[tuple[int, bytes]]:
    """Headers, whole, and what stands between them in pieces of any length; each with the line it begins on.

    Whole pieces and not lines: that is several times as fast, and a chromosome on one line is no special case.
    """
    if stream.peek(3).startswith(_BOM):
        stream.read(3)
    rest, number, at_start = b"", 1, True
    while chunk := stream.read(_CHUNK):
        data, rest, position = rest + chunk, b"", 0
        while position < len(data):
            if at_start and data[position] in b">;":
                end = data.find(b"\n", position) + 1
                if not end and len(data) - position < _MAX_HEADER:
                    rest = data[position:]
                    break
            else:
                found = _NEXT_HEADER.search(data, position)
                end = found.end() if found else 0
            part = data[position : end or len(data)]
            if not (at_start and part.startswith(b";")):
                yield number, part
            number += part.count(b"\n")
            position += len(part)
            at_start = part.endswith(b"\n")
    if rest.startswith(b">"):
        yield number, rest


def _decode(letters: bytearray, name: str, line: int) -> str:
    try:
        return letters.decode()
    except UnicodeDecodeError:
        raise not_utf8(name, line) from None


def _fasta_header(line: bytes, number: int, name: str) -> Draft:
    try:
        header = line[1:].strip().decode()
    except UnicodeDecodeError:
        raise not_utf8(name, number) from None
    if "\r" in header:
        hint = f"its lines end as on old Macs; convert them: tr '\\r' '\\n' < {name} > NEW"
        raise FormatError("a carriage return inside a header", where=f"{name}:{number}", hint=hint)
    identifier, _, description = header.partition(" ") if "\t" not in header else _split_first(header)
    draft = Draft(identifier, "", number, description.strip())
    if not identifier:
        draft.fault, draft.hint = "no name after '>'", "give it one: '>name'"
    return draft


def _split_first(header: str) -> tuple[str, str, str]:
    words = header.split(None, 1)
    return words[0], " ", words[1] if len(words) > 1 else ""


def read_fastq(stream: io.BufferedReader, name: str) -> Iterator[Draft]:
    """Read FASTQ of four lines a record: ``@name``, letters, ``+``, one quality a letter.

    Raises:
        FormatError: Where the four lines are not as they should be; the rest of the file could not be trusted.
    """
    hint = "a record is four lines: @name, letters, +, qualities; longer ones become that with: seqtk seq FILE"
    lines = enumerate(as_text(stream, name), start=1)
    for number, line in lines:
        if line.isspace():
            continue
        if not line.startswith("@"):
            raise FormatError(
                f"FASTQ: {line[:20].strip()!r} stands where '@name' should", where=f"{name}:{number}", hint=hint
            )
        rest = [text.rstrip() for _, text in zip(range(3), (text for _, text in lines), strict=False)]
        if len(rest) < 3:
            raise FormatError("FASTQ: the file ends inside a record", where=f"{name}:{number}", hint=hint)
        letters, plus, quality = rest
        if not plus.startswith("+"):
            problem = f"FASTQ: {plus[:20]!r} stands where '+' should"
            raise FormatError(problem, where=f"{name}:{number + 2}", hint=hint)
        identifier, description = (*line[1:].split(None, 1), "", "")[:2]
        draft = Draft(identifier, letters, number, description.strip())
        if not identifier:
            draft.fault, draft.hint = "no name after '@'", "give it one: '@name'"
        elif len(quality) != len(letters):
            draft.fault, draft.hint = f"{len(letters)} letters but {len(quality)} qualities", "give one for each letter"
        yield draft


def read_genbank(stream: io.BufferedReader, name: str) -> Iterator[Draft]:
    """Read GenBank or GenPept flat files: name (VERSION, else ACCESSION, else LOCUS), DEFINITION and ORIGIN.

    Raises:
        FormatError: If a record does not end with ``//``, or its ORIGIN holds something other than numbered lines.
    """
    record: list[tuple[str, str]] = []
    letters: list[str] = []
    begin = 0
    key = ""
    for number, line in enumerate(as_text(stream, name), start=1):
        if line.startswith("LOCUS"):
            if begin:
                raise _cut_genbank(name, begin)
            begin = number
        if not begin or line.isspace():
            continue
        if line.startswith("//"):
            yield _genbank_draft(record, letters, begin)
            record, letters, begin, key = [], [], 0, ""
        elif not line[0].isspace():
            key, _, value = line.partition(" ")
            key = key.strip()
            record.append((key, value.strip()))
        elif key == "ORIGIN":
            index, _, chunk = line.strip().partition(" ")
            if not index.isdecimal():
                hint = "each line of ORIGIN begins with the number of its first letter"
                raise FormatError(f"GenBank: {index[:20]!r} in ORIGIN", where=f"{name}:{number}", hint=hint)
            letters.append(chunk.replace(" ", ""))
        elif key == "DEFINITION":
            record[-1] = (key, f"{record[-1][1]} {line.strip()}")
    if begin:
        raise _cut_genbank(name, begin)


def _cut_genbank(name: str, line: int) -> FormatError:
    hint = "a record ends with '//'; the file was cut: copy or download it again"
    return FormatError("GenBank: the record that begins here does not end", where=f"{name}:{line}", hint=hint)


def _genbank_draft(record: list[tuple[str, str]], letters: list[str], line: int) -> Draft:
    # The first line of a key counts: some keys may stand twice.
    values = dict(reversed(record))
    words = [values.get(key, "").split() for key in ("VERSION", "ACCESSION", "LOCUS")]
    identifier = next((found[0] for found in words if found), "")
    draft = Draft(identifier, "".join(letters), line, values.get("DEFINITION", ""))
    length = _LOCUS_LENGTH.search(values.get("LOCUS", ""))
    if not identifier:
        draft.fault, draft.hint = "GenBank: no name in LOCUS, ACCESSION or VERSION", "give it one"
    elif not draft.sequence:
        draft.fault = "GenBank: no sequence (ORIGIN)" + (", only a CONTIG line" if "CONTIG" in values else "")
        draft.hint = "download it again as 'GenBank (full)', or with rettype=gbwithparts"
    elif length and int(length[1]) != len(draft.sequence):
        draft.fault = f"GenBank: LOCUS says {int(length[1]):,} letters, ORIGIN has {len(draft.sequence):,}"
        draft.hint = "download it again"
    return draft
