"""``vocabulary train``, ``vocabulary extend`` and ``vocabulary report``."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True)


class SequenceKind(StrEnum):
    """What a vocabulary spells."""

    dna = "dna"
    protein = "protein"


class Scheme(StrEnum):
    """How a sequence stands in the text."""

    typed = "typed"
    shared = "shared"


@app.command()
def train(
    files: Annotated[
        list[Path], typer.Argument(help="Sequence files: FASTA, FASTQ, GenBank, CSV, TSV, JSONL; also packed.")
    ],
    kind: Annotated[SequenceKind, typer.Option(help="What the sequences are.")],
    size: Annotated[int, typer.Option(help="Pieces: the 4 or 20 letters, and one for each merge.")],
    output: Annotated[Path, typer.Option(help="The folder to make.")],
    sample: Annotated[
        int, typer.Option(min=1, help="Learn from at most so many letters, drawn evenly over the files.")
    ] = 1_000_000_000,
    seed: Annotated[int, typer.Option(help="Where the drawing of a sample begins.")] = 0,
    both_strands: Annotated[
        bool, typer.Option("--both-strands", help="Pieces in twos, each with its reverse complement (DNA).")
    ] = False,
    threads: Annotated[int | None, typer.Option(min=1, help="All cores by default. The pieces are the same.")] = None,
) -> None:
    """Learn the pieces of DNA or protein (byte-pair encoding).

    A smaller vocabulary is the beginning of a larger one: learn the largest once.
    """
    from llama_gene.vocabulary.learn import learn_vocabulary

    vocabulary, rejects = learn_vocabulary(
        files, kind.value, size, output, sample=sample, seed=seed, both_strands=both_strands, num_threads=threads
    )
    if vocabulary.size < size - both_strands:
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
    scheme: Annotated[
        Scheme, typer.Option(help="In typed spans, or with all pieces in the base's own table, as in the paper.")
    ] = Scheme.typed,
) -> None:
    """Extend a tokenizer with DNA and protein; the result is a plain tokenizer.json."""
    from llama_gene.errors import SettingsError
    from llama_gene.vocabulary.extend import extend as extend_typed
    from llama_gene.vocabulary.shared import extend_shared
    from llama_gene.vocabulary.train import SequenceVocabulary

    vocabularies = [SequenceVocabulary.load(folder) for folder in (dna, protein) if folder is not None]
    if not vocabularies:
        raise SettingsError("nothing to extend with", hint="give --dna FOLDER, --protein FOLDER, or both")
    extend_tokenizer = extend_typed if scheme is Scheme.typed else extend_shared
    extension = extend_tokenizer(_folder_of(base), vocabularies, output)
    typer.echo(f"{output}: {extension.num_tokens:,} tokens, {extension.base_size:,} of them the base's")


@app.command()
def report(
    folders: Annotated[
        list[Path],
        typer.Argument(help="Vocabularies and tokenizers, side by side: folders of `train`, `extend`, or any other."),
    ],
    output: Annotated[
        Path, typer.Option(help="The page to write, report.html; the numbers go into a .json beside it.")
    ],
    dna: Annotated[
        list[Path] | None, typer.Option(help="DNA that nothing here was learned from; may be given many times.")
    ] = None,
    protein: Annotated[list[Path] | None, typer.Option(help="Protein, the same.")] = None,
    english: Annotated[list[Path] | None, typer.Option(help="Text: a document a line, or JSONL.")] = None,
    base: Annotated[str | None, typer.Option(help="The tokenizer that English is compared with.")] = None,
    size: Annotated[
        list[int] | None, typer.Option(help="Also the first SIZE pieces of a vocabulary; may be given many times.")
    ] = None,
    sample: Annotated[
        int, typer.Option(help="Measure on about so many letters of each kind, drawn evenly.")
    ] = 20_000_000,
) -> None:
    """Measure vocabularies on text they were not learned from: one HTML page, and its numbers as JSON."""
    from datetime import UTC, datetime

    import llama_gene
    from llama_gene.progress import progress
    from llama_gene.vocabulary.report import require_page, write
    from llama_gene.vocabulary.survey import survey

    require_page(output)
    with progress("vocabulary report", len(folders)) as tell:
        measured = survey(
            folders,
            {"dna": dna or [], "protein": protein or []},
            english or [],
            base=None if base is None else _folder_of(base),
            sizes=size or [],
            sample=sample,
            progress=tell,
        )
    created = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    numbers = write(measured, output, version=llama_gene.__version__, created=created)
    typer.echo(f"{output}: {len(measured.columns)} vocabularies; the numbers: {numbers}")


def _folder_of(base: str) -> Path:
    # A tokenizer folder alone needs no config.json; only a model does.
    if Path(base).is_dir():
        return Path(base)
    from llama_gene.model.base import find_base

    return find_base(base)
