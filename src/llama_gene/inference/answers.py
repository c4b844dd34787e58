"""Predictions as rows: the label, its probability, that of every label; calibrated, and held back where it is low."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from llama_gene.errors import SettingsError
from llama_gene.inference.predictor import Prediction
from llama_gene.inference.rows import Cell, Column
from llama_gene.metrics.classification import at_temperature
from llama_gene.tasks.task import Task

_DECIMALS = 6  # what is behind them differs with the size of a batch, and a row must not


@dataclass(frozen=True)
class Answers:
    """How the predictions of a task become rows.

    Columns: ``id``, and for a classification ``label``, its ``probability`` and one ``p(name)`` for every label; for a
    regression ``value``; for sets of labels and text ``answer``.

    Args:
        task: The task.
        temperature: What all scores of labels are divided by; None: as the model answers.
        abstain_below: A label less probable than this is held back: its cell is empty (``-`` in TSV and CSV), and its
            probabilities stay. None: never.

    Raises:
        SettingsError: The threshold is no probability, or the task's answers have none.

    >>> from llama_gene.tasks.registry import load_task
    >>> answers = Answers(load_task("prom_core_all"), abstain_below=0.8)
    >>> answers.row(Prediction("a", "yes", None, (0.1, 0.9), 0))
    ['a', 'yes', 0.9, 0.1, 0.9]
    >>> answers.row(Prediction("b", "yes", None, (0.4, 0.6), 0))
    ['b', None, 0.6, 0.4, 0.6]
    """

    task: Task
    temperature: float | None = None
    abstain_below: float | None = None

    def __post_init__(self) -> None:
        if self.abstain_below is None:
            return
        if not 0 < self.abstain_below <= 1:
            raise SettingsError(f"--abstain-below {self.abstain_below}", hint="give a probability: above 0, at most 1")
        if self.task.kind != "classification":
            problem = (
                f"--abstain-below: task {self.task.name!r} is a {self.task.kind}, whose answers have no probability"
            )
            raise SettingsError(problem, hint="leave it out")

    @cached_property
    def columns(self) -> list[Column]:
        """The columns of a row."""
        name = Column("id", str)
        if self.task.kind == "classification":
            shares = [Column(f"p({label})", float) for label in self.task.label_names]
            return [name, Column("label", str), Column("probability", float), *shares]
        if self.task.kind == "regression":
            return [name, Column("value", float, (self.task.decimals or 0) + 2)]
        return [name, Column("answer", str)]

    def calibrate(self, prediction: Prediction) -> Prediction:
        """The prediction at the temperature; its answer is the same at any.

        A number of a regression is left alone: temperatures are fitted to labels.
        """
        if self.temperature is None or prediction.probabilities is None or self.task.kind != "classification":
            return prediction
        (probabilities,) = at_temperature(np.array([prediction.probabilities]), self.temperature).tolist()
        return replace(prediction, probabilities=tuple(probabilities))

    def label(self, prediction: Prediction) -> str | None:
        """The answer of a calibrated prediction; None if it is held back."""
        surest = prediction.probability
        if self.abstain_below is not None and surest is not None and surest < self.abstain_below:
            return None
        return prediction.answer

    def row(self, prediction: Prediction) -> list[Cell]:
        """The cells of a prediction, in the order of `columns`."""
        if prediction.value is not None:
            return [prediction.id, round(prediction.value, _DECIMALS)]
        prediction = self.calibrate(prediction)
        cells: list[Cell] = [prediction.id, self.label(prediction)]
        if self.task.kind == "classification" and prediction.probabilities is not None:
            cells += [round(p, _DECIMALS) for p in (max(prediction.probabilities), *prediction.probabilities)]
        return cells

    def rows(self, predictions: Iterable[Prediction]) -> Iterator[list[Cell]]:
        """The cells of many."""
        return map(self.row, predictions)
