"""Rows of a Parquet file, where pyarrow is installed."""

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from llama_gene.errors import FormatError
from llama_gene.sequences.table import Row

PARQUET_SUFFIX = ".parquet"

_ROWS_AT_A_TIME = 1024


def scan_parquet(path: str | Path) -> Iterator[Row | FormatError]:
    """The rows of a Parquet file; a bad one is yielded as its error. A row's number, from 1, stands for its line.

    Raises:
        FormatError: pyarrow is not installed, no such file, or no Parquet.
    """
    try:
        parquet: Any = import_module("pyarrow.parquet")
    except ImportError:
        hint = "pip install pyarrow, or write it as CSV: pandas.read_parquet(FILE).to_csv(NEW, index=False)"
        raise FormatError("Parquet files need the package pyarrow", where=path, hint=hint) from None
    try:
        with parquet.ParquetFile(path) as file:
            number = 0
            for batch in file.iter_batches(_ROWS_AT_A_TIME):
                for values in batch.to_pylist():
                    number += 1
                    yield _row(values, number, path)
    except FileNotFoundError:
        raise FormatError("no such file", where=path, hint="check the path") from None
    except (OSError, ValueError) as error:  # what pyarrow raises are kinds of ValueError
        raise FormatError(f"not a Parquet file ({str(error).splitlines()[0]})", where=path) from None


def _row(values: dict[str, Any], number: int, path: str | Path) -> Row | FormatError:
    cells = {}
    for name, value in values.items():
        if isinstance(value, bool):
            value = str(value).lower()  # as in JSON
        elif not isinstance(value, str | int | float | None):
            problem = f"{name!r} holds {type(value).__name__}, and a cell is text or a number"
            return FormatError(problem, where=f"{path}:{number}")
        cells[name] = "" if value is None else str(value)
    return Row(number, cells)
