"""A file of rows that is written block by block, and goes on after its process was killed.

Beside the final name ``out.tsv`` stand ``.out.tsv.partial``, the rows so far, and ``.out.tsv.journal``, which says how
many of them, and of its bytes, count: what a kill has left behind them is cut off. Both are gone once the file has its
name. A journal belongs to one input and one question; where another is asked, the rows begin anew.
"""

import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from llama_gene.errors import FormatError, LlamaGeneError
from llama_gene.files import disk_errors, publish, read_object, write_sealed

_PIECE = 1 << 20
Finish = Callable[[Path, Path], None]
"""Makes the final file, its second argument, of all rows, its first."""


class GrowingFile:
    """The rows so far; `grow` makes one.

    Args:
        stream: The partial file, open at its end.
        journal: Where its state is kept.
        identity: What the rows are; None: nobody can know, so they cannot be gone on from.
        kept: What of the file counts.
    """

    def __init__(self, stream: BinaryIO, journal: Path, identity: str | None, kept: "_Kept") -> None:
        self._stream, self._journal, self._identity = stream, journal, identity
        self.num_rows, self._digest = kept.num_rows, kept.digest

    def append(self, text: str, num_rows: int) -> None:
        """Write a block of rows: all of it counts from here on, or none of it."""
        data = text.encode()
        self._digest.update(data)
        self._stream.write(data)
        self._stream.flush()
        self.num_rows += num_rows
        if self._identity is None:
            return
        os.fsync(self._stream.fileno())
        state = {"rows": self.num_rows, "bytes": self._stream.tell(), "sha256": self._digest.hexdigest()}
        write_sealed(self._journal, state | {"identity": self._identity})


@contextmanager
def grow(output: Path, identity: str | None, finish: Finish = publish) -> Iterator[GrowingFile]:
    """Open the rows of `output`: those of a killed process where they are the same, else none.

    Args:
        output: The final name; it is given when the block succeeds. If it fails, the rows that count are kept.
        identity: What decides the rows, as a hash; None if that cannot be known, as of standard input.
        finish: What makes `output` of the rows.

    Raises:
        LlamaGeneError: Another process is writing the same file, or the disk is full.
    """
    partial, journal = (output.with_name(f".{output.name}.{what}") for what in ("partial", "journal"))
    with disk_errors(output):
        if output.is_dir():
            raise IsADirectoryError(21, "a folder", str(output))
        output.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("a+b") as stream:
            _lock(stream, output)
            file = GrowingFile(stream, journal, identity, _rewind(stream, journal, identity))
            try:
                yield file
                stream.flush()
                finish(partial, output)
                file.num_rows = 0  # nothing is left to go on from
            finally:
                if file.num_rows == 0 or identity is None:
                    partial.unlink(missing_ok=True)
                    journal.unlink(missing_ok=True)


def _lock(stream: BinaryIO, output: Path) -> None:
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        hint = "wait for it, or choose another --output"
        raise LlamaGeneError("another process is writing this file", where=output, hint=hint) from None


@dataclass(frozen=True, slots=True)
class _Kept:
    """Rows that count, and the SHA-256 of their bytes so far."""

    num_rows: int
    digest: Any


def _rewind(stream: BinaryIO, journal: Path, identity: str | None) -> _Kept:
    """Cut the partial file down to what counts."""
    rows, size, digest = 0, 0, hashlib.sha256()
    if identity is not None and journal.is_file():
        with suppress(FormatError):  # not a journal of ours: the rows begin anew
            state = read_object(journal, "identity", "rows", "bytes", "sha256")
            found = hashlib.sha256()
            stream.seek(0)
            left = int(state["bytes"])
            while piece := stream.read(min(left, _PIECE)):
                found.update(piece)
                left -= len(piece)
            if state["identity"] == identity and found.hexdigest() == state["sha256"]:
                rows, size, digest = int(state["rows"]), int(state["bytes"]), found
    stream.truncate(size)
    stream.seek(size)
    return _Kept(rows, digest)
