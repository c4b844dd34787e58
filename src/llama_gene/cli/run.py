"""``run``, ``quickstart``, and the commands that stop after one stage of a recipe."""

from importlib import resources
from pathlib import Path
from typing import Annotated, Any

import typer

RecipeFile = Annotated[Path, typer.Argument(help="A recipe: recipes/*.toml, or your own.", show_default=False)]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(
        help="Settings to change, as section.key=value.", metavar="[section.key=value]...", show_default=False
    ),
]
DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="Print what would be done, and what it takes: files, disk, tokens, memory, hours."),
]

Until = Annotated[str | None, typer.Option(help="Stop after this stage.", metavar="STAGE", show_default=False)]


def run(recipe: RecipeFile, overrides: Overrides = None, dry_run: DryRun = False, until: Until = None) -> None:
    """Run a recipe: all stages in order; what is done and unchanged is skipped, what was killed goes on."""
    _run(_load(recipe, overrides), dry_run=dry_run, until=until)


def quickstart(overrides: Overrides = None, dry_run: DryRun = False) -> None:
    """From nothing to a trained, evaluated model on simulated data, in some minutes on two CPU cores."""
    with resources.as_file(resources.files("llama_gene") / "quickstart.toml") as recipe:
        loaded = _load(recipe, overrides)
    _run(loaded, dry_run=dry_run)


def pretrain(recipe: RecipeFile, overrides: Overrides = None) -> None:
    """Run a recipe up to and with continued pre-training."""
    _run(_load(recipe, overrides), until="pretrain")


def finetune(recipe: RecipeFile, overrides: Overrides = None) -> None:
    """Run a recipe up to and with instruction tuning."""
    _run(_load(recipe, overrides), until="finetune")


def _load(recipe: Path, overrides: list[str] | None) -> Any:
    from llama_gene.config import load_recipe

    return load_recipe(recipe, overrides)


def _run(recipe: Any, *, dry_run: bool = False, until: str | None = None) -> None:
    from llama_gene.pipeline import Run

    whole = Run(recipe)
    if dry_run:
        typer.echo(f"recipe {recipe.name}, seed {recipe.seed}, in {whole.folder}, data from {recipe.data_root}")
        for stage, done in whole.plan():
            typer.echo(f"  {stage.name:<12} {'done, skipped' if done else 'to do':<14} -> {stage.output}")
        from llama_gene.cli.forecast import print_forecast
        from llama_gene.pipeline.forecast import forecast

        print_forecast(forecast(recipe))
        return
    whole.execute(lambda line: typer.echo(line, err=True), until=until)
    _show_results(whole.folder, until)


def _show_results(folder: Path, until: str | None) -> None:
    report = folder / "report" / "report.json"
    if until is not None or not report.exists():
        return
    from rich.console import Console

    from llama_gene.evaluation.report import to_terminal
    from llama_gene.evaluation.result import Report

    found = Report.from_json(report.read_text(encoding="utf-8"), where=str(report))
    Console().print(to_terminal(found))
    typer.echo(f"report: {folder / 'report' / 'report.html'}")
    typer.echo(f"model:  {folder / 'model'}")
    task = found.results[0].name if found.results else "NAME"
    typer.echo(f"use it: llama-gene predict FILE --task {task} --model {folder / 'model'}")
