"""What whoever answers tasks looks like, and what an answer is: evaluation asks all of them alike."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from llama_gene.inference.probability import ProbabilityKind
from llama_gene.tasks.task import Example, Task


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a model answers to one example.

    Attributes:
        id: The example's.
        answer: The label name, the number or the text. A number is the expectation over all numbers of the task's grid.
            Where answers are written and not scored, it may be something that is no label.
        value: The number of a regression.
        probabilities: float for each candidate, in the order of ``task.candidates``; None where text was generated.
        num_cut: Tokens of the sequences that were left out to fit; letters, where a server has the tokenizer.
    """

    id: str
    answer: str
    value: float | None
    probabilities: tuple[float, ...] | None
    num_cut: int

    @property
    def probability(self) -> float | None:
        """The probability of the most probable candidate."""
        return None if self.probabilities is None else max(self.probabilities)


class Predictor(Protocol):
    """Answers the examples of tasks: a tuned model, any causal language model, or a server with one."""

    @property
    def record(self) -> Mapping[str, Any]:
        """What is known of the model; under ``asked``, if there, how it is asked, for a report's readers."""

    @property
    def folder(self) -> Path | str:
        """Where it is, for messages."""

    def task(self, name: str) -> Task:
        """The task of that name as this model is asked it.

        Raises:
            TaskError: There is no such task for this model.
        """

    def prompt_hash(self, task: Task) -> str:
        """SHA-256 of what decides the prompts and the answers of `task`."""

    def predict(
        self,
        task: Task,
        examples: Iterable[Example],
        *,
        question: str | None = None,
        batch_tokens: int = 16_384,
        on_done: Callable[[int], None] | None = None,
        kind: ProbabilityKind = "shared",
    ) -> Iterator[Prediction]:
        """Predictions in the order of the examples, in bounded memory.

        Args:
            task: What is asked.
            examples: Any number of them; answers are not looked at.
            question: Other words for the task's question.
            batch_tokens: Prompt tokens in a batch, padding included.
            on_done: Told the number of examples done so far.
            kind: Which probabilities candidates get.
        """


def predictions_of(
    task: Task, ids: Sequence[str], probabilities: NDArray[np.float64], num_cut: Sequence[int]
) -> Iterator[Prediction]:
    """Predictions from the probabilities of a task's candidates.

    Args:
        task: The task.
        ids: The examples', [n].
        probabilities: Of each candidate, [n, candidates].
        num_cut: Tokens left out of each, [n].
    """
    grid = np.array([float(answer) for answer in task.candidates]) if task.kind == "regression" else None
    for name, row, cut in zip(ids, probabilities, num_cut, strict=True):
        value = None if grid is None else float(row @ grid / row.sum())
        answer = task.candidates[int(row.argmax())] if value is None else f"{value:.{(task.decimals or 0) + 2}f}"
        yield Prediction(name, answer, value, tuple(row.tolist()), cut)
