"""``tasks convert``: labelled sequences and instructions from one form to another."""

from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from llama_gene.cli.rejects import Rejects
from llama_gene.cli.vocabulary import SequenceKind

if TYPE_CHECKING:
    from llama_gene.sequences.alphabet import Kind, Policy
    from llama_gene.tasks.convert.instructions import Instruction
    from llama_gene.tasks.convert.labelled import LabelledRow


class Form(StrEnum):
    """A form that is read."""

    table = "table"
    gue = "gue"
    lucaone = "lucaone"
    lucaone_pair = "lucaone_pair"
    fasta = "fasta"
    uniprot = "uniprot"
    alpaca = "alpaca"
    chat = "chat"


class Target(StrEnum):
    """A form that is written."""

    table = "table"
    gue = "gue"
    lucaone = "lucaone"
    lucaone_pair = "lucaone_pair"
    alpaca = "alpaca"
    chat = "chat"


class BadLetters(StrEnum):
    """What letters outside the alphabet get."""

    skip = "skip"
    drop = "drop"
    mask = "mask"


def convert(
    source: Annotated[str, typer.Argument(metavar="INPUT", help="The file to read; - is standard input.")],
    output: Annotated[
        Path, typer.Argument(help="The file to write: .csv, .tsv, .jsonl; Alpaca and chat .json, .jsonl.")
    ],
    to: Annotated[Target, typer.Option(help="The form to write.")],
    form: Annotated[
        Form | None, typer.Option("--from", help="The form to read; that of the task if not given.")
    ] = None,
    task: Annotated[
        str | None, typer.Option(help="The task of a table: its question and label names make instructions.")
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(help="A column of a table that holds sequences, as COLUMN:dna or COLUMN:protein; up to two."),
    ] = None,
    label_column: Annotated[str, typer.Option(help="The column of a table that holds the label.")] = "label",
    kind: Annotated[SequenceKind | None, typer.Option(help="What the sequences of a FASTA file are.")] = None,
    header: Annotated[
        str | None, typer.Option(help="A regular expression that finds the label in a FASTA header, as its group.")
    ] = None,
    tags: Annotated[bool, typer.Option("--tags", help="Write sequences in instructions as <dna>...</dna>.")] = False,
    bad_letters: Annotated[
        BadLetters, typer.Option(help="Letters outside the alphabet: skip the row, drop or mask them.")
    ] = BadLetters.skip,
) -> None:
    """Convert labelled sequences: tables, GUE, LucaOne, FASTA headers, UniProt, Alpaca, chat.

    What does not hold is counted and told; a sequence inside free text is found by the rule of docs/tasks.md.
    """
    from llama_gene.errors import SettingsError
    from llama_gene.tasks.convert.write import write_instructions, write_table

    rejects = Rejects()
    policy: Policy = bad_letters.value
    to_instructions = to in {Target.alpaca, Target.chat}
    from_instructions = form in {Form.alpaca, Form.chat}
    try:
        if to_instructions:
            if not from_instructions and task is None:
                hint = "give --task NAME_OR_FILE; `llama-gene tasks new` makes one"
                raise SettingsError("instructions need a question and the names of the labels", hint=hint)
            found = _instructions(source, rejects) if from_instructions else _asked(source, str(task), policy, rejects)
            num = write_instructions(found, output, to.value, tags=tags)  # type: ignore[arg-type]
        else:
            columns = _columns(column)
            rows = _rows(source, form, columns, label_column, kind, header, policy, rejects)
            names = {"label_column": "function", "note_column": "taxon"} if form is Form.uniprot else {}
            if from_instructions:
                names = {"note_column": "question"}
            num = write_table(rows, output, to.value, on_reject=rejects, **names)  # type: ignore[arg-type]
    finally:
        rejects.tell()
    typer.echo(f"{output}: {num:,} {'instructions' if to_instructions else 'rows'}, {rejects.total:,} set aside")


def _instructions(source: str, rejects: Rejects) -> "Iterator[Instruction]":
    from llama_gene.tasks.convert.instructions import read_instructions

    num_without = 0
    for instruction in read_instructions(source, on_reject=rejects):
        num_without += not instruction.spans
        yield instruction
    if num_without:
        typer.echo(f"{num_without:,} instructions have no sequence in them", err=True)


def _asked(source: str, task: str, policy: "Policy", rejects: Rejects) -> "Iterator[Instruction]":
    from llama_gene.tasks.convert import read_examples
    from llama_gene.tasks.convert.write import instruct
    from llama_gene.tasks.registry import load_task

    definition = load_task(task)
    return instruct(definition, read_examples(definition, source, policy=policy, on_reject=rejects))


def _rows(
    source: str,
    form: Form | None,
    columns: "list[tuple[str, Kind]]",
    label_column: str,
    kind: SequenceKind | None,
    header: str | None,
    policy: "Policy",
    rejects: Rejects,
) -> "Iterator[LabelledRow]":
    from llama_gene.errors import SettingsError
    from llama_gene.tasks.convert import labelled

    if form is None:
        raise SettingsError("what the input is was not said", hint=f"give --from {' | '.join(Form)}")
    if form in {Form.alpaca, Form.chat}:
        return labelled.from_instructions(_instructions(source, rejects), rejects)
    if form is Form.uniprot:
        return labelled.read_functions(source, policy, rejects)
    if form is Form.fasta:
        if kind is None:
            raise SettingsError("FASTA does not say what its letters are", hint="give --kind dna or --kind protein")
        return labelled.read_headers(source, kind.value, header, policy, rejects)
    if form is Form.table:
        if not columns:
            raise SettingsError("which columns hold sequences was not said", hint="give --column sequence:dna")
        return labelled.read_columns(source, columns, label_column, policy, rejects)
    return labelled.read_layout(source, form.value, policy, rejects)  # type: ignore[arg-type]


def _columns(given: list[str] | None) -> "list[tuple[str, Kind]]":
    from llama_gene.errors import SettingsError
    from llama_gene.sequences.alphabet import ALPHABETS

    columns: list[tuple[str, Kind]] = []
    for text in given or []:
        name, _, kind = text.rpartition(":")
        known = next((known for known in ALPHABETS if known == kind), None)
        if known is None or not name:
            raise SettingsError(f"--column {text!r}", hint="write it as COLUMN:dna or COLUMN:protein")
        columns.append((name, known))
    return columns
