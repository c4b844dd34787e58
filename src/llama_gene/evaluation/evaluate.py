"""Evaluate a model on a task: its predictions, the baselines' on the same rows, and what both are worth."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llama_gene import metrics
from llama_gene.config import LeakageSettings
from llama_gene.errors import LlamaGeneError, ModelError
from llama_gene.evaluation.baselines import fit_predict
from llama_gene.evaluation.calibration import measure_calibration
from llama_gene.evaluation.detail import score_by_length, worst_answers
from llama_gene.evaluation.leakage import Leakage, find_leaks
from llama_gene.evaluation.outcomes import METRICS, Outcomes
from llama_gene.evaluation.result import Leaked, TaskResult
from llama_gene.inference.predictor import Prediction, Predictor
from llama_gene.inference.probability import ProbabilityKind
from llama_gene.metrics import Score
from llama_gene.metrics.classification import at_temperature
from llama_gene.progress import progress
from llama_gene.tasks.rows import RowsToScore
from llama_gene.tasks.task import ANSWER_SEPARATOR, Example, Task

_SCATTER_POINTS = 500


def evaluate_task(
    predictor: Predictor,
    task: Task,
    test: RowsToScore,
    train: RowsToScore | None,
    *,
    split: str,
    batch_tokens: int,
    temperature: tuple[float, str] | None = None,
    leakage: LeakageSettings | None = None,
    kind: ProbabilityKind = "shared",
    calibrate: bool = False,
    cache: Path | None = None,
) -> tuple[TaskResult, Outcomes]:
    """Score a model on labelled rows.

    Args:
        predictor: Who is scored.
        task: What it is asked.
        test: The rows to score.
        train: The rows it was tuned on, for the baselines; None leaves them out.
        split: What the scored rows are called.
        batch_tokens: Prompt tokens in a batch.
        temperature: One that was fitted elsewhere, and on what; fitted on these rows if None.
        leakage: When a row counts as leaked; the usual rule if not given.
        kind: Which probabilities labels get.
        calibrate: Whether those are divided by `temperature`, and not only shown beside those that are.
        cache: A folder that keeps what baselines answer, for the next model on the same rows; None for none.

    Returns:
        The result, and the rows that it stands on.

    Raises:
        ModelError: The model gives no numbers, but NaN.
        LlamaGeneError: The rows to score are the training rows.
    """
    found = None if train is None else _leaks(task, test, train, leakage or LeakageSettings())
    with progress(f"evaluate {task.name}", len(test.examples)) as report:
        predictions = list(predictor.predict(task, test.examples, batch_tokens=batch_tokens, on_done=report, kind=kind))
    _require_numbers(predictor, task, predictions)
    truth, guess = targets(task, test.examples), _guesses(task, predictions)
    answered = probabilities = _probabilities(task, predictions)
    if calibrate and answered is not None and temperature is not None:
        probabilities = at_temperature(answered, temperature[0])
        predictions = [
            replace(one, probabilities=tuple(row)) for one, row in zip(predictions, probabilities.tolist(), strict=True)
        ]
    outcomes = _outcomes(task, test.examples, predictions)
    baselines: dict[str, dict[str, Score]] = {}
    if train is not None:
        with progress(f"baselines {task.name}", None):
            guesses = fit_predict(
                task.kind,
                [given.kind for given in task.inputs],
                [example.sequences for example in train.examples],
                targets(task, train.examples),
                [example.sequences for example in test.examples],
                cache=cache,
            )
        baselines = {name: score(task, truth, guessed) for name, guessed in guesses.items()}
    trained = predictor.record.get("tasks", {}).get(task.name, {})
    result = TaskResult(
        name=task.name,
        row=task.row,
        kind=task.kind,
        question=task.question,
        n_train=trained.get("num_rows", 0),
        n_train_available=trained.get("num_available", 0),
        n_test=len(test.examples),
        n_test_available=test.num_available,
        split=split,
        data_hash=test.sha256,
        prompt_hash=predictor.prompt_hash(task),
        metric=task.metric,
        scores=score(task, truth, guess) | _scores_of_probabilities(truth, guess, probabilities),
        baselines=baselines,
        best_possible=task.best_possible,
        best_possible_metric=task.best_possible_metric,
        labels=task.label_names,
        confusion=_confusion(task, truth, guess),
        scatter=_scatter(task, truth, guess),
        by_length=score_by_length(outcomes, task.metric, truth, guess),
        calibration=None if answered is None else measure_calibration(answered, truth, temperature),
        worst=worst_answers(outcomes, test.examples),
        leaked=None if found is None else _leaked(task, found, truth, guess),
        rows=outcomes.kept,
        num_shortened=sum(prediction.num_cut > 0 for prediction in predictions),
        note=_note(task, truth, test, train, predictions),
    )
    return result, outcomes


def _leaks(task: Task, test: RowsToScore, train: RowsToScore, rule: LeakageSettings) -> Leakage:
    """The test rows that the training rows give away; an error if those are all, letter by letter."""
    hint = "score rows that the model has not seen: a dev or test split"
    problem = "these are the training rows, on which a model is tuned"
    if train.sha256 == test.sha256:
        raise LlamaGeneError(problem, where=test.path, hint=hint)
    found = find_leaks(test.examples, train.examples, [given.kind for given in task.inputs], rule)
    if found.is_training_data:
        raise LlamaGeneError(f"{problem}, or some of them: {train.path}", where=test.path, hint=hint)
    return found


def _leaked(task: Task, found: Leakage, truth: NDArray[Any], guess: NDArray[Any]) -> Leaked:
    clean = ~found.is_leaked
    on_clean = score(task, truth[clean], guess[clean])[task.metric] if clean.any() else None
    return Leaked(counts={kind: num for kind, num in found.counts.items() if num}, clean=on_clean)


def _require_numbers(predictor: Predictor, task: Task, predictions: Sequence[Prediction]) -> None:
    bad = [one.id for one in predictions if one.probabilities is not None and not np.isfinite(one.probabilities).all()]
    if bad:
        problem = (
            f"the model answers NaN to {len(bad):,} of {len(predictions):,} rows of {task.name!r}, first {bad[0]!r}"
        )
        hint = "its weights are broken, or a training diverged: look at its loss, and tune it again"
        raise ModelError(problem, where=predictor.folder, hint=hint)


def _outcomes(task: Task, examples: Sequence[Example], predictions: Sequence[Prediction]) -> Outcomes:
    is_number = task.kind == "regression"
    return Outcomes(
        task.kind,
        [example.id for example in examples],
        [repr(example.value) if is_number else example.answer or "" for example in examples],
        [repr(_value(task, one)) if is_number else one.answer for one in predictions],
        np.array([np.nan if is_number or one.probability is None else one.probability for one in predictions]),
        np.array([sum(map(len, example.sequences)) for example in examples]),
        np.array([one.num_cut for one in predictions]),
    )


def targets(task: Task, examples: Sequence[Example]) -> NDArray[Any]:
    """The right answers as an array: label numbers, values, bool[n, labels] or texts."""
    if task.kind == "regression":
        return np.array([example.value for example in examples], dtype=float)
    return _encode_answers(task, [example.answer or "" for example in examples])


def _encode_answers(task: Task, answers: Sequence[str]) -> NDArray[Any]:
    if task.kind == "classification":
        numbers = {name: number for number, name in enumerate(task.label_names)}
        # What is no label is wrong.
        return np.array([numbers.get(answer, -1) for answer in answers])
    if task.kind == "multilabel":
        # What a model writes beside the names counts as nothing, and so as wrong.
        named = [set(answer.split(ANSWER_SEPARATOR)) for answer in answers]
        return np.array([[name in names for name in task.label_names] for names in named])
    return np.array(answers, dtype=object)


def score(task: Task, truth: NDArray[Any], guess: NDArray[Any]) -> dict[str, Score]:
    """All metrics of the task's kind; of the things that texts name only those that the right answers do name."""
    scores = {name: metric(truth, guess) for name, metric in METRICS[task.kind].items()}
    return {name: found for name, found in scores.items() if name == task.metric or not np.isnan(found.value)}


def main_score(task: Task, examples: Sequence[Example], predictions: Sequence[Prediction]) -> Score:
    """The score of predictions in the task's main metric."""
    return score(task, targets(task, examples), _guesses(task, predictions))[task.metric]


def majority_score(task: Task, examples: Sequence[Example]) -> dict[str, Score]:
    """What always saying the most frequent of these very answers scores: no constant answer does better here."""
    truth = targets(task, examples)
    values, counts = np.unique(truth, return_counts=True)
    return score(task, truth, np.full_like(truth, values[counts.argmax()]))


def _guesses(task: Task, predictions: Sequence[Prediction]) -> NDArray[Any]:
    if task.kind == "regression":
        return np.array([_value(task, prediction) for prediction in predictions])
    return _encode_answers(task, [prediction.answer for prediction in predictions])


def _value(task: Task, prediction: Prediction) -> float:
    """The number of a regression; the middle of its grid where none was written."""
    if prediction.value is not None:
        return prediction.value
    assert task.minimum is not None
    assert task.maximum is not None
    return (task.minimum + task.maximum) / 2


def _probabilities(task: Task, predictions: Sequence[Prediction]) -> NDArray[np.float64] | None:
    """The probability of every label, [n, labels]; None where a task has no labels to score, or they were written."""
    given = [one.probabilities for one in predictions]
    return np.array(given) if task.kind == "classification" and all(row is not None for row in given) else None


def _scores_of_probabilities(
    truth: NDArray[Any], guess: NDArray[Any], probabilities: NDArray[np.float64] | None
) -> dict[str, Score]:
    if probabilities is None:
        return {}
    each = probabilities[:, 1] if probabilities.shape[1] == 2 else probabilities
    return {
        "auroc": metrics.auroc(truth, each),
        "ece": metrics.ece(truth == guess, probabilities.max(axis=1)),
    }


def _confusion(task: Task, truth: NDArray[Any], guess: NDArray[Any]) -> tuple[tuple[int, ...], ...] | None:
    if task.kind != "classification":
        return None
    counts = np.zeros((len(task.label_names),) * 2, dtype=int)
    np.add.at(counts, (truth[guess >= 0], guess[guess >= 0]), 1)
    return tuple(tuple(row) for row in counts.tolist())


def _scatter(task: Task, truth: NDArray[Any], guess: NDArray[Any]) -> tuple[tuple[float, float], ...] | None:
    if task.kind != "regression":
        return None
    step = -(-len(truth) // _SCATTER_POINTS)
    return tuple(zip(truth.tolist()[::step], guess.tolist()[::step], strict=True))


def _note(
    task: Task, truth: NDArray[Any], test: RowsToScore, train: RowsToScore | None, predictions: Sequence[Prediction]
) -> str:
    notes = []
    if num_unlabelled := sum(
        task.kind == "classification" and one.answer not in task.label_names for one in predictions
    ):
        notes.append(f"{num_unlabelled:,} answers are no label of the task: they count as wrong.")
    if num_without := sum(task.kind == "regression" and one.value is None for one in predictions):
        notes.append(f"{num_without:,} answers are no number: the middle of the grid stands for them.")
    if task.kind in ("classification", "regression") and len(np.unique(truth)) == 1:
        answer = test.examples[0].answer
        notes.append(f"All rows have one answer, {answer!r}: no score but accuracy and error says anything here.")
    if test.rejects:
        notes.append(
            f"{len(test.rejects)} rows set aside, the first: {test.rejects[0].where}: {test.rejects[0].reason}."
        )
    if test.num_clipped:
        notes.append(f"{test.num_clipped} rows lie outside the grid of answers: no prediction can reach them.")
    if train is None:
        notes.append("No baselines, and no search for leaks: the training rows were not found.")
    return " ".join(notes)


def describe_model(record: Mapping[str, Any]) -> dict[str, str | int | float | bool | None]:
    """What a report says of a model, from its record."""
    described: dict[str, str | int | float | bool | None] = {"base": record.get("base"), **record.get("asked", {})}
    for stage in ("pretrain", "finetune"):
        if stage in record:
            summary = record[stage]
            described["parameters"] = summary["parameters"]
            described[f"{stage}: trainable parameters"] = summary["trainable_parameters"]
            described[f"{stage}: tokens"] = summary["tokens"]
            described[f"{stage}: minutes"] = f"{summary['seconds'] / 60:.1f}"
    return described
