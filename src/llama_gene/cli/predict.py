"""``predict``: labels or numbers with probabilities for new sequences."""

from pathlib import Path
from typing import Annotated

import typer


def predict(
    file: Annotated[
        str, typer.Argument(help="FASTA, FASTQ, GenBank, CSV, TSV or JSONL, also packed; - is standard input.")
    ],
    task: Annotated[str, typer.Option(help="A task that the model was tuned on.")],
    model: Annotated[
        Path | None, typer.Option(help="A model folder; the quickstart's here, else the one in the package.")
    ] = None,
    output: Annotated[Path | None, typer.Option(help="The TSV to write; standard output if not given.")] = None,
    bad_letters: Annotated[
        str,
        typer.Option(help="Letters outside the alphabet: refuse the file, skip the record, drop or mask the letters."),
    ] = "refuse",
    batch_tokens: Annotated[int, typer.Option(min=1, help="Prompt tokens scored at a time.")] = 16_384,
) -> None:
    """Predict a task for every record of a file: a TSV with label and probability, in the order of the file."""
    from llama_gene.inference.engine import Engine
    from llama_gene.inference.table import read_unlabelled, write_predictions
    from llama_gene.model.default import default_model
    from llama_gene.progress import progress

    engine = Engine.load(model or default_model())
    definition = engine.task(task)
    rejects: list[str] = []
    examples = read_unlabelled(definition, file, bad_letters, rejects)
    with progress(f"predict {task}", None) as report:
        predictions = engine.predict(definition, examples, batch_tokens=batch_tokens, on_done=report)
        num_written = write_predictions(definition, predictions, output)
    for line in rejects[:5]:
        typer.echo(f"set aside: {line}", err=True)
    if len(rejects) > 5:
        typer.echo(f"... and {len(rejects) - 5} more", err=True)
    typer.echo(f"{num_written:,} predictions{f', {len(rejects):,} records set aside' if rejects else ''}", err=True)
