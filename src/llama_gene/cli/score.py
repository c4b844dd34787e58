"""``score``: how probable a model finds sequences, and variants of a genome."""

import math
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from llama_gene.cli.options import AskedModel, LetterPolicy, TableFile, TableFormat

if TYPE_CHECKING:
    from llama_gene.sequences.alphabet import Kind


def score(
    file: Annotated[str, typer.Argument(help="Any sequence file; with --reference a VCF file. - is standard input.")],
    kind: Annotated[str, typer.Option(help="dna or protein.")] = "dna",
    reference: Annotated[
        Path | None, typer.Option(help="The genome that a VCF belongs to, as FASTA: its variants are scored.")
    ] = None,
    flank: Annotated[int, typer.Option(min=1, help="Letters on each side of a variant.")] = 200,
    model: AskedModel = None,
    output: TableFile = None,
    format: TableFormat = None,
    bad_letters: LetterPolicy = "refuse",
    batch_tokens: Annotated[int, typer.Option(min=1, help="Tokens at a time.")] = 4096,
) -> None:
    """Log-likelihood and bits per letter of each record; of a VCF, of the alternative against the reference allele."""
    from llama_gene.cli.rejects import Rejects
    from llama_gene.errors import SettingsError
    from llama_gene.inference import likelihood, variants
    from llama_gene.inference.engine import Engine
    from llama_gene.inference.reading import SequenceReader
    from llama_gene.inference.results import BlocksAfter, identity_of, write_results
    from llama_gene.inference.rows import Column, RowWriter, format_of
    from llama_gene.inference.stream import BatchSize, say
    from llama_gene.inference.table import check_policy, count_records
    from llama_gene.model.default import default_model
    from llama_gene.progress import progress
    from llama_gene.sequences.read import read_records
    from llama_gene.sequences.reference import open_reference
    from llama_gene.sequences.variants import read_variants

    form, policy, aside = format_of(output, format), check_policy(bad_letters), Rejects()
    if reference is not None and kind != "dna":
        raise SettingsError(f"--kind {kind!r}: variants are DNA", hint="leave --kind or --reference out")
    folder = model or default_model()
    reader = SequenceReader(Engine.load(folder), cast("Kind", kind), BatchSize(batch_tokens, say))
    rows: BlocksAfter
    columns: Sequence[Column]
    with ExitStack() as stack:
        if reference is None:
            told = None if policy == "refuse" else aside
            columns, files = likelihood.COLUMNS, [file]
            records = read_records(file, cast("Kind", kind), policy=policy, on_reject=told)
            rows = likelihood.ScoredRecords(reader, records)
        else:
            columns, files = variants.COLUMNS, [file, str(reference)]
            genome = stack.enter_context(open_reference(reference))
            rows = variants.ScoredVariants(reader, read_variants(file, aside), genome, flank)
        total = count_records(file) if reference is None else None
        report = stack.enter_context(progress("score", total))
        identity = identity_of(files, folder, kind=kind, flank=flank, form=form, policy=policy)
        num, num_before = write_results(RowWriter(columns, form), rows, output, identity, report)
    aside.tell()
    notes = f", {num_before:,} of them from the run before" if num_before else ""
    notes += f", {aside.total:,} set aside" if aside.total else ""
    typer.echo(f"{num:,} scored by {folder}{notes}", err=True)
    if isinstance(rows, likelihood.ScoredRecords) and rows.letters:
        _tell_mean(rows.bits / rows.letters, kind)


def _tell_mean(bits: float, kind: str) -> None:
    even = 2.0 if kind == "dna" else math.log2(20)
    typer.echo(f"{bits:.3f} bits per letter; letters drawn evenly take {even:.3f}", err=True)
    if bits > even:
        typer.echo(
            "worse than that: this model was not pre-trained on such sequences, and its scores say little", err=True
        )
