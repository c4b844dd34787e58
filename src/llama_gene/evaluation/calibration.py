"""Whether a probability of 0.8 comes true in 8 of 10 rows, and one number that mends it: the temperature.

A classification is answered by scoring every label, see ``inference.probability``. Calibrated probabilities are those
of all scores divided by one temperature, fitted on rows that the model was not trained on. It changes no answer.
"""

import numpy as np
from numpy.typing import NDArray

from llama_gene import metrics
from llama_gene.evaluation.value import Value
from llama_gene.metrics import Score
from llama_gene.metrics.classification import NUM_CALIBRATION_BINS, calibrated, calibration_bins

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

MIN_ROWS = 20  # of fewer rows a temperature is noise

THESE_ROWS = "these rows"  # said of a temperature that was fitted on the rows it is shown on

_TEMPERATURES = (0.05, 20.0)
_STEPS = 60  # of the golden section: 0.618 ** 60 of that range is far below what matters
_LEAST = 1e-300  # the logarithm of 0 would be infinite


def fit_temperature(scores: Floats, truth: Integers) -> float:
    """The temperature at which the true labels are most probable, between 0.05 and 20.

    The mean log loss has one minimum in it, which a golden section finds.

    Args:
        scores: Log-probabilities of the labels in nats, [n, labels], each row up to a constant of its own.
        truth: The right labels, [n].
    """

    def loss(log_temperature: float) -> float:
        right = calibrated(scores, float(np.exp(log_temperature)))[np.arange(len(truth)), truth]
        return -float(np.log(np.maximum(right, _LEAST)).mean())

    low, high = np.log(_TEMPERATURES)
    golden = (5**0.5 - 1) / 2
    left, right = high - golden * (high - low), low + golden * (high - low)
    of_left, of_right = loss(left), loss(right)
    for _ in range(_STEPS):
        if of_left <= of_right:
            high, right, of_right = right, left, of_left
            left = high - golden * (high - low)
            of_left = loss(left)
        else:
            low, left, of_left = left, right, of_right
            right = low + golden * (high - low)
            of_right = loss(right)
    return float(np.exp((low + high) / 2))


class CalibrationBin(Value):
    """Rows of about one confidence.

    Attributes:
        confidence: Mean probability of their answers.
        accuracy: The share of their answers that is right.
        n: How many rows.
    """

    confidence: float
    accuracy: float
    n: int


class Calibration(Value):
    """How sure a model is, and how often it is right; as it answers, and at a temperature.

    Attributes:
        temperature: The temperature.
        fitted_on: What it was fitted on, in words; `THESE_ROWS` if on those scored.
        before: Expected calibration error as the model answers.
        after: The same at the temperature.
        curve_before: Bins that have rows, from unsure to sure.
        curve_after: The same at the temperature.
    """

    temperature: float
    fitted_on: str
    before: Score
    after: Score
    curve_before: tuple[CalibrationBin, ...]
    curve_after: tuple[CalibrationBin, ...]


def measure_calibration(
    probabilities: Floats, truth: Integers, known: tuple[float, str] | None = None
) -> Calibration | None:
    """Measure a model's calibration, and what a temperature makes of it.

    Where none is known, it is fitted on these rows; so that no row judges what it was fitted on, the calibrated
    probabilities of either half (every second row) are those at the temperature of the other half.

    Args:
        probabilities: Of every label, [n, labels].
        truth: The right labels, [n].
        known: A temperature, and what it was fitted on, in words.

    Returns:
        None if there are fewer than `MIN_ROWS` rows.
    """
    if len(truth) < MIN_ROWS:
        return None
    scores = np.log(np.maximum(probabilities, _LEAST))
    if known is not None:
        temperature, fitted_on = known
        after = calibrated(scores, temperature)
    else:
        temperature, fitted_on = fit_temperature(scores, truth), THESE_ROWS
        after = np.empty_like(scores)
        for half in (0, 1):
            other = fit_temperature(scores[1 - half :: 2], truth[1 - half :: 2])
            after[half::2] = calibrated(scores[half::2], other)
    right = probabilities.argmax(axis=1) == truth  # no temperature changes the answers
    confidence = [probabilities.max(axis=1), after.max(axis=1)]
    return Calibration(
        temperature=temperature,
        fitted_on=fitted_on,
        before=metrics.ece(right, confidence[0]),
        after=metrics.ece(right, confidence[1]),
        curve_before=_curve(right, confidence[0]),
        curve_after=_curve(right, confidence[1]),
    )


def _curve(right: NDArray[np.bool_], confidence: Floats) -> tuple[CalibrationBin, ...]:
    bins = calibration_bins(confidence)
    return tuple(
        CalibrationBin(confidence=float(confidence[rows].mean()), accuracy=float(right[rows].mean()), n=int(rows.sum()))
        for rows in (bins == number for number in range(NUM_CALIBRATION_BINS))
        if rows.any()
    )
