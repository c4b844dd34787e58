"""Divide a large plain file into sections of whole records, so that many processes can read it at once."""

import hashlib
import mmap
import re
from pathlib import Path

from llama_gene.sequences.compression import Section, is_compressed
from llama_gene.sequences.table import TABLE_SUFFIXES

_HEAD = 1 << 12
_CHUNK = 1 << 20
# Where one record ends and the next begins; the match ends at the first byte of the next.
_FASTA = re.compile(rb"\n(?=>)")
_FLAT = re.compile(rb"\n//[ \t\r]*\n(?=ID   |LOCUS )")
_LINES = re.compile(rb"\n")


def find_sections(path: Path, size: int, *, lines: bool = False) -> list[tuple[Section | None, str]]:
    """Sections of about `size` bytes each, in order, with the SHA-256 of their bytes.

    Only plain FASTA, UniProt and GenBank flat files, JSONL, and text of one document a line can be divided. Any other
    file is one section, given as None: a compressed one has to be read from its start, and a row of a CSV file or a
    record of FASTQ cannot be told from its neighbour by looking at it.

    Args:
        path: A file.
        size: Bytes of a section; its last record may overshoot, and a short rest goes to the section before.
        lines: What is no flat file has one record a line, as text has.
    """
    if not path.stat().st_size:
        return [(None, hashlib.sha256().hexdigest())]
    with path.open("rb") as handle, mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as content:
        boundary = _boundary(content[:_HEAD], path, lines=lines)
        ends = []
        start, length = 0, len(content)
        while boundary and length - start > size + size // 2:
            found = boundary.search(content, start + size - 1)
            if found is None:
                break
            start = found.end()
            ends.append(start)
        # What ends with the file may end with the last boundary.
        ends = [*(end for end in ends if end < length), length]
        sections: list[tuple[Section | None, str]] = []
        start = num_lines = 0
        for end in ends:
            digest = hashlib.sha256()
            section = Section(start, end, num_lines)
            for position in range(start, end, _CHUNK):
                chunk = content[position : min(position + _CHUNK, end)]
                digest.update(chunk)
                num_lines += chunk.count(b"\n")
            sections.append((section if len(ends) > 1 else None, digest.hexdigest()))
            start = end
    return sections


def hash_section(path: Path, section: Section | None) -> str:
    """The SHA-256 of the bytes of a section, None for the whole file."""
    digest = hashlib.sha256()
    with path.open("rb") as handle:
        left = path.stat().st_size
        if section is not None:
            handle.seek(section.start)
            left = section.stop - section.start
        while chunk := handle.read(min(_CHUNK, left)):
            digest.update(chunk)
            left -= len(chunk)
    return digest.hexdigest()


def _boundary(head: bytes, path: Path, *, lines: bool) -> re.Pattern[bytes] | None:
    """What parts the records of a file that begins with `head`; None if it cannot be divided."""
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if is_compressed(head):
        return None
    if start.startswith((b"ID   ", b"LOCUS ")) or b"\nLOCUS " in start:
        return _FLAT
    if start.startswith(b"{") or lines:
        return _LINES
    if start.startswith((b">", b";")) and path.suffix.lower() not in TABLE_SUFFIXES:
        return _FASTA
    return None
