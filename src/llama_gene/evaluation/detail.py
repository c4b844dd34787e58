"""Where a model errs: by the length of its sequences, and in which rows the most."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llama_gene.evaluation.outcomes import METRICS, Outcomes
from llama_gene.evaluation.value import Value
from llama_gene.metrics import Score
from llama_gene.metrics.text import rouge_l_of_row
from llama_gene.tasks.task import ANSWER_SEPARATOR, NO_LABEL, Example

_MAX_BINS = 6
_ROWS_A_BIN = 30  # of fewer the interval is as wide as the chart
_NUM_WORST = 8
_SHOWN_LETTERS = 120
_SHOWN_TEXT = 400


class LengthBin(Value):
    """Rows whose sequences are about equally long.

    Attributes:
        shortest: Letters of the shortest row, all its sequences together.
        longest: Letters of the longest.
        score: The score in the task's main metric.
    """

    shortest: int
    longest: int
    score: Score


class WrongAnswer(Value):
    """A row that was answered wrongly.

    Attributes:
        id: The row's.
        truth: The right answer.
        guess: The model's.
        probability: What it gave its answer; None where it gives no probability.
        sequences: The row's sequences; of a long one the two ends, with ``…`` between.
        lengths: How long they are.
        num_cut: Tokens of them that the model did not see.
    """

    id: str
    truth: str
    guess: str
    probability: float | None
    sequences: tuple[str, ...]
    lengths: tuple[int, ...]
    num_cut: int


def score_by_length(outcomes: Outcomes, metric: str, truth: NDArray[Any], guess: NDArray[Any]) -> tuple[LengthBin, ...]:
    """Scores of rows of like length, in up to six bins of about equally many rows; none if there would be just one.

    Args:
        outcomes: The rows.
        metric: The task's main metric.
        truth: The right answers in the form that the metric takes, [n].
        guess: The model's.
    """
    lengths = outcomes.lengths
    num_bins = min(_MAX_BINS, len(lengths) // _ROWS_A_BIN)
    if num_bins < 2:
        return ()
    inner = np.unique(np.quantile(lengths, np.arange(1, num_bins) / num_bins))
    number = np.searchsorted(inner, lengths, side="left")
    members = [np.flatnonzero(number == one) for one in np.unique(number)]
    if len(members) < 2:
        return ()
    return tuple(
        LengthBin(
            shortest=int(lengths[rows].min()),
            longest=int(lengths[rows].max()),
            score=METRICS[outcomes.kind][metric](truth[rows], guess[rows]),
        )
        for rows in members
    )


def worst_answers(outcomes: Outcomes, examples: Sequence[Example]) -> tuple[WrongAnswer, ...]:
    """The rows that were answered the worst, the worst first, at most eight of them.

    Of wrong labels the most probable ones; of numbers those farthest off; of several labels the rows with most errors;
    of texts those with the least ROUGE-L.
    """
    badness = badness_of(outcomes)
    order = [row for row in np.argsort(-badness, kind="stable") if badness[row] > 0]
    answers = []
    for row in order[:_NUM_WORST]:
        sequences, probability = examples[row].sequences, float(outcomes.probability[row])
        answers.append(
            WrongAnswer(
                id=outcomes.ids[row],
                truth=outcomes.truth[row][:_SHOWN_TEXT],
                guess=outcomes.guess[row][:_SHOWN_TEXT],
                probability=None if np.isnan(probability) else probability,
                sequences=tuple(map(shortened, sequences)),
                lengths=tuple(map(len, sequences)),
                num_cut=int(outcomes.num_cut[row]),
            )
        )
    return tuple(answers)


def badness_of(outcomes: Outcomes) -> NDArray[np.float64]:
    """How bad each answer is, float[n], in a unit of the kind's own; 0 for one that is right."""
    pairs = list(zip(outcomes.truth, outcomes.guess, strict=True))
    if outcomes.kind == "classification":
        # Where no probability came with an answer, it is as bad as can be.
        return np.where(outcomes.right, 0.0, np.nan_to_num(outcomes.probability, nan=1.0))
    if outcomes.kind == "regression":
        return np.array([abs(float(real) - float(said)) for real, said in pairs])
    if outcomes.kind == "multilabel":
        sets = [[set(answer.split(ANSWER_SEPARATOR)) - {NO_LABEL} for answer in pair] for pair in pairs]
        return np.array([float(len(real ^ said)) for real, said in sets])
    return np.array([1 - rouge_l_of_row(real, said) for real, said in pairs])


def shortened(sequence: str) -> str:
    """A sequence, or the two ends of a long one.

    >>> shortened("ACGT"), len(shortened("A" * 1000))
    ('ACGT', 121)
    """
    half = _SHOWN_LETTERS // 2
    return sequence if len(sequence) <= _SHOWN_LETTERS else f"{sequence[:half]}…{sequence[-half:]}"
