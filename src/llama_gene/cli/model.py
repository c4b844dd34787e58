"""``model extend`` and ``model merge``."""

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
