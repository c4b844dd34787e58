"""``corpus build`` and ``corpus show``."""

from pathlib import Path
from typing import Annotated

import typer

from llama_gene.cli.run import Overrides, RecipeFile

app = typer.Typer(no_args_is_help=True)


@app.command()
def build(recipe: RecipeFile, overrides: Overrides = None) -> None:
    """Run a recipe up to and with its corpus."""
    from llama_gene.config import load_recipe
    from llama_gene.pipeline import Run

    whole = Run(load_recipe(recipe, overrides))
    whole.execute(lambda line: typer.echo(line, err=True), until="corpus")
    show(whole.folder / "corpus")


@app.command()
def show(corpus: Annotated[Path, typer.Argument(help="A corpus folder of a run.")]) -> None:
    """Draw the sources of a corpus: documents, tokens, weights, and what was set aside."""
    from rich.console import Console
    from rich.tree import Tree

    from llama_gene.files import read_json

    manifest = read_json(corpus / "manifest.json")
    weights = {task["name"]: task["source"]["weight"] for task in manifest["plan"]["tasks"]}
    tree = Tree(f"[bold]{corpus}[/bold]")
    branches = {}
    for name, task in manifest["tasks"].items():
        source = task["source"]
        if source not in branches:
            branches[source] = tree.add(f"{source} ({task['kind']}), weight {weights[name]:g}")
        train, held_out = task["train"], task["validation"]
        line = f"{task['file']}: {train['documents']:,} documents, {train['tokens']:,} tokens"
        line += f"; held out {held_out['documents']:,}"
        if task["rejects"]:
            line += f"; {task['rejects']:,} set aside (parts/{name}/rejects.jsonl)"
        if task["neutralised_tags"]:
            line += f"; {task['neutralised_tags']:,} literal tags made harmless"
        branches[source].add(line)
    Console().print(tree)
