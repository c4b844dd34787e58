"""``data list`` and ``data fetch``."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from llama_gene.cli.options import shown_bytes

if TYPE_CHECKING:
    from llama_gene.config import DataFileSettings
    from llama_gene.fetch import Plan, Wanted

app = typer.Typer(no_args_is_help=True)


@app.command("list")
def list_sets(
    as_json: Annotated[bool, typer.Option("--json", help="Print all that is known, as JSON.")] = False,
) -> None:
    """List the public data sets that can be fetched by name; nothing is asked of the network."""
    from rich.console import Console
    from rich.table import Table

    from llama_gene.fetch import find_sets, load_catalogue

    catalogue = load_catalogue()
    if as_json:
        typer.echo(json.dumps({name: public.model_dump() for name, public in catalogue.items()}, indent=2))
        return
    table = Table("name", "about", "licence", "what", box=None)
    for name, public in catalogue.items():
        files = [file for part in find_sets([name]).values() for file in part.file]
        known = all(file.size for file in files)
        size = sum(file.size or 0 for file in files)
        table.add_row(name, shown_bytes(size) if known else "", public.licence, public.title)
    Console().print(table)


@app.command()
def fetch(
    names: Annotated[list[str] | None, typer.Argument(help="Public sets; data list prints them.")] = None,
    recipe: Annotated[
        Path | None, typer.Option(help="Fetch the files that a recipe names under data.file.", show_default=False)
    ] = None,
    root: Annotated[
        Path | None,
        typer.Option(help="The data root; that of the recipe, or else the current folder.", show_default=False),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be fetched, and its size.")] = False,
    mirror: Annotated[
        str | None,
        typer.Option(help="A server with a folder for each host, as wget -x makes them.", show_default=False),
    ] = None,
) -> None:
    """Fetch public data to where tasks and recipes look for it; what was cut goes on with the same command."""
    from llama_gene.config import load_recipe
    from llama_gene.errors import LlamaGeneError, SettingsError
    from llama_gene.fetch import bring, make_plan, wanted_of_recipe, wanted_of_sets

    if not names and recipe is None:
        raise SettingsError("nothing to fetch", hint="name sets (llama-gene data list), or give --recipe RECIPE")
    wanted = wanted_of_sets(names or [])
    by_hand: list[DataFileSettings] = []
    if recipe is not None:
        settings = load_recipe(recipe).data
        root = settings.root if root is None else root
        more, by_hand = wanted_of_recipe(settings.file)
        wanted += more
    folder = root or Path()
    by_hand = [file for file in by_hand if not (folder / file.path).exists()]
    plan = make_plan(wanted, folder, mirror)
    _show(plan, wanted, by_hand)
    if plan.files and not dry_run:
        plan.check_space()
        _ask(yes)
        bring(plan, typer.echo)
    if by_hand and not dry_run:
        hint = "llama-gene run RECIPE --dry-run names what a recipe still lacks"
        raise LlamaGeneError(f"{len(by_hand)} files are to be brought by hand: they stand above", hint=hint)


def _show(plan: "Plan", wanted: list["Wanted"], by_hand: list["DataFileSettings"]) -> None:
    """What is there, what comes from where, how much, under what licence, and what nobody but the user can bring."""
    if plan.here:
        typer.echo(f"there already, and verified: {len(plan.here)} files")
    last = None
    for file in sorted(plan.files, key=lambda file: file.origin.rpartition("/")[0]):
        place = file.origin.rpartition("/")[0]
        if place != last:
            typer.echo(f"from {place}")
        last = place
        size = "size unknown" if file.size is None else shown_bytes(file.size)
        typer.echo(f"  {size:>12}  {file.path}")
    if plan.files:
        free = shown_bytes(plan.free)
        typer.echo(f"{len(plan.files)} files, {shown_bytes(plan.size)}, to {plan.folder.root}; {free} are free")
    for licence, citation in dict.fromkeys((one.licence, one.citation) for one in wanted):
        typer.echo(f"licence: {licence or 'not known to us'}" + (f"; please cite {citation}" if citation else ""))
    if by_hand:
        typer.echo("by hand:")
    for one in by_hand:
        typer.echo(f"  {plan.folder.root / one.path}: {one.origin}")


def _ask(yes: bool) -> None:
    from llama_gene.errors import SettingsError

    if yes:
        return
    if not sys.stdin.isatty():
        raise SettingsError("nobody is there to be asked", hint="look at the sizes and licences above, and add --yes")
    typer.confirm("Fetch?", abort=True)
