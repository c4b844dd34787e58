"""Letters of a reference genome by name and place, without holding the genome in memory."""

import difflib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from llama_gene.errors import FormatError
from llama_gene.sequences.compression import display_name, is_compressed, open_bytes

_PIECE = 1 << 20


@dataclass(slots=True)
class _Place:
    """Where a record's letters are, as in a .fai index: all lines but its last one have the same length."""

    offset: int
    letters: int = 0
    line_letters: int = 0
    line_bytes: int = 0


class Reference:
    """A FASTA file, of which any part can be read; `open_reference` makes one.

    Args:
        stream: The plain bytes.
        name: What messages call the file.

    Raises:
        FormatError: It is no FASTA file, has a name twice, or lines of unequal length.
    """

    def __init__(self, stream: BinaryIO, name: str) -> None:
        self._stream, self._name = stream, name
        self._places = self._index()

    def length(self, record: str) -> int:
        """The letters of a record.

        Raises:
            FormatError: No record has that name.
        """
        return self._place(record).letters

    def fetch(self, record: str, start: int, stop: int) -> str:
        """The letters from `start` (from 0) to before `stop`, as they are written; fewer at the record's ends.

        Raises:
            FormatError: No record has that name.
        """
        place = self._place(record)
        start, stop = max(0, start), min(stop, place.letters)
        if start >= stop:
            return ""
        first, last = self._offset(place, start), self._offset(place, stop - 1) + 1
        self._stream.seek(first)
        return "".join(self._stream.read(last - first).decode("ascii", errors="replace").split())

    def _offset(self, place: _Place, letter: int) -> int:
        line, column = divmod(letter, place.line_letters)
        return place.offset + line * place.line_bytes + column

    def _place(self, record: str) -> _Place:
        if record not in self._places:
            names = list(self._places)
            near = difflib.get_close_matches(record, names, n=1, cutoff=0.4) or names[:1]
            raise FormatError(f"no sequence {record!r}", where=self._name, hint=f"it has, for example, {near[0]!r}")
        return self._places[record]

    def _index(self) -> dict[str, _Place]:
        places: dict[str, _Place] = {}
        current: _Place | None = None
        offset, is_last = 0, False
        for number, line in enumerate(self._stream, 1):
            where, offset = f"{self._name}:{number}", offset + len(line)
            if line.startswith(b">"):
                words = line[1:].split()
                if not words or words[0].decode(errors="replace") in places:
                    raise FormatError("a sequence without a name of its own", where=where, hint="name each once")
                current, is_last = _Place(offset), False
                places[words[0].decode(errors="replace")] = current
                continue
            letters = len(line.strip())
            if current is None:
                raise FormatError("no FASTA: it does not begin with '>name'", where=where, hint="give a FASTA file")
            if letters == 0:
                is_last = True
                continue
            if is_last or (current.line_letters and letters > current.line_letters):
                hint = "wrap it evenly, for example: seqkit seq -w 60 FILE > NEW"
                raise FormatError("lines of unequal length", where=where, hint=hint)
            if not current.line_letters:
                current.line_letters, current.line_bytes = letters, len(line)
            is_last = letters < current.line_letters
            current.letters += letters
        if not places:
            raise FormatError("no sequences", where=self._name, hint="give a FASTA file")
        return places


@contextmanager
def open_reference(path: Path) -> Iterator[Reference]:
    """Open a FASTA file for reading any part of it; a packed one is unpacked to a temporary file first.

    Raises:
        FormatError: The file is missing, damaged, or no FASTA.
    """
    with open_bytes(path) as unpacked:
        with path.open("rb") as plain:
            packed = is_compressed(plain.read(8))
        if packed:
            with tempfile.TemporaryFile() as copy:
                while piece := unpacked.read(_PIECE):
                    copy.write(piece)
                copy.seek(0)
                yield Reference(cast(BinaryIO, copy), display_name(path))
            return
    with path.open("rb") as plain:
        yield Reference(plain, display_name(path))
