"""The letters that decided some answers: of the surest right one, the worst one, and so on in turn."""

import math
from collections.abc import Sequence
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import model_validator

from llama_gene.evaluation.detail import badness_of
from llama_gene.evaluation.outcomes import Outcomes
from llama_gene.evaluation.value import Value
from llama_gene.inference.attribution import Attribution, attribute
from llama_gene.inference.engine import Engine
from llama_gene.progress import progress
from llama_gene.sequences.alphabet import Kind
from llama_gene.tasks.task import Example, Task

_MAX_LETTERS = 80  # a report is about the task: enough to see a site, at a fraction of a whole sequence's cost


class ExplainedSequence(Value):
    """What the letters of one sequence did: what a report keeps of `inference.attribution.SequenceAttribution`.

    Attributes:
        role, kind, length, first, letters: As there.
        mutagenesis: What each letter does to the output.
        gradients: What each adds to it.
    """

    role: str
    kind: Kind
    length: int
    first: int
    letters: str
    mutagenesis: tuple[float, ...]
    gradients: tuple[float, ...]

    @model_validator(mode="after")
    def _parts_fit_together(self) -> Self:
        for values in (self.mutagenesis, self.gradients):
            if len(values) != len(self.letters) or not all(map(math.isfinite, values)):
                raise ValueError("each letter needs a finite number")
        return self


class Explained(Value):
    """A row's answer, and the letters that decided it.

    Attributes:
        id: The row's.
        truth: The right answer.
        answer: The model's.
        probability: What it gave that; None for a number.
        is_right: Whether it was chosen for being right, or, of a number, near.
        output: What the letters are measured by.
        value: That of the row.
        at_baseline: That of a sequence of mean letters.
        sequences: One for each of the task's inputs.
    """

    id: str
    truth: str
    answer: str
    probability: float | None
    is_right: bool
    output: str
    value: float
    at_baseline: float
    sequences: tuple[ExplainedSequence, ...]


def explain_rows(
    engine: Engine, task: Task, examples: Sequence[Example], outcomes: Outcomes, num: int, *, batch_tokens: int
) -> tuple[Explained, ...]:
    """Explain `num` rows: the surest right answer, the worst one, the next of each, ...

    Args:
        engine: The model.
        task: One of its tasks; of one whose answers are written and not scored, nothing is explained.
        examples: The rows.
        outcomes: What it answered to them.
        num: How many.
        batch_tokens: Prompt tokens in a batch.
    """
    if not task.candidates:
        return ()
    chosen, explained = choose_rows(outcomes, num), []
    with progress(f"explain {task.name}", len(chosen)) as report:
        for row, is_right in chosen:
            bare = Example(examples[row].id, examples[row].sequences)
            found = attribute(engine, task, bare, max_letters=_MAX_LETTERS, batch_tokens=batch_tokens)
            explained.append(_stored(found, outcomes.truth[row], is_right))
            report(len(explained))
    return tuple(explained)


def choose_rows(outcomes: Outcomes, num: int) -> list[tuple[int, bool]]:
    """The rows to explain, and whether each is among the right ones; of a regression, the near ones."""
    bad = badness_of(outcomes)
    order = np.argsort(-bad, kind="stable")
    if outcomes.kind == "regression":
        half = len(order) // 2
        right, wrong = order[half:][::-1], order[:half]
    else:
        sure = np.argsort(-outcomes.probability, kind="stable")
        right, wrong = sure[bad[sure] == 0], order[bad[order] > 0]
    turns = [[(int(row), is_right) for row in rows] for rows, is_right in ((right, True), (wrong, False))]
    # What one side lacks the other one makes up for.
    ranked = [(rank, not is_right, row) for turn in turns for rank, (row, is_right) in enumerate(turn)]
    return [(row, not is_wrong) for _, is_wrong, row in sorted(ranked)[:num]]


def _stored(found: Attribution, truth: str, is_right: bool) -> Explained:
    return Explained(
        id=found.id,
        truth=truth,
        answer=found.answer,
        probability=found.probability,
        is_right=is_right,
        output=found.target.unit,
        value=found.output,
        at_baseline=found.at_baseline,
        sequences=tuple(
            ExplainedSequence(
                role=part.role,
                kind=part.kind,
                length=part.length,
                first=part.first,
                letters=part.letters,
                mutagenesis=_rounded(part.effects),
                gradients=_rounded(part.gradients),
            )
            for part in found.sequences
        ),
    )


def _rounded(values: NDArray[np.float64]) -> tuple[float, ...]:
    """In as many digits as a drawing can show."""
    return tuple(float(f"{value:.4g}") for value in values)
