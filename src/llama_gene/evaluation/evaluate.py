"""Evaluate a model on a task: its predictions, the baselines' on the same rows, and what both are worth."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llama_gene import metrics
from llama_gene.evaluation.baselines import fit_predict
from llama_gene.evaluation.result import TaskResult
from llama_gene.inference.engine import Engine, Prediction
from llama_gene.metrics import Score
from llama_gene.progress import progress
from llama_gene.tasks.rows import LoadedRows
from llama_gene.tasks.task import ANSWER_SEPARATOR, Example, Task
from llama_gene.tasks.template import prompt_hash

_SCATTER_POINTS = 500


def evaluate_task(
    engine: Engine, task: Task, test: LoadedRows, train: LoadedRows | None, *, split: str, batch_tokens: int
) -> TaskResult:
    """Score a model on labelled rows.

    Args:
        engine: The model.
        task: One of its tasks.
        test: The rows to score.
        train: The rows it was tuned on, for the baselines; None leaves them out.
        split: What the scored rows are called.
        batch_tokens: Prompt tokens in a batch.
    """
    with progress(f"evaluate {task.name}", len(test.examples)) as report:
        predictions = list(engine.predict(task, test.examples, batch_tokens=batch_tokens, on_done=report))
    truth = targets(task, test.examples)
    scores = _scores_of_model(task, truth, predictions)
    baselines: dict[str, dict[str, Score]] = {}
    if train is not None:
        with progress(f"baselines {task.name}", None):
            guesses = fit_predict(
                task.kind,
                [given.kind for given in task.inputs],
                [example.sequences for example in train.examples],
                targets(task, train.examples),
                [example.sequences for example in test.examples],
            )
        baselines = {name: score(task, truth, guess) for name, guess in guesses.items()}
    trained = engine.record.get("tasks", {}).get(task.name, {})
    return TaskResult(
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
        prompt_hash=prompt_hash(task),
        metric=task.metric,
        scores=scores,
        baselines=baselines,
        best_possible=task.best_possible,
        best_possible_metric=task.best_possible_metric,
        labels=task.label_names if task.kind == "classification" else (),
        confusion=_confusion(task, truth, predictions),
        scatter=_scatter(task, truth, predictions),
        num_shortened=sum(prediction.num_cut > 0 for prediction in predictions),
        note=_note(test, train),
    )


def targets(task: Task, examples: Sequence[Example]) -> NDArray[Any]:
    """The right answers as an array: label numbers, values, bool[n, labels] or texts."""
    if task.kind == "regression":
        return np.array([example.value for example in examples], dtype=float)
    return _encode_answers(task, [example.answer or "" for example in examples])


def _encode_answers(task: Task, answers: Sequence[str]) -> NDArray[Any]:
    if task.kind == "classification":
        numbers = {name: number for number, name in enumerate(task.label_names)}
        return np.array([numbers[answer] for answer in answers])
    if task.kind == "multilabel":
        # What a model writes beside the names counts as nothing, and so as wrong.
        named = [set(answer.split(ANSWER_SEPARATOR)) for answer in answers]
        return np.array([[name in names for name in task.label_names] for names in named])
    return np.array(answers, dtype=object)


def score(task: Task, truth: NDArray[Any], guess: NDArray[Any]) -> dict[str, Score]:
    """All metrics of the task's kind."""
    if task.kind == "classification":
        return {
            "mcc": metrics.mcc(truth, guess),
            "accuracy": metrics.accuracy(truth, guess),
            "macro_f1": metrics.macro_f1(truth, guess),
        }
    if task.kind == "regression":
        return {
            "spearman": metrics.spearman(truth, guess),
            "pearson": metrics.pearson(truth, guess),
            "mae": metrics.mae(truth, guess),
        }
    if task.kind == "multilabel":
        return {"micro_f1": metrics.micro_f1(truth, guess)}
    return {
        "rouge_l": metrics.rouge_l(list(truth), list(guess)),
        "exact_match": metrics.exact_match(list(truth), list(guess)),
    }


def _guesses(task: Task, predictions: Sequence[Prediction]) -> NDArray[Any]:
    if task.kind == "regression":
        return np.array([prediction.value for prediction in predictions], dtype=float)
    return _encode_answers(task, [prediction.answer for prediction in predictions])


def _scores_of_model(task: Task, truth: NDArray[Any], predictions: Sequence[Prediction]) -> dict[str, Score]:
    scores = score(task, truth, _guesses(task, predictions))
    if task.kind == "classification" and len(task.label_names) == 2:
        second = np.array([prediction.probabilities[1] for prediction in predictions if prediction.probabilities])
        scores["auroc"] = metrics.auroc(truth, second)
    return scores


def _confusion(
    task: Task, truth: NDArray[Any], predictions: Sequence[Prediction]
) -> tuple[tuple[int, ...], ...] | None:
    if task.kind != "classification":
        return None
    counts = np.zeros((len(task.label_names),) * 2, dtype=int)
    np.add.at(counts, (truth, _guesses(task, predictions)), 1)
    return tuple(tuple(row) for row in counts.tolist())


def _scatter(
    task: Task, truth: NDArray[Any], predictions: Sequence[Prediction]
) -> tuple[tuple[float, float], ...] | None:
    if task.kind != "regression":
        return None
    step = -(-len(truth) // _SCATTER_POINTS)
    return tuple(zip(truth.tolist()[::step], _guesses(task, predictions).tolist()[::step], strict=True))


def _note(test: LoadedRows, train: LoadedRows | None) -> str:
    notes = []
    if test.rejects:
        notes.append(
            f"{len(test.rejects)} rows set aside, the first: {test.rejects[0].where}: {test.rejects[0].reason}."
        )
    if test.num_clipped:
        notes.append(f"{test.num_clipped} rows lie outside the grid of answers: no prediction can reach them.")
    if train is None:
        notes.append("No baselines: the training rows were not found.")
    return " ".join(notes)


def describe_model(record: Mapping[str, Any]) -> dict[str, str | int | float | bool | None]:
    """What a report says of a model, from its record."""
    described: dict[str, str | int | float | bool | None] = {"base": record.get("base")}
    for stage in ("pretrain", "finetune"):
        if stage in record:
            summary = record[stage]
            described["parameters"] = summary["parameters"]
            described[f"{stage}: trainable parameters"] = summary["trainable_parameters"]
            described[f"{stage}: tokens"] = summary["tokens"]
            described[f"{stage}: minutes"] = f"{summary['seconds'] / 60:.1f}"
    return described
