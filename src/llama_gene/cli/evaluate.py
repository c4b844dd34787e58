"""``evaluate``: a model on a labelled table."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from llama_gene.tasks.task import Task


def evaluate(
    model: Annotated[Path, typer.Argument(help="A model folder.")],
    task: Annotated[str, typer.Option(help="A task that the model was tuned on.")],
    data: Annotated[
        Path | None, typer.Option(help="Any labelled table of the task's layout; the task's dev split if not given.")
    ] = None,
    output: Annotated[Path | None, typer.Option(help="A folder for report.json, report.html and report.md.")] = None,
    root: Annotated[Path | None, typer.Option(help="The data root that holds tasks/, for the dev split.")] = None,
    train: Annotated[
        Path | None,
        typer.Option(help="Training rows for the baselines; those that the model was tuned on if not given."),
    ] = None,
    calibration: Annotated[
        Path | None,
        typer.Option(help="A report of the same model on other rows, as its dev split: its temperature is applied."),
    ] = None,
    batch_tokens: Annotated[int, typer.Option(min=1, help="Prompt tokens scored at a time.")] = 16_384,
) -> None:
    """Score a model on a task, beside baselines trained on the same rows."""
    from datetime import UTC, datetime

    from rich.console import Console

    import llama_gene
    from llama_gene.evaluation.evaluate import describe_model, evaluate_task
    from llama_gene.evaluation.layout import leaks
    from llama_gene.evaluation.report import to_terminal, write
    from llama_gene.evaluation.result import Report
    from llama_gene.inference.engine import Engine
    from llama_gene.tasks.rows import load_rows, load_training_rows

    engine = Engine.load(model)
    definition = engine.task(task)
    temperature = None if calibration is None else _temperature_of(calibration, definition)
    recorded = engine.record["tasks"][task]
    if data is None:
        data = _dev_file(definition, recorded, root)
    rows = load_rows(definition, data)
    training = load_rows(definition, train) if train else load_training_rows(definition, recorded)
    split = data.name.partition(".")[0]
    result, outcomes = evaluate_task(
        engine, definition, rows, training, split=split, batch_tokens=batch_tokens, temperature=temperature
    )
    report = Report(
        title=f"{model.name} on {task}",
        model=describe_model(engine.record),
        results=(result,),
        simulated=definition.best_possible is not None,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        version=llama_gene.__version__,
    )
    Console().print(to_terminal(report))
    for name, score in result.scores.items():
        typer.echo(f"{name:<12} {score}")
    if result.leaked is not None:
        typer.echo(f"leaked       {leaks(result)}")
    if result.note:
        typer.echo(result.note, err=True)
    if output is not None:
        write(report, output, {task: outcomes.to_tsv()})
        typer.echo(f"report: {output / 'report.html'}")


def _temperature_of(place: Path, task: "Task") -> tuple[float, str]:
    from llama_gene.errors import SettingsError
    from llama_gene.evaluation.stored import StoredReport
    from llama_gene.tasks.template import prompt_hash

    stored = StoredReport.read(place)
    result = stored.result(task.name)
    if result is None or result.calibration is None or result.prompt_hash != prompt_hash(task):
        problem = f"no temperature of task {task.name!r} as the model is asked now"
        raise SettingsError(problem, where=stored.path, hint="evaluate the model on its dev split with --output FOLDER")
    return result.calibration.temperature, f"{result.n_test:,} rows of {result.split}"


def _dev_file(definition: object, recorded: dict[str, str], root: Path | None) -> Path:
    from llama_gene.errors import SettingsError
    from llama_gene.tasks.convert import find_split
    from llama_gene.tasks.task import Task

    assert isinstance(definition, Task)
    if root is not None:
        return find_split(definition, root, "dev")
    beside = Path(recorded["path"]).parent
    found = sorted(beside.glob("dev.*"))
    if not found:
        hint = "give --data FILE, or --root FOLDER"
        raise SettingsError(f"no dev split beside the training rows of {definition.name!r}", where=beside, hint=hint)
    return found[0]
