"""``vocabulary train`` and ``vocabulary extend``."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True)


class SequenceKind(StrEnum):
    """What a vocabulary spells."""

    dna = "dna"
    protein = "protein"


@app.command()
def train(
    files: Annotated[
        list[Path], typer.Argument(help="Sequence files: FASTA, FASTQ, GenBank, CSV, TSV, JSONL; also packed.")
    ],
    kind: Annotated[SequenceKind, typer.Option(help="What the sequences are.")],
    size: Annotated[int, typer.Option(help="Pieces: the 4 or 20 letters, and one for each merge.")],
    output: Annotated[Path, typer.Option(help="The folder to make.")],
    sample: Annotated[
        int, typer.Option(help="Learn from about so many letters, drawn evenly over the files.")
    ] = 100_000_000,
) -> None:
    """Learn the pieces of DNA or protein (byte-pair encoding)."""
    from llama_gene.vocabulary.learn import learn_vocabulary

    vocabulary, rejects = learn_vocabulary(files, kind.value, size, output, sample=sample)
    if vocabulary.size < size:
        typer.echo(f"only {vocabulary.size:,} pieces: the data has no more pairs that occur twice", err=True)
    if rejects:
        typer.echo(f"{len(rejects)} records set aside; the first: {rejects[0].where}: {rejects[0].reason}", err=True)
    typer.echo(f"{output}: {vocabulary.size:,} pieces of {kind.value}")


@app.command()
def extend(
    base: Annotated[str, typer.Option(help="A model or tokenizer folder, or a hub id.")],
    output: Annotated[Path, typer.Option(help="The folder to make.")],
    dna: Annotated[Path | None, typer.Option(help="A DNA vocabulary.")] = None,
    protein: Annotated[Path | None, typer.Option(help="A protein vocabulary.")] = None,
) -> None:
    """Extend a tokenizer with typed spans; the result is a plain tokenizer.json."""
    from llama_gene.errors import SettingsError
    from llama_gene.vocabulary.extend import extend as extend_tokenizer
    from llama_gene.vocabulary.train import SequenceVocabulary

    vocabularies = [SequenceVocabulary.load(folder) for folder in (dna, protein) if folder is not None]
    if not vocabularies:
        raise SettingsError("nothing to extend with", hint="give --dna FOLDER, --protein FOLDER, or both")
    extension = extend_tokenizer(_folder_of(base), vocabularies, output)
    typer.echo(f"{output}: {extension.num_tokens:,} tokens, {extension.base_size:,} of them the base's")


def _folder_of(base: str) -> Path:
    # A tokenizer folder alone needs no config.json; only a model does.
    if Path(base).is_dir():
        return Path(base)
    from llama_gene.model.base import find_base

    return find_base(base)
