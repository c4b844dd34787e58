"""``tasks new``: from a table that no definition knows to a task."""

import re
import shlex
import sys
from collections.abc import Callable
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llama_gene.cli.convert import BadLetters
from llama_gene.cli.rejects import Rejects

if TYPE_CHECKING:
    from llama_gene.tasks.draft import Column
    from llama_gene.tasks.task import Task

_MAX_ASKED = 20  # labels that are asked for one by one
_ROLES = {"dna": "DNA", "protein": "protein"}
_METRICS = {"classification": "mcc", "regression": "spearman", "multilabel": "micro_f1", "text": "rouge_l"}
_MAX_ANSWER_TOKENS = 256


class TaskKind(StrEnum):
    """What sort of answer a task has."""

    classification = "classification"
    regression = "regression"
    multilabel = "multilabel"
    text = "text"


def new(
    data: Annotated[Path, typer.Argument(help="A table with a column of sequences (or two) and one of labels.")],
    name: Annotated[str | None, typer.Option(help="The task's name; that of the file if not given.")] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(help="A column of sequences, as COLUMN:dna or ROLE=COLUMN:protein; give it twice for a pair."),
    ] = None,
    label_column: Annotated[str | None, typer.Option(help="The column of the answers.")] = None,
    kind: Annotated[TaskKind | None, typer.Option(help="What sort of answer it has.")] = None,
    question: Annotated[str | None, typer.Option(help="What the model is asked; a few words.")] = None,
    label: Annotated[
        list[str] | None, typer.Option(help="The name of a label, as VALUE=NAME; give it once for each.")
    ] = None,
    minimum: Annotated[float | None, typer.Option(help="Regression: the least number that is answered.")] = None,
    maximum: Annotated[float | None, typer.Option(help="Regression: the greatest.")] = None,
    decimals: Annotated[int | None, typer.Option(help="Regression: digits after the point.")] = None,
    row: Annotated[
        str | None, typer.Option(help="The row of the paper's table it belongs to, for example 'structure DNA'.")
    ] = None,
    strand_symmetric: Annotated[
        bool, typer.Option("--strand-symmetric", help="The answer is the same for the other strand of the DNA.")
    ] = False,
    dev: Annotated[
        str, typer.Option(help="The table of the dev rows, or the share of the sequences that become dev.")
    ] = "0.1",
    seed: Annotated[int, typer.Option(help="Decides which ones.")] = 17,
    bad_letters: Annotated[
        BadLetters, typer.Option(help="Letters outside the alphabet: skip the row, drop or mask them.")
    ] = BadLetters.skip,
    output: Annotated[Path | None, typer.Option(help="The folder to make; NAME beside the table if not given.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Take what the table says, and ask nothing.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Write over the files of an earlier call.")] = False,
) -> None:
    """Make a task of a table: a folder with its definition, train.csv and dev.csv.

    What is not given is read off the table; on a terminal it is asked first.
    """
    from llama_gene.config import validate
    from llama_gene.errors import SettingsError
    from llama_gene.tasks.draft import guess_label, look_at
    from llama_gene.tasks.prepare import DEV_FILE, TASK_FILE, TRAIN_FILE, write_task
    from llama_gene.tasks.task import Task, default_row

    if str(data) == "-":
        raise SettingsError("the table is read several times, so not from standard input", hint="give a file")
    name = name or re.sub(r"\W+", "_", data.name.partition(".")[0], flags=re.ASCII)
    folder = output or data.parent / name
    there = [file for file in (TASK_FILE, TRAIN_FILE, DEV_FILE) if (folder / file).exists()]
    if there and not force:
        raise SettingsError(f"{there[0]} is there already", where=folder, hint="give --force, or another --output")
    columns = look_at(data)
    ask = sys.stdin.isatty() and not yes
    inputs = _inputs(ask, column, columns)
    taken = [part["column"] for part in inputs]
    answers = _settle(ask, "column of the answers", label_column, lambda: guess_label(columns, taken))
    found = _column(columns, answers, "--label-column")
    sort = TaskKind(_settle(ask, "kind of answer", kind, lambda: found.task_kind, TaskKind))
    asked = _settle(ask, "question to the model", question, _no_question)
    values = {
        "name": name,
        "kind": sort.value,
        "row": row or default_row(sort.value, [part["kind"] for part in inputs]),
        "title": asked,
        "question": asked,
        "layout": "table",
        "data": ".",
        "metric": _METRICS[sort],
        "label_column": answers,
        "strand_symmetric": strand_symmetric,
        "inputs": inputs,
        **_labels(ask, sort, found, label or []),
        **_grid(sort, found, {"decimals": decimals, "minimum": minimum, "maximum": maximum}),
        **({"max_answer_tokens": _MAX_ANSWER_TOKENS} if sort is TaskKind.text else {}),
    }
    task = validate(Task, values, where=str(data))
    rejects = Rejects()
    try:
        numbers = write_task(task, data, _dev_of(dev), folder, seed=seed, policy=bad_letters.value, on_reject=rejects)
    finally:
        rejects.tell()
    _tell(task, folder, numbers, rejects.total)


def _settle(ask: bool, text: str, given: str | None, guess: Callable[[], str], kind: Callable[[str], Any] = str) -> str:
    """What was given, else what was guessed; asked first where somebody sits at a terminal."""
    from llama_gene.errors import LlamaGeneError

    if given is not None:
        return given
    default = None
    try:
        default = guess()
    except LlamaGeneError:
        if not ask:
            raise
    return str(typer.prompt(text, default=default, type=kind, err=True)) if ask else str(default)


def _no_question() -> str:
    from llama_gene.errors import SettingsError

    raise SettingsError("what the model is asked was not said", hint="give --question 'Is this an enhancer?'")


def _column(columns: "list[Column]", name: str, flag: str) -> "Column":
    from llama_gene.errors import SettingsError

    found = next((column for column in columns if column.name == name), None)
    if found is None:
        known = ", ".join(column.name for column in columns)
        raise SettingsError(f"{flag}: no column {name!r}", hint=f"columns: {known}")
    return found


def _inputs(ask: bool, given: list[str] | None, columns: "list[Column]") -> list[dict[str, Any]]:
    from llama_gene.errors import SettingsError
    from llama_gene.tasks.draft import guess_sequences

    if not given:
        guessed = _settle(
            ask,
            "columns of sequences (COLUMN:dna, COLUMN:protein)",
            None,
            lambda: ", ".join(f"{name}:{kind}" for name, kind in guess_sequences(columns)),
        )
        given = [text.strip() for text in guessed.split(",")]
    inputs = []
    for text in given:
        before, _, kind = text.rpartition(":")
        role, equals, name = before.partition("=")
        if kind not in _ROLES or not before:
            raise SettingsError(f"--column {text!r}", hint="write it as COLUMN:dna, or ROLE=COLUMN:protein")
        inputs.append({"role": role if equals else "", "kind": kind, "column": name if equals else before})
        _column(columns, inputs[-1]["column"], "--column")
    same = len({part["kind"] for part in inputs}) < len(inputs)
    for place, part in enumerate(inputs):
        part["role"] = part["role"] or ("ABCDEFGH"[place] if same else _ROLES[part["kind"]])
    return inputs


def _labels(ask: bool, kind: TaskKind, column: "Column", given: list[str]) -> dict[str, Any]:
    """The label names: those given, else those the cells suggest."""
    from llama_gene.errors import SettingsError
    from llama_gene.tasks.draft import guess_labels

    if kind not in {TaskKind.classification, TaskKind.multilabel}:
        return {}
    labels = guess_labels(column, several=kind is TaskKind.multilabel)
    names = dict(text.split("=", 1) for text in given if "=" in text)
    for text in given:
        if text.partition("=")[0] not in labels or "=" not in text:
            hint = f"write it as VALUE=NAME; values: {', '.join(list(labels)[:_MAX_ASKED])}"
            raise SettingsError(f"--label {text!r}", hint=hint)
    if ask and not given and len(labels) <= _MAX_ASKED:
        names = {cell: typer.prompt(f"name of label {cell!r}", default=word, err=True) for cell, word in labels.items()}
    return {"labels": {**labels, **names}}


def _grid(kind: TaskKind, column: "Column", given: dict[str, Any]) -> dict[str, Any]:
    from llama_gene.tasks.draft import guess_grid

    chosen = {key: value for key, value in given.items() if value is not None}
    if kind is not TaskKind.regression or len(chosen) == len(given):
        return chosen
    return {**asdict(guess_grid(column)), **chosen}


def _dev_of(text: str) -> float | Path:
    try:
        return float(text)
    except ValueError:
        return Path(text)


def _tell(task: "Task", folder: Path, numbers: tuple[int, int], num_rejected: int) -> None:
    """What was made of the table, and the commands that come next."""
    from llama_gene.tasks.prepare import DEV_FILE, TASK_FILE, TRAIN_FILE
    from llama_gene.tasks.template import prompt_parts
    from llama_gene.tokenizer.parts import render

    shown = {"dna": "ACGT...", "protein": "MKTA..."}
    names = ", ".join(task.candidates[:_MAX_ASKED] or task.label_names[:_MAX_ASKED]) or "free text"
    typer.echo(f"{folder / TASK_FILE}: {task.kind}, main metric {task.metric}, row {task.row!r}")
    typer.echo(f"answers: {names}{', ...' if len(task.candidates) > _MAX_ASKED else ''}")
    if task.labels and all(word.isdecimal() for word in task.label_names):
        typer.echo("the labels have numbers for names; words say more to a model: --label VALUE=NAME --force")
    typer.echo(f"{TRAIN_FILE}: {numbers[0]:,} rows; {DEV_FILE}: {numbers[1]:,}, with no sequence of {TRAIN_FILE} in it")
    if num_rejected:
        typer.echo(f"{num_rejected:,} rows were set aside")
    typer.echo(f"\na prompt:\n{render(prompt_parts(task, [shown[part.kind] for part in task.inputs]))}")
    place, run = shlex.quote(str(folder / TASK_FILE)), f"runs/{task.name}"
    use = shlex.quote(f'tasks.use=["{folder / TASK_FILE}"]')
    typer.echo("\nnext; quickstart is a small model and some minutes, any other recipe takes its place:")
    typer.echo(f"  llama-gene tasks check {place} {shlex.quote(str(folder / TRAIN_FILE))}")
    typer.echo(
        f"  llama-gene quickstart output={run} model.size=gene-tiny finetune.fill_memory=true finetune.patience=2 {use}"
    )
    typer.echo(f"  llama-gene evaluate {run}/model --task {task.name} --output {run}/evaluation")
    typer.echo(f"  llama-gene predict FILE --task {task.name} --model {run}/model")
