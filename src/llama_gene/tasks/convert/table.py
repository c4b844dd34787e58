"""Rows of any labelled table -> examples. The other layouts are this one, with their columns fixed and checked."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from llama_gene.errors import FormatError, LlamaGeneError, SequenceError, TaskError
from llama_gene.sequences.alphabet import ALPHABETS, Policy
from llama_gene.sequences.compression import data_suffix, display_name, not_utf8, open_bytes
from llama_gene.sequences.read import Reject
from llama_gene.sequences.table import Row, require_columns, scan_rows
from llama_gene.tasks.convert.parquet import PARQUET_SUFFIX, scan_parquet
from llama_gene.tasks.task import Example, Input, Task

_ID_COLUMNS = ("id", "seq_id", "name")
_NUM_LOOKED_AT = 4096


@dataclass(frozen=True, slots=True)
class Columns:
    """Where a layout keeps what the task's definition does not name.

    Args:
        ids: Columns whose cells, joined by `|`, name a row; none: the first of `id`, `seq_id`, `name` that is there.
        types: For each input, the column that says what it is; none: the layout has no such columns.
        type_names: What such a cell may say -> the kind it means.
    """

    ids: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    type_names: tuple[tuple[str, str], ...] = ()


def read_table(
    task: Task,
    path: str | Path,
    columns: Columns,
    *,
    policy: Policy,
    on_reject: Callable[[Reject], None] | None,
    labelled: bool,
) -> Iterator[Example]:
    """Read the examples of a table one at a time; see `read_examples` for arguments and errors."""
    reader = _Reader(task, path, columns, policy, labelled=labelled)
    first = True
    for row in scan_table(path):
        if first and isinstance(row, Row):
            # A column that the whole file lacks is the file's fault, and no row's: it raises in any case.
            first = False
            require_columns(path, row, reader.needed)
        try:
            if isinstance(row, FormatError):
                raise row
            example = reader.example(row)
        except (FormatError, SequenceError, TaskError) as error:
            if on_reject is None:
                raise
            on_reject(reader.as_reject(error, row))
        else:
            yield example


def scan_table(path: str | Path) -> Iterator[Row | FormatError]:
    """The rows of any table by its path; a bad one is yielded as its error, so that reading can go on.

    Args:
        path: CSV, TSV or JSONL, plain or packed, or Parquet; `"-"` is standard input.

    Raises:
        FormatError: The file is no table.
    """
    if data_suffix(path) == PARQUET_SUFFIX:
        yield from scan_parquet(path)
        return
    with open_bytes(path) as stream:
        if b"\0" in stream.peek(1)[:_NUM_LOOKED_AT]:
            # UTF-16 without its mark is valid UTF-8, with a zero beside each letter.
            raise not_utf8(display_name(path), 1, b"\xff\xfe")
        yield from scan_rows(stream, display_name(path), data_suffix(path))


class _Reader:
    """Turns the rows of one table into examples. What they share is found out once: a table may have millions.

    Attributes:
        needed: The columns that each row must have.
    """

    def __init__(self, task: Task, path: str | Path, columns: Columns, policy: Policy, *, labelled: bool) -> None:
        self._task, self._path, self._columns, self._policy, self._labelled = task, path, columns, policy, labelled
        self._type_names = dict(columns.type_names)
        self._types = tuple(zip(task.inputs, columns.types, strict=True)) if columns.types else ()
        inputs = [part.column for part in task.inputs]
        # Sequences without an answer come from anywhere: only labelled tables must have the layout's other columns.
        self.needed = [*inputs, *columns.ids, *columns.types, task.label_column] if labelled else inputs

    def example(self, row: Row) -> Example:
        cells = row.cells
        if any(name not in cells for name in self.needed):
            require_columns(self._path, row, self.needed)
        try:
            for part, column in self._types:
                self._check_type(part, cells.get(column), column)
            sequences = tuple([_clean(part, cells[part.column], self._policy) for part in self._task.inputs])
            answer, value = self._task.answer_of(cells[self._task.label_column]) if self._labelled else (None, None)
        except (SequenceError, TaskError) as error:
            where = f"{display_name(self._path)}:{row.line}"
            raise type(error)(error.problem, where=where, hint=error.hint) from None
        return Example(self._id(row), sequences, answer, value)

    def _check_type(self, part: Input, cell: str | None, column: str) -> None:
        names = self._type_names
        if cell is None:
            return
        if cell.strip() not in names:
            raise TaskError(f"unknown type {cell!r} in column {column!r}", hint=f"known types: {', '.join(names)}")
        if names[cell.strip()] != part.kind:
            expected = next(name for name, kind in names.items() if kind == part.kind)
            raise TaskError(
                f"{column} is {cell!r}, but the task takes {expected!r} there", hint="choose another task or file"
            )

    def _id(self, row: Row) -> str:
        ids = [row.cells.get(column, "").strip() for column in self._columns.ids]
        if ids and all(ids):
            return "|".join(ids)
        for column in _ID_COLUMNS:
            if named := row.cells.get(column, "").strip():
                return named
        return f"row{row.line}"

    def as_reject(self, error: LlamaGeneError, row: Row | FormatError) -> Reject:
        identity = self._id(row) if isinstance(row, Row) else ""
        return Reject(identity, error.where or display_name(self._path), error.problem)


def _clean(part: Input, cell: str, policy: Policy) -> str:
    if part.aligned:
        cell = cell.replace("-", "").replace(".", "")
    if not cell.strip():
        raise SequenceError(f"column {part.column!r} is empty", hint="give it its letters, or remove the row")
    try:
        return ALPHABETS[part.kind].clean(cell, policy)
    except SequenceError as error:
        raise SequenceError(f"column {part.column!r}: {error.problem}", hint=error.hint) from None
