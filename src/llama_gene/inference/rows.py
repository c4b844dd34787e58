"""Rows of any table of results, as TSV, CSV, JSON lines or Parquet.

Rows are written as text in any case, so that a killed run can go on; Parquet is made of that text at the end, by the
thousand rows, in bounded memory.
"""

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any, Final, Literal

from llama_gene.errors import SettingsError
from llama_gene.files import atomic_path, publish

Cell = str | float | int | None
RowFormat = Literal["tsv", "csv", "jsonl", "parquet"]
FORMATS: Final[tuple[RowFormat, ...]] = ("tsv", "csv", "jsonl", "parquet")

_SUFFIXES: Final[Mapping[str, RowFormat]] = {
    "": "tsv",
    ".txt": "tsv",
    ".tsv": "tsv",
    ".csv": "csv",
    ".jsonl": "jsonl",
    ".parquet": "parquet",
}
_ROW_GROUP = 65_536


@dataclass(frozen=True, slots=True)
class Column:
    """A column of results.

    Args:
        name: Its header.
        type: What its cells are; a cell may be missing in any case.
        decimals: Of a number in TSV and CSV; JSON lines and Parquet have all of it.
    """

    name: str
    type: type[str] | type[float] | type[int]
    decimals: int = 4


def format_of(output: Path | None, name: str | None) -> RowFormat:
    """The format that is asked for by `name`, else the one that the suffix of `output` says; TSV without either.

    Raises:
        SettingsError: No such format; or Parquet, where pyarrow is missing or there is no file to write it to.
    """
    if name is not None and name not in FORMATS:
        raise SettingsError(f"--format {name!r}", hint=f"one of: {', '.join(FORMATS)}")
    suffix = "" if output is None else output.suffix.lower()
    if name is None and suffix not in _SUFFIXES:
        hint = f"end it with {', '.join(known for known in _SUFFIXES if known)}, or say --format"
        raise SettingsError(f"the name says no format: {suffix!r}", where=output, hint=hint)
    chosen = _SUFFIXES[suffix] if name is None else FORMATS[FORMATS.index(name)]
    if chosen == "parquet":
        require_pyarrow()
        if output is None:
            raise SettingsError("Parquet cannot be written to standard output", hint="say --output FILE.parquet")
    return chosen


def require_pyarrow() -> None:
    """Check that Parquet can be written.

    Raises:
        SettingsError: pyarrow is not installed.
    """
    try:
        import_module("pyarrow.parquet")
    except ImportError:
        hint = "pip install 'llama-gene[parquet]', or write .tsv, .csv or .jsonl"
        raise SettingsError("Parquet needs the package pyarrow", hint=hint) from None


class RowWriter:
    """Rows as the text of one format.

    Args:
        columns: Their columns.
        form: The format; of Parquet the text is JSON lines until `finish`.
    """

    def __init__(self, columns: Sequence[Column], form: RowFormat) -> None:
        self.columns, self.form = tuple(columns), form

    def head(self) -> str:
        """What stands before the first row."""
        if self.form in {"jsonl", "parquet"}:
            return ""
        return self._delimited([[column.name for column in self.columns]])

    def text(self, rows: Iterable[Sequence[Cell]]) -> str:
        """The text of rows, each with a cell for each column."""
        if self.form in {"jsonl", "parquet"}:
            names = [column.name for column in self.columns]
            objects = (dict(zip(names, row, strict=True)) for row in rows)
            return "".join(json.dumps(value, ensure_ascii=False) + "\n" for value in objects)
        return self._delimited([[_shown(*pair) for pair in zip(self.columns, row, strict=True)] for row in rows])

    def _delimited(self, rows: list[list[str]]) -> str:
        if self.form == "tsv":  # no quotes: white space that would break the table is one space
            return "".join("\t".join(" ".join(cell.split()) for cell in row) + "\n" for row in rows)
        buffer = io.StringIO()
        csv.writer(buffer, lineterminator="\n").writerows(rows)
        return buffer.getvalue()

    def finish(self, partial: Path, output: Path) -> None:
        """Make the final file of all text; see `resume.Finish`."""
        if self.form != "parquet":
            publish(partial, output)
            return
        arrow: Any = import_module("pyarrow")
        parquet: Any = import_module("pyarrow.parquet")
        types = {str: arrow.string(), float: arrow.float64(), int: arrow.int64()}
        schema = arrow.schema([(column.name, types[column.type]) for column in self.columns])
        with (
            partial.open(encoding="utf-8") as lines,
            atomic_path(output) as draft,
            parquet.ParquetWriter(draft, schema) as writer,
        ):
            while rows := [json.loads(line) for line in islice(lines, _ROW_GROUP)]:
                writer.write_table(arrow.Table.from_pylist(rows, schema=schema))


def _shown(column: Column, cell: Cell) -> str:
    if cell is None:
        return "-"
    return f"{cell:.{column.decimals}f}" if column.type is float else str(cell)
