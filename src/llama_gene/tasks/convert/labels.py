"""Label names that stand in a file beside the tables: what cell means which name."""

import csv
import re
from itertools import chain
from pathlib import Path

from llama_gene.errors import FormatError
from llama_gene.sequences.compression import open_text

_MAX_LABELS = 10_000
_HEADER = re.compile(r"(?i)labels?|names?|label[_ ]names?|class(?:es)?")


def read_labels(path: Path, *, has_header: bool) -> dict[str, str]:
    """The label names of a file: cell of the label column -> name, in the order of the file.

    A file with a comma or a tab in its first line is a table: the first column is the cell, the second its name. Any
    other holds one name a line, for the cells 0, 1, 2 and so on. A header is passed over.

    Args:
        path: The file.
        has_header: The first line is a header whatever it says, as in LucaOne's files; else only if it looks like one.

    Raises:
        FormatError: With file and line: no such file, a cell named twice, a line without a name, far too many lines.
    """
    labels: dict[str, str] = {}
    with open_text(path) as stream:
        first = stream.readline()
        delimiter = next((mark for mark in "\t," if mark in first), None)
        header = has_header or _HEADER.fullmatch(first.partition(delimiter or "\n")[0].strip())
        for number, line in enumerate(chain([first], stream), start=1):
            where = f"{path}:{number}"
            if not line.strip() or (header and number == 1):
                continue
            if len(labels) == _MAX_LABELS:
                raise FormatError(f"more than {_MAX_LABELS:,} labels", where=where, hint="give one label a line")
            cell, name = str(len(labels)), line.strip()
            if delimiter is not None:
                cell, name = (part.strip() for part in (*next(csv.reader([line], delimiter=delimiter)), "", "")[:2])
            if not name or cell in labels:
                problem = f"label {cell!r} is named twice" if cell in labels else "a label without a name"
                raise FormatError(problem, where=where, hint="give each label one line")
            labels[cell] = name
    return labels
