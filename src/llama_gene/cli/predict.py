"""``predict``: labels or numbers with probabilities for new sequences."""

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from llama_gene.inference.predict import Summary
    from llama_gene.sequences.read import Reject
    from llama_gene.tasks.task import Task

_NUM_SHOWN = 5


def predict(
    file: Annotated[
        str, typer.Argument(help="FASTA, FASTQ, GenBank, CSV, TSV, JSONL or Parquet, also packed; - is standard input.")
    ],
    task: Annotated[str, typer.Option(help="A task that the model was tuned on.")],
    model: Annotated[
        Path | None, typer.Option(help="A model folder; the quickstart's here, else the one in the package.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(help="The file to write, .tsv, .csv, .jsonl or .parquet; standard output if not given."),
    ] = None,
    format: Annotated[str | None, typer.Option(help="tsv, csv, jsonl or parquet, whatever the file's name.")] = None,
    bad_letters: Annotated[
        str,
        typer.Option(help="Letters outside the alphabet: refuse the file, skip the record, drop or mask the letters."),
    ] = "refuse",
    calibration: Annotated[
        Path | None,
        typer.Option(help="A report of this model, or its run: probabilities at its temperature, not the one kept."),
    ] = None,
    abstain_below: Annotated[
        float | None, typer.Option(help="Hold back a label that is less probable: - in TSV and CSV, else null.")
    ] = None,
    devices: Annotated[
        str | None, typer.Option(help="Several, to share the work: cuda:0,cuda:1. One GPU, else the CPU, if not given.")
    ] = None,
    batch_tokens: Annotated[int, typer.Option(min=1, help="Prompt tokens scored at a time.")] = 16_384,
) -> None:
    """Predict a task for every record of a file: label and probabilities, in the order of the file.

    A killed run goes on with the same command, where input and output are files.
    """
    from llama_gene.inference.answers import Answers
    from llama_gene.inference.engine import Engine
    from llama_gene.inference.predict import identity_of, predict_to_file, predict_to_screen
    from llama_gene.inference.rows import format_of
    from llama_gene.inference.stream import Ask, Asker, DataParallel, check_devices, say
    from llama_gene.inference.table import count_records, read_unlabelled
    from llama_gene.model.default import default_model
    from llama_gene.progress import progress

    form = format_of(output, format)
    folder = model or default_model(task)
    engine = Engine.load(folder)
    definition = engine.task(task)
    answers = Answers(definition, _temperature(folder, definition, calibration), abstain_below)
    aside = SetAside()
    examples = read_unlabelled(definition, file, bad_letters, aside)
    with ExitStack() as stack:
        report = stack.enter_context(progress(f"predict {task}", count_records(file)))
        if devices is None:
            ask: Ask = Asker(engine, definition, batch_tokens, say)
        else:
            names = devices.split(",")
            check_devices(names)
            del engine  # each device gets a copy of its own
            ask = stack.enter_context(DataParallel(folder, task, names, batch_tokens))
        if output is None:
            summary = predict_to_screen(ask, examples, answers, form, report)
        else:
            identity = identity_of(file, folder, answers, form=form, bad_letters=bad_letters)
            summary = predict_to_file(ask, examples, answers, output, form, identity, report)
    _tell(summary, definition, aside, folder)


class SetAside:
    """Records that were set aside: how many, and the first of them."""

    def __init__(self) -> None:
        self.num, self._first = 0, list["Reject"]()

    def __call__(self, reject: "Reject") -> None:
        """Count one."""
        self.num += 1
        if len(self._first) < _NUM_SHOWN:
            self._first.append(reject)

    def tell(self) -> None:
        """Say which they are."""
        for reject in self._first:
            typer.echo(f"set aside: {reject.where}: {reject.reason}", err=True)
        if self.num > len(self._first):
            typer.echo(f"... and {self.num - len(self._first):,} more", err=True)


def _temperature(folder: Path, task: "Task", report: Path | None) -> float | None:
    """The temperature of a report, else the one that is kept with the model."""
    from llama_gene.evaluation.stored import stored_temperature
    from llama_gene.inference.temperature import kept_temperature
    from llama_gene.tasks.template import prompt_hash

    if task.kind != "classification":
        return None
    return (
        kept_temperature(folder, task.name)
        if report is None
        else stored_temperature(report, task, prompt_hash(task))[0]
    )


def _tell(summary: "Summary", task: "Task", aside: SetAside, folder: Path) -> None:
    aside.tell()
    notes = [f"{aside.num:,} records set aside"] if aside.num else []
    if summary.num_before:
        notes.append(f"{summary.num_before:,} of them from the run before")
    if summary.num_shortened:
        notes.append(f"{summary.num_shortened:,} with sequences too long for the model, of which it saw a part")
    typer.echo(f"{summary.num_rows:,} predictions{''.join(f', {note}' for note in notes)}", err=True)
    typer.echo(f"{task.name} asked of {folder}", err=True)
