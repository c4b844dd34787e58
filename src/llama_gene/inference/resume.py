"""A file of rows that is written block by block, and goes on after its process was killed.

Beside the final name ``out.tsv`` stand ``.out.tsv.partial``, the rows so far, and ``.out.tsv.journal``, which says how
many of them, and of its bytes, count: what a kill has left behind them is cut off. Both are gone once the file has its
name. A journal belongs to one input and one question; where another is asked, the rows begin anew.
"""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from llama_gene.errors import FormatError, LlamaGeneError
from llama_gene.files import disk_errors, publish, read_json, write_json

Finish = Callable[[Path, Path], None]
"""Makes the final file, its second argument, of all rows, its first."""


class GrowingFile:
    """The rows so far; `grow` makes one.

    Args:
        stream: The partial file, open at its end.
        journal: Where its state is kept.
        identity: What the rows are; None: nobody can know, so they cannot be gone on from.
        num_rows: Rows that count.
    """

    def __init__(self, stream: BinaryIO, journal: Path, identity: str | None, num_rows: int) -> None:
        self._stream, self._journal, self._identity, self.num_rows = stream, journal, identity, num_rows

    def append(self, text: str, num_rows: int) -> None:
        """Write a block of rows: all of it counts from here on, or none of it."""
        self._stream.write(text.encode())
        self._stream.flush()
        self.num_rows += num_rows
        if self._identity is None:
            return
        os.fsync(self._stream.fileno())
        state = {"identity": self._identity, "rows": self.num_rows, "bytes": self._stream.tell()}
        write_json(self._journal, state)


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
        with partial.open("ab") as stream:
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


def _rewind(stream: BinaryIO, journal: Path, identity: str | None) -> int:
    """Cut the partial file down to what counts; returns its rows."""
    rows, size = 0, 0
    if identity is not None and journal.is_file():
        try:
            state = read_json(journal)
            if state["identity"] == identity and state["bytes"] <= os.fstat(stream.fileno()).st_size:
                rows, size = int(state["rows"]), int(state["bytes"])
        except (FormatError, KeyError, TypeError, ValueError):
            pass  # not a journal of ours: the rows begin anew
    stream.truncate(size)
    stream.seek(size)
    return rows
