"""``model extend``, ``model merge``, ``model export``, ``model push`` and ``model plan``."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True)


@app.command()
def extend(
    base: Annotated[str, typer.Option(help="A Hugging Face model folder, or a hub id.")],
    output: Annotated[Path, typer.Option(help="The folder to make.")],
    dna: Annotated[Path | None, typer.Option(help="A DNA vocabulary.")] = None,
    protein: Annotated[Path | None, typer.Option(help="A protein vocabulary.")] = None,
    rows: Annotated[str, typer.Option(help="How the new rows start: subword, mean or random.")] = "subword",
    seed: Annotated[int, typer.Option(help="Decides the noise of the new rows.")] = 17,
) -> None:
    """Extend a model: its tokenizer with typed spans, its embedding and head with the rows for them."""
    from llama_gene.config import ModelSettings, validate
    from llama_gene.errors import SettingsError
    from llama_gene.model.create import extend_base
    from llama_gene.vocabulary.train import SequenceVocabulary

    settings = validate(ModelSettings, {"base": base, "rows": rows}, where="model extend")
    vocabularies = [SequenceVocabulary.load(folder) for folder in (dna, protein) if folder is not None]
    if not vocabularies:
        raise SettingsError("nothing to extend with", hint="give --dna FOLDER, --protein FOLDER, or both")
    extend_base(settings, vocabularies, output, seed=seed)
    typer.echo(f"{output}: ready for pre-training")


@app.command()
def merge(
    base: Annotated[Path, typer.Argument(help="The model folder that the adapter was trained on.")],
    adapter: Annotated[Path, typer.Argument(help="The adapter folder.")],
    output: Annotated[Path, typer.Option(help="The folder to make.")],
) -> None:
    """Merge an adapter into its model; any engine can load the result."""
    from llama_gene.model.merge import merge_folders

    merge_folders(base, adapter, output)
    typer.echo(f"{output}: merged")


@app.command()
def export(
    model: Annotated[Path, typer.Argument(help="A (merged) model folder.")],
    output: Annotated[Path, typer.Option(help="The folder to make.")],
    report: Annotated[
        Path | None, typer.Option(help="A report.json of this model, for the card; that of its run if not given.")
    ] = None,
    half: Annotated[bool, typer.Option("--half", help="Round the weights to bf16: half of the room.")] = False,
) -> None:
    """Write a folder that every tool opens, with a model card; checked by transformers without our code."""
    from llama_gene.evaluation.card import scores_of
    from llama_gene.model.export import export as export_model

    check = export_model(model, output, scores=scores_of(model, report), half=half)
    same = f"{check.num_probes} texts have the same ids, and a prompt the same logits"
    typer.echo(f"{output}: exported; in transformers {check.version} alone {same}")


@app.command()
def push(
    folder: Annotated[Path, typer.Argument(help="What model export wrote.")],
    repository: Annotated[str, typer.Argument(help="OWNER/NAME; made if it is not there.")],
    public: Annotated[bool, typer.Option("--public", help="Everyone may see it; else nobody but its owner.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be sent, and send nothing.")] = False,
) -> None:
    """Send an export to the Hugging Face hub, private unless told otherwise, with the card that it has."""
    from llama_gene.cli.options import shown_bytes
    from llama_gene.model.push import exported_files, push, require_name

    require_name(repository)
    files = exported_files(folder)
    sizes = [path.stat().st_size for path in files]
    for path, size in zip(files, sizes, strict=True):
        typer.echo(f"{path.relative_to(folder)}: {shown_bytes(size)}")
    seen = "public" if public else "private"
    typer.echo(f"{len(files)} files, {shown_bytes(sum(sizes))}, to {repository} ({seen})")
    if not dry_run:
        typer.echo(push(folder, repository, public=public))


@app.command()
def plan(
    recipe: Annotated[Path, typer.Argument(help="A recipe: recipes/*.toml, or your own.")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(help="Settings to change, as section.key=value.", metavar="[section.key=value]..."),
    ] = None,
    gpu: Annotated[str | None, typer.Option(help="The GPU, such as H100; the recipe's if not given.")] = None,
    gpus: Annotated[int | None, typer.Option(help="How many of them; the recipe's if not given.")] = None,
) -> None:
    """What a recipe's trainings take, without any weights: parameters, memory by part, FLOPs, hours."""
    from llama_gene.cli.forecast import print_plan
    from llama_gene.config import load_recipe
    from llama_gene.pipeline.forecast import forecast

    changes = list(overrides or [])
    changes += [f"plan.gpu={gpu}"] if gpu is not None else []
    changes += [f"plan.gpus={gpus}"] if gpus is not None else []
    loaded = load_recipe(recipe, changes)
    print_plan(forecast(loaded), utilisation=loaded.plan.utilisation)
