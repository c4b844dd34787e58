"""Rows of CSV, TSV and JSONL files, each with the line it stands on."""

import csv
import difflib
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llama_gene.errors import FormatError
from llama_gene.sequences.compression import as_text, data_suffix, display_name, open_bytes

JSONL_SUFFIXES = {".jsonl", ".ndjson", ".json"}
TABLE_SUFFIXES = {".csv": ",", ".tsv": "\t", ".tab": "\t"}

# Longer than any chromosome, and small enough that a quote that is never closed cannot take all memory.
_MAX_CELL = 1 << 30
_DATA_NOT_NAME = re.compile(r"[-+]?[\d.]+(?:[eE][-+]?\d+)?|[A-Za-z*]{30,}")


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a table.

    Args:
        line: The line of the file it begins on, from 1.
        cells: Column name -> cell, all as text. In JSONL, null is the empty cell and numbers keep their digits.
    """

    line: int
    cells: dict[str, str]


def read_rows(path: str | Path) -> Iterator[Row]:
    """Read a table one row at a time.

    Args:
        path: CSV, TSV or JSONL, compressed or not; ``"-"`` is standard input. JSONL is known by its first character,
            the delimiter by the name (``.csv``, ``.tsv``), else by the header: a tab in it means TSV.

    Raises:
        FormatError: With file and line: no header, a column named twice, a row with too few or too many cells, broken
            quotes or JSON, a nested JSON value, no rows at all.
    """
    name = display_name(path)
    with open_bytes(path) as stream:
        for row in scan_rows(stream, name, data_suffix(path)):
            if isinstance(row, FormatError):
                raise row
            yield row


def scan_rows(stream: io.BufferedReader, name: str, suffix: str) -> Iterator[Row | FormatError]:
    """Like `read_rows`, of an open stream; a bad row is yielded as its error, so that reading can go on.

    Args:
        stream: The unpacked bytes, at their start.
        name: What error messages call the file.
        suffix: Its suffix without that of the compression, or ``""``.
    """
    start = stream.peek(1).removeprefix(b"\xef\xbb\xbf").lstrip()
    if start.startswith(b"{"):
        rows = _scan_jsonl(stream, name)
    elif start.startswith((b">", b"@")):
        hint = "give a CSV, TSV or JSONL file with a header"
        raise FormatError("this is FASTA or FASTQ, not a table", where=name, hint=hint)
    elif suffix in JSONL_SUFFIXES:
        hint = "write one JSON object a line; an array becomes that with: jq -c '.[]' FILE"
        raise FormatError("not JSONL: the first line is no JSON object", where=f"{name}:1", hint=hint)
    else:
        rows = _scan_delimited(stream, name, TABLE_SUFFIXES.get(suffix))
    empty = True
    for row in rows:
        empty = False
        yield row
    if empty:
        raise FormatError("a table without rows", where=name, hint="below the header, give one row a sequence")


def require_columns(path: str | Path, row: Row, names: Iterable[str]) -> None:
    """Check that `row` has the columns `names`.

    Raises:
        FormatError: Names the first column that is missing, those there are, and the nearest match.

    >>> require_columns("dev.csv", Row(2, {"sequence": "ACGT", "label": "1"}), ["sequnce"])
    Traceback (most recent call last):
        ...
    llama_gene.errors.FormatError: dev.csv:2: no column 'sequnce'
      did you mean 'sequence'? columns: sequence, label
    """
    for name in names:
        if name not in row.cells:
            there = list(row.cells)
            near = difflib.get_close_matches(name, there, n=1, cutoff=0.5)
            guess = f"did you mean {near[0]!r}? " if near else ""
            where = f"{display_name(path)}:{row.line}"
            raise FormatError(f"no column {name!r}", where=where, hint=f"{guess}columns: {', '.join(there)}")


def _scan_delimited(stream: io.BufferedReader, name: str, delimiter: str | None) -> Iterator[Row | FormatError]:
    # The limit is global to the process; raising it for all does no harm.
    csv.field_size_limit(max(csv.field_size_limit(), _MAX_CELL))
    text = as_text(stream, name, newline="")
    first = text.readline()
    num_blank = 0
    while first and not first.strip():
        num_blank += 1
        first = text.readline()
    if delimiter is None:
        delimiter = "\t" if "\t" in first else ","

    def lines() -> Iterator[str]:
        yield first
        yield from text

    reader = csv.reader(lines(), delimiter=delimiter, strict=True)
    line = num_blank + 1
    header: list[str] | None = None
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as error:
            hint = "close every quote, and write a quote inside a quoted cell twice"
            raise FormatError(f"broken quotes ({error})", where=f"{name}:{line}", hint=hint) from None
        if cells is None:
            return
        if header is None:
            header = _checked_header(cells, f"{name}:{line}")
        elif len(cells) == len(header):
            yield Row(line, dict(zip(header, cells, strict=True)))
        elif cells:
            hint = "give every row one cell for each column; quote cells that have the delimiter in them"
            problem = f"{len(cells)} cells, but the header has {len(header)} columns"
            yield FormatError(problem, where=f"{name}:{line}", hint=hint)
        line = num_blank + reader.line_num + 1


def _checked_header(names: list[str], where: str) -> list[str]:
    names = [name.strip() for name in names]
    twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if twice:
        raise FormatError(f"the column {twice[0]!r} is there twice", where=where, hint="give each column its own name")
    # An empty first name is what pandas writes over its index, so it is let through.
    if "" in names[1:]:
        problem = f"column {names.index('', 1) + 1} has no name"
        raise FormatError(problem, where=where, hint="name every column in the first line")
    data = [name for name in names if _DATA_NOT_NAME.fullmatch(name)]
    if data:
        short = data[0] if len(data[0]) <= 30 else f"{data[0][:27]}..."
        hint = "put a line with the names of the columns first, for example: sequence,label"
        raise FormatError(f"no header: {short!r} is data, not a column's name", where=where, hint=hint)
    return names


def _scan_jsonl(stream: io.BufferedReader, name: str) -> Iterator[Row | FormatError]:
    for line, text in enumerate(as_text(stream, name), start=1):
        if text.isspace():
            continue
        try:
            yield Row(line, {key: _cell(key, value) for key, value in parse_object(text)})
        except ValueError as error:
            yield FormatError(str(error), where=f"{name}:{line}", hint="write one flat JSON object a line")


def parse_object(text: str) -> list[tuple[str, Any]]:
    """The pairs of a JSON object; numbers stay as they were written.

    Raises:
        ValueError: If `text` is no JSON object, or has a key twice.

    >>> parse_object('{"seq": "ACGT", "value": 1e-05}')
    [('seq', 'ACGT'), ('value', '1e-05')]
    """
    keep: Callable[[str], str] = str
    try:
        pairs = json.loads(text, object_pairs_hook=_Pairs, parse_float=keep, parse_int=keep, parse_constant=keep)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"not valid JSON ({error})") from None
    if not isinstance(pairs, _Pairs):
        raise ValueError(f"a JSON {type(pairs).__name__}, not an object")
    keys = [key for key, _ in pairs]
    twice = [key for key in dict.fromkeys(keys) if keys.count(key) > 1]
    if twice:
        raise ValueError(f"the key {twice[0]!r} is there twice")
    return list(pairs)


class _Pairs(list[tuple[str, Any]]):
    """The pairs of a JSON object, told apart from a JSON array."""


def _cell(key: str, value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    kind = "an object" if isinstance(value, _Pairs) else "an array"
    raise ValueError(f"{key!r} holds {kind}, and a cell is text or a number")
