"""``tasks list``, ``tasks show`` and ``tasks check``."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True)
TaskName = Annotated[str, typer.Argument(help="A built-in task, or a task file.")]


@app.command("list")
def list_tasks() -> None:
    """List the built-in tasks."""
    from rich.console import Console
    from rich.table import Table

    from llama_gene.tasks.registry import builtin_names, load_task

    table = Table("task", "kind", "row of the paper", "what", box=None)
    for name in builtin_names():
        task = load_task(name)
        table.add_row(task.name, task.kind, task.row, task.title)
    Console().print(table)


@app.command()
def show(name: TaskName) -> None:
    """Show a task: its question, its answers, and a prompt."""
    from llama_gene.tasks.registry import load_task
    from llama_gene.tasks.template import prompt_hash, prompt_parts
    from llama_gene.tokenizer import render

    task = load_task(name)
    example = ["ACGTACGT" if given.kind == "dna" else "MKTAYIAK" for given in task.inputs]
    answers = list(task.candidates) or ["free text" if task.kind == "text" else "names, separated by commas"]
    shown = answers if len(answers) <= 12 else [*answers[:4], "...", answers[-1]]
    typer.echo(f"{task.name}: {task.title} ({task.kind}; {task.row})")
    typer.echo(f"columns: {', '.join(given.column for given in task.inputs)}; label: {task.label_column}")
    typer.echo(f"answers: {', '.join(shown)}; main metric: {task.metric}")
    typer.echo(f"source:  {task.source or 'not given'}; licence: {task.licence or 'not given'}")
    typer.echo(f"prompt hash {prompt_hash(task)[:16]}; a prompt:\n\n{render(prompt_parts(task, example))}")


@app.command()
def check(name: TaskName, file: Annotated[Path, typer.Argument(help="A labelled table of the task's layout.")]) -> None:
    """Check a labelled table against a task: every row that does not hold is listed with its reason."""
    from collections import Counter

    from llama_gene.errors import TaskError
    from llama_gene.tasks.registry import load_task
    from llama_gene.tasks.rows import load_rows

    task = load_task(name)
    rows = load_rows(task, file)
    for reject in rows.rejects:
        typer.echo(f"{reject.where}: {reject.reason}", err=True)
    if task.kind == "classification":
        counts = Counter(example.answer for example in rows.examples)
        typer.echo(", ".join(f"{label}: {counts[label]:,}" for label in task.label_names))
    typer.echo(f"{file}: {len(rows.examples):,} rows hold, {len(rows.rejects):,} do not")
    if rows.rejects:
        raise TaskError(f"{len(rows.rejects)} rows do not hold", where=file)
