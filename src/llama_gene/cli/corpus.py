"""``corpus build`` and ``corpus show``; ``corpus plan``, ``work`` and ``finish`` for many machines."""

from pathlib import Path
from typing import Annotated, Any

import typer

from llama_gene.cli.run import DryRun, Overrides, RecipeFile, run

app = typer.Typer(no_args_is_help=True)

CorpusFolder = Annotated[Path, typer.Argument(help="A corpus folder of a run.", show_default=False)]


@app.command()
def build(recipe: RecipeFile, overrides: Overrides = None, dry_run: DryRun = False) -> None:
    """Run a recipe up to and with its corpus."""
    if dry_run:
        run(recipe, overrides, dry_run=True)
        return
    from llama_gene.config import load_recipe
    from llama_gene.pipeline import Run

    whole = Run(load_recipe(recipe, overrides))
    whole.execute(_say, until="corpus")
    show(whole.folder / "corpus")


@app.command()
def plan(recipe: RecipeFile, overrides: Overrides = None) -> None:
    """Run a recipe up to its corpus, and freeze the plan of that: its tasks, for `corpus work` anywhere."""
    from llama_gene.config import load_recipe
    from llama_gene.pipeline import Run
    from llama_gene.pipeline.stages import plan_corpus

    whole = Run(load_recipe(recipe, overrides))
    whole.execute(_say, until="model")
    frozen = plan_corpus(whole.recipe)
    num_bytes = sum(task.num_bytes for task in frozen.tasks)
    typer.echo(f"{len(frozen.tasks)} tasks, {num_bytes:,} bytes, in {frozen.folder}")
    typer.echo(f"do them:  llama-gene corpus work {frozen.folder} [--share I/N]")
    typer.echo(f"and then: llama-gene corpus finish {frozen.folder}")


@app.command()
def work(
    corpus: CorpusFolder,
    share: Annotated[
        str, typer.Option(help="Of N workers this is number I, from 0: it does every N-th task.", metavar="I/N")
    ] = "0/1",
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes at a time; all cores if not given.", show_default=False)
    ] = None,
) -> None:
    """Do the tasks of a plan that are not done; as many at once, on as many machines, as you like."""
    from llama_gene.corpus.build import choose_executor, do_tasks
    from llama_gene.corpus.plan import Plan

    place, num = _parse_share(share)
    frozen = Plan.load(corpus)
    mine = frozen.tasks[place::num]
    do_tasks(frozen, mine, choose_executor(frozen, frozen.settings.model_copy(update={"workers": workers})))
    done = sum(frozen.is_done(task) for task in frozen.tasks)
    typer.echo(f"{len(mine)} tasks are done here, and {done} of {len(frozen.tasks)} in all")


@app.command()
def finish(corpus: CorpusFolder) -> None:
    """Put together what `corpus work` has made: duplicates, what is held out, the manifest."""
    from llama_gene.corpus.build import finish_corpus
    from llama_gene.corpus.plan import Plan

    finish_corpus(Plan.load(corpus))
    show(corpus)


@app.command()
def show(
    corpus: CorpusFolder,
    tokens: Annotated[
        int | None,
        typer.Option(min=1, help="Tokens to train on; those of the run's recipe if not given.", show_default=False),
    ] = None,
) -> None:
    """Draw the sources of a corpus: documents, tokens, letters, weights, epochs, and what was set aside."""
    from rich.console import Console

    from llama_gene.corpus.plan import MANIFEST
    from llama_gene.corpus.summary import draw_tree, warnings_of
    from llama_gene.files import read_json

    manifest = read_json(corpus / MANIFEST)
    num_tokens = tokens or _planned_tokens(corpus)
    console = Console()
    console.print(draw_tree(manifest, str(corpus), num_tokens))
    for warning in warnings_of(manifest, num_tokens):
        console.print(f"warning: {warning}", style="yellow", markup=False)


def _planned_tokens(corpus: Path) -> int | None:
    """The tokens that the recipe of the run trains on, where the corpus lies in the folder of one."""
    from llama_gene.files import read_json

    recipe = corpus.absolute().parent / "recipe.json"
    planned: Any = read_json(recipe).get("pretrain") if recipe.is_file() else None
    return planned["tokens"] if planned else None


def _parse_share(text: str) -> tuple[int, int]:
    from llama_gene.errors import SettingsError

    place, slash, num = text.partition("/")
    if not (slash and place.isdecimal() and num.isdecimal() and int(place) < int(num)):
        raise SettingsError(f"not a share: {text!r}", hint="write --share I/N, with I from 0 to N - 1")
    return int(place), int(num)


def _say(line: str) -> None:
    typer.echo(line, err=True)
