"""``evaluate --answers``: a file of answers, whoever gave them, by a strict and a lenient rule."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from llama_gene.tasks.rows import RowsToScore
    from llama_gene.tasks.task import Task


def evaluate_answers(
    answers: Path, train: Path | None, output: Path | None, cache: Path | None, *, without: Mapping[str, object]
) -> None:
    """Score the answers to each instruction in a file, print a table, and write a report.

    Args:
        answers: The file.
        train: Training rows of its tasks: instructions as JSON, or a table of the built-in task that is asked.
        output: A folder for the report; None for none.
        cache: A folder for what baselines answer; None for none.
        without: What only a model takes -> what was given.

    Raises:
        SettingsError: Something was given that only a model takes, or the training rows belong to no instruction.
        FormatError: The file does not hold.
    """
    from datetime import UTC, datetime

    from rich.console import Console

    import llama_gene
    from llama_gene.cli.evaluate import tell
    from llama_gene.errors import SettingsError
    from llama_gene.evaluation.answers import read_answers, score_answers
    from llama_gene.evaluation.report import to_terminal, write
    from llama_gene.evaluation.result import Report

    if given := [name for name, value in without.items() if value]:
        hint = "a file of answers says itself what was asked: leave it out, or leave --answers out"
        raise SettingsError(f"{', '.join(given)} beside --answers", hint=hint)
    asked = read_answers(answers)
    training = {} if train is None else _training_rows(train, [one.task for one in asked])
    results, rows = [], {}
    for one in asked:
        result, outcomes = score_answers(one, training.get(one.task.name), cache=cache)
        results.append(result)
        rows[result.name] = outcomes.to_tsv()
    report = Report(
        title=f"answers of {answers.name}",
        model={"answers": answers.name, "rows": sum(result.n_test for result in results)},
        results=tuple(results),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        version=llama_gene.__version__,
    )
    Console().print(to_terminal(report))
    for result in results:
        tell(result, with_name=len(results) > 1)
    if output is not None:
        write(report, output, rows)
        typer.echo(f"report: {output / 'report.html'}")


def _training_rows(train: Path, tasks: "list[Task]") -> "dict[str, RowsToScore]":
    """Task -> its rows in the file, of the tasks that have any."""
    from llama_gene.cli.rejects import Rejects
    from llama_gene.errors import SettingsError
    from llama_gene.evaluation.answers import read_training_answers
    from llama_gene.tasks.registry import builtin_names
    from llama_gene.tasks.rows import load_rows

    if {".json", ".jsonl"} & set(train.suffixes[-2:]):
        found = {task.name: rows for task in tasks if (rows := read_training_answers(train, task)) is not None}
        if not found:
            hint = "its instructions must be those that were answered, word by word"
            raise SettingsError("no row asks what was answered", where=train, hint=hint)
        aside = Rejects()
        for reject in (reject for rows in found.values() for reject in rows.rejects):
            aside(reject)
        aside.tell()
        return dict(found)
    known = [task for task in tasks if task.name in builtin_names()]
    if len(known) != 1:
        problem = "a table of training rows, but not one built-in task among the answers"
        if known:
            problem = f"one table of training rows for {len(known)} tasks: {', '.join(task.name for task in known)}"
        hint = (
            "give the training rows as instructions: llama-gene tasks convert TABLE FILE.json --to alpaca --task NAME"
        )
        raise SettingsError(problem, where=train, hint=hint)
    return {known[0].name: load_rows(known[0], train)}
