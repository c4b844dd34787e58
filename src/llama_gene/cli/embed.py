"""``embed``: vectors of sequences."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from llama_gene.cli.options import AskedModel, LetterPolicy

if TYPE_CHECKING:
    from llama_gene.inference.embed import Pool
    from llama_gene.sequences.alphabet import Kind


def embed(
    file: Annotated[
        str, typer.Argument(help="Any sequence file, or a table with a column sequence; - for standard input.")
    ],
    output: Annotated[Path, typer.Option(help="A .parquet or .npy file.")],
    kind: Annotated[str, typer.Option(help="dna or protein.")] = "dna",
    model: AskedModel = None,
    pool: Annotated[str, typer.Option(help="mean, last, or none: a row for each piece.")] = "mean",
    layer: Annotated[int, typer.Option(help="0 is the embedding, -1 the last layer.")] = -1,
    bad_letters: LetterPolicy = "refuse",
    batch_tokens: Annotated[int, typer.Option(min=1, help="Tokens at a time.")] = 4096,
) -> None:
    """Write what a layer of the model makes of each record, pooled or piece by piece."""
    from llama_gene.cli.rejects import Rejects
    from llama_gene.inference.embed import write_embeddings
    from llama_gene.inference.engine import Engine
    from llama_gene.inference.reading import SequenceReader
    from llama_gene.inference.stream import BatchSize, say
    from llama_gene.inference.table import check_policy, count_records
    from llama_gene.model.default import default_model
    from llama_gene.progress import progress
    from llama_gene.sequences.read import read_records

    policy, aside = check_policy(bad_letters), Rejects()
    engine = Engine.load(model or default_model())
    reader = SequenceReader(engine, cast("Kind", kind), BatchSize(batch_tokens, say))
    told = None if policy == "refuse" else aside
    records = read_records(file, cast("Kind", kind), policy=policy, on_reject=told)
    num = 0
    with progress("embed", count_records(file)) as report:
        for num in write_embeddings(reader, records, output, cast("Pool", pool), layer):
            report(num)
    aside.tell()
    typer.echo(f"{num:,} records -> {output}", err=True)
