"""Rows of results, written by the block: to a file that a killed run goes on with, or to standard output."""

import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

import llama_gene
from llama_gene.files import disk_errors, hash_value
from llama_gene.inference.resume import grow
from llama_gene.inference.rows import Cell


class Writer(Protocol):
    """Rows as text, and the file that is made of it."""

    def head(self) -> str:
        """What stands before the first row."""

    def text(self, rows: Iterable[Sequence[Cell]]) -> str:
        """The text of rows."""

    def finish(self, partial: Path, output: Path) -> None:
        """Make the final file of all text; see `resume.Finish`."""


BlocksAfter = Callable[[int], Iterable[Sequence[Sequence[Cell]]]]
"""Blocks of rows, without the first so many rows."""


def write_results(
    writer: Writer,
    blocks_after: BlocksAfter,
    output: Path | None,
    identity: str | None,
    on_done: Callable[[int], None],
) -> tuple[int, int]:
    """Write blocks of rows in their order.

    Args:
        writer: How they are written.
        blocks_after: Makes them. What a killed run has left is not made again.
        output: The file, which gets its name when it is whole; None for standard output.
        identity: What decides the rows, see `identity_of`.
        on_done: Told the number of rows so far.

    Returns:
        The number of rows, and how many of them a killed run had left.
    """
    if output is None:
        return _to_screen(writer, blocks_after(0), on_done), 0
    with grow(output, identity, writer.finish) as file:
        num_before = num_rows = file.num_rows
        on_done(num_rows)
        head = "" if num_before else writer.head()
        for rows in blocks_after(num_before):
            file.append(head + writer.text(rows), len(rows))
            head = ""
            num_rows += len(rows)
            on_done(num_rows)
        if head:  # there were no rows
            file.append(head, 0)
    return num_rows, num_before


def _to_screen(writer: Writer, blocks: Iterable[Sequence[Sequence[Cell]]], on_done: Callable[[int], None]) -> int:
    num_rows = 0
    with disk_errors(Path("standard output")):  # which may be a file, too, on a disk that is full
        sys.stdout.write(writer.head())
        for rows in blocks:
            sys.stdout.write(writer.text(rows))
            sys.stdout.flush()
            num_rows += len(rows)
            on_done(num_rows)
        sys.stdout.flush()
    return num_rows


def identity_of(files: Sequence[str | Path], model: Path, **settings: Any) -> str | None:
    """What decides rows, as a hash; None for standard input, which nobody can know to be the same again.

    A file counts as the same while its size and its time are. How many prompts are asked at a time, and where, is left
    out: it moves numbers by less than is written.

    Args:
        files: The files that are read, or ``-``.
        model: The model folder.
        settings: Whatever else decides the rows; of JSON.
    """
    if not all(Path(file).is_file() for file in files):
        return None
    read = [*map(Path, files), *sorted(model.glob("*.safetensors")), model / "tokenizer.json"]
    return hash_value({"version": llama_gene.__version__, "files": [_stamp(file) for file in read]} | settings)


def _stamp(path: Path) -> list[str | int]:
    state = path.stat()
    return [str(path.resolve()), state.st_size, state.st_mtime_ns]
