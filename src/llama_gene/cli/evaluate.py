"""``evaluate``: a model, ours or any other, on labelled tables."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from llama_gene.evaluation.result import TaskResult
    from llama_gene.inference.probability import ProbabilityKind

_CALIBRATED = "calibrated"


def evaluate(
    model: Annotated[
        str | None,
        typer.Argument(
            show_default=False,
            help="A model folder of ours, any other causal language model as a folder or hub id, or the address of an"
            " OpenAI-compatible server: http://HOST:PORT/v1.",
        ),
    ] = None,
    task: Annotated[
        list[str] | None,
        typer.Option(
            "--task", "--tasks", help="A task, several with commas between, or all that the model was tuned on."
        ),
    ] = None,
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
    style: Annotated[
        str | None,
        typer.Option(
            help="How a model that we did not tune is asked: llama-gene, chat (its own template), reference-train or"
            " reference-test (LLaMA-Gene's two)."
        ),
    ] = None,
    served: Annotated[
        str | None, typer.Option("--model", help="Which of a server's models; its only one if not given.")
    ] = None,
    probabilities: Annotated[
        str, typer.Option(help="Of labels: shared, raw, length (normalised), or calibrated, by --calibration.")
    ] = "shared",
    keep_temperature: Annotated[
        bool, typer.Option("--keep-temperature", help="Keep the temperature with the model, for whoever predicts.")
    ] = False,
    batch_tokens: Annotated[int, typer.Option(min=1, help="Prompt tokens scored at a time.")] = 16_384,
    answers: Annotated[
        Path | None,
        typer.Option(
            help="No model, but a file of answers: JSON rows of instruction, input, output and model_response."
        ),
    ] = None,
    cache: Annotated[
        Path | None, typer.Option(help="A folder that keeps what baselines answer, for the next model on these rows.")
    ] = None,
    explained_rows: Annotated[
        int,
        typer.Option(
            min=0,
            help="With --output: rows a task whose deciding letters are shown, if we tuned the model: the surest right"
            " answer, the worst one, ...",
        ),
    ] = 2,
) -> None:
    """Score a model, or a file of answers, on tasks, beside baselines trained on the same rows."""
    if answers is not None:
        from llama_gene.cli.answers import evaluate_answers

        others = {
            "MODEL": model, "--task": task, "--data": data, "--root": root, "--calibration": calibration,
            "--style": style, "--model": served,
        }  # fmt: skip
        evaluate_answers(answers, train, output, cache, without=others)
        return
    from datetime import UTC, datetime

    from rich.console import Console

    import llama_gene
    from llama_gene.errors import SettingsError
    from llama_gene.evaluation.chosen import choose_rows, task_names
    from llama_gene.evaluation.evaluate import describe_model, evaluate_task
    from llama_gene.evaluation.explained import explain_rows
    from llama_gene.evaluation.report import to_terminal, write
    from llama_gene.evaluation.result import Report
    from llama_gene.evaluation.stored import stored_temperature
    from llama_gene.inference.engine import Engine
    from llama_gene.inference.opening import open_predictor
    from llama_gene.tasks.style import find_style

    if model is None:
        hint = "give a MODEL with --task NAME, or --answers FILE"
        raise SettingsError("nothing to evaluate: neither a model nor a file of answers", hint=hint)
    kind = _kind(probabilities, calibration)
    predictor = open_predictor(model, style=None if style is None else find_style(style), served=served, root=root)
    names = task_names(predictor, task or [])
    if len(names) > 1 and (data or train):
        raise SettingsError("--data and --train are the rows of one task", hint="give --root FOLDER for several")
    results, rows, simulated = [], {}, False
    for name in names:
        chosen = choose_rows(predictor, name, data=data, train=train, root=root)
        result, outcomes = evaluate_task(
            predictor,
            chosen.task,
            chosen.test,
            chosen.train,
            split=chosen.split,
            batch_tokens=batch_tokens,
            temperature=None
            if calibration is None
            else stored_temperature(calibration, chosen.task, predictor.prompt_hash(chosen.task)),
            kind=kind,
            calibrate=probabilities == _CALIBRATED,
            cache=cache,
        )
        if output is not None and explained_rows and isinstance(predictor, Engine):
            examples = chosen.test.examples
            explained = explain_rows(
                predictor, chosen.task, examples, outcomes, explained_rows, batch_tokens=batch_tokens
            )
            result = result.model_copy(update={"explained": explained})
        results.append(result)
        rows[result.name] = outcomes.to_tsv()
        simulated = simulated or chosen.task.best_possible is not None
    what = names[0] if len(names) == 1 else f"{len(names)} tasks"
    report = Report(
        title=f"{served or Path(model).name} on {what}",
        model=describe_model(predictor.record),
        results=tuple(results),
        simulated=simulated,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        version=llama_gene.__version__,
    )
    Console().print(to_terminal(report))
    for result in results:
        tell(result, with_name=len(results) > 1)
        if keep_temperature:
            _keep_temperature(Path(model), result)
    if output is not None:
        write(report, output, rows)
        typer.echo(f"report: {output / 'report.html'}")


def _kind(probabilities: str, calibration: Path | None) -> "ProbabilityKind":
    from llama_gene.errors import SettingsError
    from llama_gene.inference.probability import PROBABILITY_KINDS

    if probabilities == _CALIBRATED:
        if calibration is None:
            hint = "give --calibration REPORT, of the same model on its dev split"
            raise SettingsError("calibrated probabilities need a temperature", hint=hint)
        return "shared"
    for kind in PROBABILITY_KINDS:
        if kind == probabilities:
            return kind
    known = ", ".join((*PROBABILITY_KINDS, _CALIBRATED))
    raise SettingsError(f"--probabilities {probabilities!r}", hint=f"one of: {known}")


def tell(result: "TaskResult", *, with_name: bool) -> None:
    """What of a result stands in no table."""
    from llama_gene.evaluation.layout import by_lenient_rule, leaks

    if with_name:
        typer.echo(f"\n{result.name}")
    for name, score in result.scores.items():
        typer.echo(f"{name:<12} {score}")
    if result.leaked is not None:
        typer.echo(f"leaked       {leaks(result)}")
    if result.lenient is not None:
        typer.echo(f"two rules    {by_lenient_rule(result)}")
    if result.note:
        typer.echo(result.note, err=True)


def _keep_temperature(folder: Path, result: "TaskResult") -> None:
    from llama_gene.errors import SettingsError
    from llama_gene.inference.temperature import FILE, keep_temperature

    found = result.calibration
    if found is None or not folder.is_dir():
        problem = f"--keep-temperature: there is none to keep for task {result.name!r} on {result.n_test} rows"
        raise SettingsError(problem, where=folder, hint="it takes a model folder, a classification and 20 rows")
    keep_temperature(folder, result.name, found.temperature, f"{result.n_test:,} rows of {result.split}")
    typer.echo(f"temperature  {found.temperature:.3f}, kept in {folder / FILE}")
