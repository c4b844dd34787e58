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
    name = display_name(path)
    first = True
    for row in scan_table(path):
        if first and isinstance(row, Row):
            # A column that the whole file lacks is the file's fault, and no row's: it raises in any case.
            first = False
            require_columns(path, row, _needed(task, columns, labelled))
        try:
            if isinstance(row, FormatError):
                raise row
            example = _example(task, path, row, columns, policy, labelled)
        except (FormatError, SequenceError, TaskError) as error:
            if on_reject is None:
                raise
            on_reject(_as_reject(error, row, columns, name))
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


def _needed(task: Task, columns: Columns, labelled: bool) -> list[str]:
    needed = [part.column for part in task.inputs]
    # Sequences without an answer come from anywhere: only labelled tables must have the layout's other columns.
    return [*needed, *columns.ids, *columns.types, task.label_column] if labelled else needed


def _example(task: Task, path: str | Path, row: Row, columns: Columns, policy: Policy, labelled: bool) -> Example:
    require_columns(path, row, _needed(task, columns, labelled))
    where = f"{display_name(path)}:{row.line}"
    try:
        for part, column in zip(task.inputs, columns.types, strict=bool(columns.types)):
            _check_type(part, row.cells.get(column), column, columns)
        sequences = tuple(_clean(part, row, policy) for part in task.inputs)
        answer, value = task.answer_of(row.cells[task.label_column]) if labelled else (None, None)
    except (SequenceError, TaskError) as error:
        raise type(error)(error.problem, where=where, hint=error.hint) from None
    return Example(_id(row, columns), sequences, answer, value)


def _clean(part: Input, row: Row, policy: Policy) -> str:
    cell = row.cells[part.column]
    if part.aligned:
        cell = cell.replace("-", "").replace(".", "")
    if not cell.strip():
        raise SequenceError(f"column {part.column!r} is empty", hint="give it its letters, or remove the row")
    try:
        return ALPHABETS[part.kind].clean(cell, policy)
    except SequenceError as error:
        raise SequenceError(f"column {part.column!r}: {error.problem}", hint=error.hint) from None


def _check_type(part: Input, cell: str | None, column: str, columns: Columns) -> None:
    names = dict(columns.type_names)
    if cell is None:
        return
    if cell.strip() not in names:
        raise TaskError(f"unknown type {cell!r} in column {column!r}", hint=f"known types: {', '.join(names)}")
    if names[cell.strip()] != part.kind:
        expected = next(name for name, kind in names.items() if kind == part.kind)
        raise TaskError(
            f"{column} is {cell!r}, but the task takes {expected!r} there", hint="choose another task or file"
        )


def _id(row: Row, columns: Columns) -> str:
    if columns.ids and all(row.cells.get(column, "").strip() for column in columns.ids):
        return "|".join(row.cells[column].strip() for column in columns.ids)
    named = (row.cells[column].strip() for column in _ID_COLUMNS if row.cells.get(column, "").strip())
    return next(named, f"row{row.line}")


def _as_reject(error: LlamaGeneError, row: Row | FormatError, columns: Columns, name: str) -> Reject:
    identity = _id(row, columns) if isinstance(row, Row) else ""
    return Reject(identity, error.where or name, error.problem)
