"""Options that several commands share."""

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
