"""``report``: what evaluations found, shown again, and side by side."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True)

Place = Annotated[Path, typer.Argument(help="A report.json, the folder that holds it, or a run's.", show_default=False)]


@app.command()
def show(place: Place) -> None:
    """Print a report as a table."""
    from rich.console import Console

    from llama_gene.evaluation.report import to_terminal
    from llama_gene.evaluation.stored import StoredReport

    stored = StoredReport.read(place)
    Console().print(to_terminal(stored.report))
    notes = [*stored.report.notes, *(f"{one.name}: {one.note}" for one in stored.report.results if one.note)]
    for note in notes:
        typer.echo(f"note: {note}")
    page = stored.path.with_name("report.html")
    if page.is_file():
        typer.echo(f"the whole report: {page}")


@app.command()
def markdown(
    place: Place,
    output: Annotated[
        Path | None, typer.Option(help="The file to write; standard output if not given.", show_default=False)
    ] = None,
) -> None:
    """Write a report as Markdown, from its report.json alone: docs/results.md is made so."""
    from llama_gene.evaluation.markdown import to_markdown
    from llama_gene.evaluation.stored import StoredReport
    from llama_gene.files import write_text

    text = to_markdown(StoredReport.read(place).report)
    if output is None:
        typer.echo(text, nl=False)
        return
    write_text(output, text)
    typer.echo(f"{output}: written")


@app.command()
def compare(
    places: Annotated[
        list[Path],
        typer.Argument(help="Reports, as for `show`; the others are compared with the first.", show_default=False),
    ],
    output: Annotated[
        Path | None, typer.Option(help="A folder for comparison.html and comparison.json.", show_default=False)
    ] = None,
    average: Annotated[
        bool, typer.Option("--average", help="Take reports of one title as seeds of one recipe, and average them.")
    ] = False,
) -> None:
    """Put reports side by side: differences with error bars on the same test rows, and McNemar's test."""
    from datetime import UTC, datetime

    from rich.console import Console

    import llama_gene
    from llama_gene.evaluation.compare import compare as compare_models
    from llama_gene.evaluation.compare import models_of
    from llama_gene.evaluation.comparison import to_terminal, write
    from llama_gene.evaluation.stored import StoredReport

    models = models_of([StoredReport.read(place) for place in places], average=average)
    found = compare_models(
        models, created=datetime.now(UTC).isoformat(timespec="seconds"), version=llama_gene.__version__
    )
    Console().print(to_terminal(found))
    if output is not None:
        write(found, output)
        typer.echo(f"comparison: {output / 'comparison.html'}")
