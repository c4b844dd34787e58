"""``generate``: DNA, protein or text after a prompt."""

from pathlib import Path
from typing import Annotated

import typer

from llama_gene.cli.options import AskedModel, TopP


def generate(
    prompt: Annotated[str, typer.Argument(help="The first letters, or a text to go on from.")] = "",
    kind: Annotated[str, typer.Option(help="dna, protein or text.")] = "text",
    model: AskedModel = None,
    output: Annotated[
        Path | None, typer.Option(help="A FASTA or text file; standard output if not given, text as it comes.")
    ] = None,
    num: Annotated[int, typer.Option(min=1, help="How many.")] = 1,
    max_tokens: Annotated[int, typer.Option(min=1, help="At most so many tokens each.")] = 256,
    max_letters: Annotated[
        int | None, typer.Option(min=1, help="Of DNA or protein: at most so many letters, the prompt's included.")
    ] = None,
    temperature: Annotated[float, typer.Option(help="0 takes the most probable token each time.")] = 1.0,
    top_p: TopP = 1.0,
    seed: Annotated[
        int | None, typer.Option(help="The same seed writes the same; number i takes the seed plus i.")
    ] = None,
) -> None:
    """Write DNA, protein or text after a prompt. In a sequence only its letters can come, and it always has an end."""
    from collections.abc import Iterator
    from dataclasses import replace

    from llama_gene.errors import SettingsError
    from llama_gene.files import write_text as write_file
    from llama_gene.inference.decode import Sampling
    from llama_gene.inference.engine import Engine
    from llama_gene.inference.writing import write_sequences, write_text
    from llama_gene.model.default import default_model
    from llama_gene.sequences.alphabet import Kind

    sampling = Sampling(temperature, top_p, seed)
    chosen: Kind | None = None if kind == "text" else "dna" if kind == "dna" else "protein"
    if kind not in {"dna", "protein", "text"}:
        raise SettingsError(f"--kind {kind!r}", hint="one of: dna, protein, text")
    engine = Engine.load(model or default_model())

    def pieces() -> Iterator[str]:
        if chosen is not None:
            found = write_sequences(
                engine, chosen, prompt, num=num, max_tokens=max_tokens, max_letters=max_letters, sampling=sampling
            )
            for number, letters in enumerate(found, 1):
                yield f">generated_{number} length={len(letters)}\n{letters}\n"
            return
        for number in range(num):
            drawn = sampling if seed is None else replace(sampling, seed=seed + number)
            yield prompt
            yield from write_text(engine, engine.tokenizer.encode(prompt), max_tokens=max_tokens, sampling=drawn)
            yield "\n"

    if output is not None:
        write_file(output, "".join(pieces()))
        return
    for piece in pieces():
        typer.echo(piece, nl=False)
