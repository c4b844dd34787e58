"""Options, and ways to show something, that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

AskedModel = Annotated[
    Path | None, typer.Option("--model", help="A model folder; the quickstart's here, else the one in the package.")
]
TableFile = Annotated[
    Path | None,
    typer.Option("--output", help="The file to write, .tsv, .csv, .jsonl or .parquet; standard output if not given."),
]
TableFormat = Annotated[
    str | None, typer.Option("--format", help="tsv, csv, jsonl or parquet, whatever the file's name.")
]
LetterPolicy = Annotated[
    str,
    typer.Option(
        "--bad-letters",
        help="Letters outside the alphabet: refuse the file, skip the record, drop or mask the letters.",
    ),
]
TopP = Annotated[
    float, typer.Option("--top-p", help="Draw from the most probable tokens that have this share together.")
]


def shown_bytes(size: float) -> str:
    """A size as people read it.

    >>> shown_bytes(999), shown_bytes(1_240_000)
    ('999 B', '1.2 MB')
    """
    for unit, limit in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= limit:
            return f"{size / limit:,.1f} {unit}"
    return f"{size:.0f} B"
