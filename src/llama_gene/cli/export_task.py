"""``tasks export``: a task for lm-evaluation-harness."""

from pathlib import Path
from typing import Annotated

import typer

from llama_gene.cli.rejects import Rejects


def export(
    name: Annotated[str, typer.Argument(help="A built-in task, or a task file.")],
    file: Annotated[Path, typer.Argument(help="A labelled table of the task's layout.")],
    to: Annotated[Path, typer.Option(help="The folder for the YAML file and the documents.")],
    data: Annotated[Path | None, typer.Option("--data", help="The folder that holds tasks/, for its labels.")] = None,
    bare: Annotated[
        bool, typer.Option("--bare", help="Sequences without tags, for models whose tokenizer has no typed spans.")
    ] = False,
) -> None:
    """Write a task for lm-evaluation-harness: a YAML file, and the prompts and answers of a table; no code."""
    from llama_gene.tasks.check import prefixed_labels
    from llama_gene.tasks.convert import read_examples
    from llama_gene.tasks.export import export_to_harness
    from llama_gene.tasks.registry import load_task

    task, rejects = load_task(name, data), Rejects()
    try:
        known_as, num = export_to_harness(task, read_examples(task, file, on_reject=rejects), to, bare=bare)
    finally:
        rejects.tell()
    typer.echo(f"{to / known_as}.yaml: {num:,} rows, {rejects.total:,} set aside")
    if pairs := prefixed_labels(task):
        names = ", ".join(f"{long!r} with {short!r}" for short, long in pairs)
        typer.echo(
            f"names that begin with another one: {names}; the harness, which scores no end, prefers the short one",
            err=True,
        )
    typer.echo(f"cd {to} && lm_eval --model hf --model_args pretrained=MODEL --include_path . --tasks {known_as}")
