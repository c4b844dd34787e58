"""``predict``: labels or numbers with probabilities for new sequences."""

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from llama_gene.cli.options import AskedModel, LetterPolicy, TableFile, TableFormat

if TYPE_CHECKING:
    from llama_gene.tasks.task import Task


def predict(
    file: Annotated[
        str, typer.Argument(help="FASTA, FASTQ, GenBank, CSV, TSV, JSONL or Parquet, also packed; - is standard input.")
    ],
    task: Annotated[str, typer.Option(help="A task that the model was tuned on.")],
    model: AskedModel = None,
    output: TableFile = None,
    format: TableFormat = None,
    bad_letters: LetterPolicy = "refuse",
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
    scan: Annotated[
        bool, typer.Option("--scan", help="Ask in windows along each record: BED, bedGraph or bigWig by --output.")
    ] = False,
    window: Annotated[int, typer.Option(min=1, help="Letters of a window of --scan.")] = 300,
    step: Annotated[int, typer.Option(min=1, help="Letters from one window of --scan to the next.")] = 50,
    label: Annotated[
        str | None,
        typer.Option(
            help="Whose probability --scan shows, of two labels the second if not given; or what --explain explains,"
            " the answer if not given."
        ),
    ] = None,
    forward_only: Annotated[bool, typer.Option("--forward-only", help="Scan DNA on one strand.")] = False,
    batch_tokens: Annotated[int, typer.Option(min=1, help="Prompt tokens scored at a time.")] = 16_384,
    explain: Annotated[
        Path | None, typer.Option(help="A folder for a page of the letters that decided, and for its numbers.")
    ] = None,
    explain_records: Annotated[int, typer.Option(min=1, help="How many records to explain, from the first.")] = 10,
    explain_letters: Annotated[
        int, typer.Option(min=1, help="Most letters of a sequence to explain: the strongest ones in a row.")
    ] = 200,
) -> None:
    """Predict a task for every record of a file: label and probabilities, in the order of the file.

    A killed run goes on with the same command, where input and output are files.
    """
    from llama_gene.cli.rejects import Rejects
    from llama_gene.errors import SettingsError
    from llama_gene.inference.answers import Answers
    from llama_gene.inference.attribution import require_explicable
    from llama_gene.inference.engine import Engine
    from llama_gene.inference.explanation import FirstOnes, write_explanations
    from llama_gene.inference.predict import PredictedRows
    from llama_gene.inference.results import Writer, identity_of, write_results
    from llama_gene.inference.rows import RowWriter, format_of
    from llama_gene.inference.scan import ScannedRows, TrackWriter, track_label
    from llama_gene.inference.stream import Ask, Asker, DataParallel, check_devices, say
    from llama_gene.inference.table import check_policy, count_records, read_unlabelled
    from llama_gene.model.default import default_model
    from llama_gene.progress import progress
    from llama_gene.sequences.read import read_records
    from llama_gene.tasks.template import prompt_hash

    if scan and explain is not None:
        hint = "cut out the windows of interest, and explain them in a predict of their own"
        raise SettingsError("--scan and --explain do not go together", hint=hint)
    policy = check_policy(bad_letters)
    form = format_of(output, format) if not scan else "tsv"
    track = TrackWriter(output) if scan else None
    folder = model or default_model(task)
    engine = Engine.load(folder)
    definition = engine.task(task)
    if explain is not None:
        require_explicable(definition, label)
    answers = Answers(definition, _temperature(folder, definition, calibration), abstain_below)
    writer: Writer = track or RowWriter(answers.columns, form)
    asked_label = track_label(definition, label) if scan else None
    aside = Rejects()
    examples = FirstOnes(() if scan else read_unlabelled(definition, file, policy, aside), explain_records)
    with ExitStack() as stack:
        report = stack.enter_context(progress(f"predict {task}", None if scan else count_records(file)))
        if devices is None:
            ask: Ask = Asker(engine, definition, batch_tokens, say)
        else:
            names = devices.split(",")
            check_devices(names)
            del engine  # each device gets a copy of its own
            ask = stack.enter_context(DataParallel(folder, task, names, batch_tokens))
        rows: PredictedRows | ScannedRows
        if scan:
            told = None if policy == "refuse" else aside
            records = read_records(file, definition.inputs[0].kind, policy=policy, on_reject=told)
            rows = ScannedRows(ask, records, answers, asked_label, window, step, both_strands=not forward_only)
        else:
            rows = PredictedRows(ask, examples, answers)
        identity = identity_of(
            [file], folder, prompt=prompt_hash(definition), temperature=answers.temperature,
            abstain_below=abstain_below, form=form, policy=policy,
            scan=[window, step, asked_label, forward_only] if scan else None,
        )  # fmt: skip
        num_rows, num_before = write_results(writer, rows, output, identity, report)
    aside.tell()
    notes = [f"{aside.total:,} records set aside"] if aside.total else []
    if num_before:
        notes.append(f"{num_before:,} of them from the run before")
    if rows.num_shortened:
        notes.append(f"{rows.num_shortened:,} with sequences too long for the model, of which it saw a part")
    typer.echo(f"{num_rows:,} predictions{''.join(f', {note}' for note in notes)}", err=True)
    typer.echo(f"{task} asked of {folder}", err=True)
    if explain is not None:
        if devices is not None:
            engine = Engine.load(folder)
        write_explanations(
            engine,
            definition,
            examples,
            explain,
            label=label,
            max_letters=explain_letters,
            batch_tokens=batch_tokens,
        )
        typer.echo(f"explained {len(examples.kept):,} of them: {explain / 'explanation.html'}", err=True)


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
