"""``tasks list``, ``show`` and ``check``; ``new``, ``convert`` and ``export`` have modules of their own."""

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from llama_gene.cli.convert import convert
from llama_gene.cli.export_task import export
from llama_gene.cli.new_task import TaskKind, new
from llama_gene.cli.rejects import Rejects

if TYPE_CHECKING:
    from llama_gene.tasks.check import TableCheck
    from llama_gene.tasks.task import Task
    from llama_gene.tokenizer import GeneTokenizer, Span

app = typer.Typer(no_args_is_help=True)
app.command()(new)
app.command()(convert)
app.command()(export)
TaskName = Annotated[str, typer.Argument(help="A built-in task, or a task file.")]
DataRoot = Annotated[Path | None, typer.Option("--data", help="The folder that holds tasks/.")]

_SPLITS = ("train", "dev", "test")
_MADE_UP = {"dna": "ACGTACGT", "protein": "MKTAYIAK"}
# Brackets tell the pieces apart where there is no colour: text, DNA, protein.
_MARKS = (("\u2039", "\u203a", "dim"), ("[", "]", "bold green"), ("(", ")", "bold magenta"))
_NUM_PIECES = 40  # of a sequence that are shown at its start, and at its end


@app.command("list")
def list_tasks(
    data: DataRoot = None,
    kind: Annotated[TaskKind | None, typer.Option(help="Only tasks with this sort of answer.")] = None,
    row: Annotated[str | None, typer.Option(help="Only rows of the paper's table with this in their name.")] = None,
) -> None:
    """List the built-in tasks; with --data, also which splits of each are there."""
    from rich.console import Console
    from rich.table import Column, Table

    from llama_gene.tasks.registry import builtin_names, load_task

    heads = ["task", "kind", "row of the paper", *(["splits"] if data else [])]
    table = Table(*(Column(head, no_wrap=True) for head in heads), "what", box=None)
    for name in builtin_names():
        task = load_task(name)
        if (kind is None or task.kind == kind) and (row is None or row.casefold() in task.row.casefold()):
            table.add_row(task.name, task.kind, task.row, *([_splits(task, data)] if data else []), task.title)
    Console().print(table if table.row_count else "no such task")


def _splits(task: "Task", root: Path) -> str:
    from llama_gene.errors import FormatError
    from llama_gene.tasks.convert import find_split

    there = []
    for split in _SPLITS:
        try:
            find_split(task, root, split)
        except FormatError:
            continue
        there.append(split)
    return " ".join(there) or "-"


@app.command()
def show(
    name: TaskName,
    data: Annotated[
        Path | None, typer.Option(help="A table of the task, or the folder that holds tasks/: show its first row.")
    ] = None,
    model: Annotated[
        Path | None, typer.Option(help="A model or tokenizer folder: show the tokens of the prompt.")
    ] = None,
) -> None:
    """Show a task: its question, its answers, and a prompt, with its tokens if a model is given."""
    from llama_gene.tasks.convert import read_examples
    from llama_gene.tasks.registry import load_task
    from llama_gene.tasks.task import Example
    from llama_gene.tasks.template import prompt_hash, prompt_parts
    from llama_gene.tokenizer import render

    root = data if data is not None and data.is_dir() else None
    task = load_task(name, root)
    file = data if root is None else _first_split(task, root)
    example = Example("made up", tuple(_MADE_UP[given.kind] for given in task.inputs))
    if file is not None:
        example = next(
            read_examples(task, file, on_reject=lambda _: None, labelled=not task.has_unread_labels), example
        )
    typer.echo(f"{task.name}: {task.title} ({task.kind}; {task.row})")
    typer.echo(f"columns: {', '.join(given.column for given in task.inputs)}; label: {task.label_column}")
    typer.echo(f"answers: {_answers(task)}; main metric: {task.metric}")
    typer.echo(f"data:    tasks/{task.data}" if not Path(task.data).is_absolute() else f"data:    {task.data}")
    typer.echo(f"source:  {task.source or 'not given'}; licence: {task.licence or 'not given'}")
    parts = prompt_parts(task, example.sequences)
    typer.echo(f"prompt hash {prompt_hash(task)[:16]}; a prompt ({example.id}):\n\n{render(parts)}")
    if example.answer is not None:
        typer.echo(f"\nits answer: {example.answer}")
    if model is not None:
        from llama_gene.tokenizer import GeneTokenizer

        _show_tokens(GeneTokenizer.load(model), parts)


def _first_split(task: "Task", root: Path) -> Path:
    from llama_gene.errors import FormatError
    from llama_gene.tasks.convert import find_split

    try:
        return find_split(task, root, "dev")
    except FormatError:
        return find_split(task, root, "train")


def _answers(task: "Task") -> str:
    if task.has_unread_labels:
        return f"named in {task.labels_file} beside the tables"
    answers = list(task.candidates) or ["free text" if task.kind == "text" else "names, separated by commas"]
    return ", ".join(answers if len(answers) <= 12 else [*answers[:4], "...", answers[-1]])


def _show_tokens(tokenizer: "GeneTokenizer", parts: "list[str | Span]") -> None:
    """The tokens of a prompt, each in the brackets and the colour of its kind."""
    from rich.console import Console
    from rich.text import Text

    ids = tokenizer.encode_parts(parts)
    kinds, spellings = tokenizer.token_kinds(), tokenizer.spellings()
    found = Text()
    counts = [0, 0, 0]
    for start, stop in _runs([int(kinds[index]) for index in ids]):
        kind = int(kinds[ids[start]])
        counts[kind] += stop - start
        run = ids[start:stop]
        pieces = [spellings[index] for index in run] if kind else _text_pieces(tokenizer, run)
        if kind and len(pieces) > 2 * _NUM_PIECES:
            left_out = f"... {len(pieces) - 2 * _NUM_PIECES:,} more ..."
            pieces = [*pieces[:_NUM_PIECES], left_out, *pieces[-_NUM_PIECES:]]
        before, after, style = _MARKS[kind]
        for piece in pieces:
            found.append(f"{before}{piece}{after}", style=style)
    console = Console()
    console.print(f"\n{len(ids):,} tokens: {counts[0]:,} of text, {counts[1]:,} of DNA, {counts[2]:,} of protein")
    console.print(found, soft_wrap=True)


def _text_pieces(tokenizer: "GeneTokenizer", ids: list[int]) -> list[str]:
    """What each token adds to the text: alone, many would lose the space they begin with."""
    texts = [tokenizer.decode(ids[:stop]) for stop in range(len(ids) + 1)]
    return [after[len(before) :].replace("\n", "\\n") for before, after in pairwise(texts)]


def _runs(kinds: list[int]) -> list[tuple[int, int]]:
    """Where neighbours of one kind begin and end."""
    starts = [place for place, kind in enumerate(kinds) if place == 0 or kind != kinds[place - 1]]
    return list(zip(starts, [*starts[1:], len(kinds)], strict=True))


@app.command()
def check(
    name: TaskName,
    file: Annotated[Path, typer.Argument(help="A labelled table of the task's layout.")],
    data: DataRoot = None,
) -> None:
    """Check a labelled table against a task: what holds, what does not and why, labels, lengths, duplicates."""
    from llama_gene.errors import TaskError
    from llama_gene.sequences.read import Reject
    from llama_gene.tasks.check import check_table
    from llama_gene.tasks.registry import load_task

    rejects = Rejects()

    def tell(reject: Reject) -> None:
        typer.echo(f"{reject.where}: {reject.reason}", err=True)
        rejects(reject)

    task = load_task(name, data)
    found = check_table(task, file, on_reject=tell)
    for line in _findings(task, found):
        typer.echo(line)
    typer.echo(f"{file}: {found.num_rows:,} rows hold, {found.num_rejected:,} do not")
    if found.num_rejected:
        raise TaskError(f"{found.num_rejected:,} rows do not hold", where=file, hint=rejects.summary)


def _findings(task: "Task", found: "TableCheck") -> Iterator[str]:
    """What is to be said of a table, a line each."""
    from llama_gene.tasks.check import prefixed_labels
    from llama_gene.tasks.task import ANSWER_SEPARATOR

    if task.label_names:
        counts = Counter[str]()
        for answer, count in found.answers.items():
            for name in answer.split(ANSWER_SEPARATOR) if task.kind == "multilabel" else [answer]:
                counts[name] += count
        yield ", ".join(f"{name}: {counts[name]:,}" for name in dict.fromkeys([*task.label_names, *counts]))
    for part, (shortest, median, longest) in zip(task.inputs, found.lengths, strict=False):
        yield f"{part.role}: {shortest:,} to {longest:,} letters, median {median:,}"
    if found.num_clipped:
        yield f"{found.num_clipped:,} numbers lie outside {task.minimum:g} to {task.maximum:g}: its ends answer them"
    if found.num_duplicates:
        yield f"{found.num_duplicates:,} rows have the sequences and the answer of a row above"
    if found.num_contradicting:
        first = "; ".join(f"{row} says {answer!r}, unlike {above}" for above, row, answer in found.contradictions)
        yield f"{found.num_contradicting:,} rows contradict a row above with the same sequences: {first}"
    if prefixed := prefixed_labels(task):
        pairs = ", ".join(f"{long!r} with {short!r}" for short, long in prefixed)
        yield f"names that begin with another one: {pairs}; no harm, since answers are compared whole"
