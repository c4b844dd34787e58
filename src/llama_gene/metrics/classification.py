"""Metrics of labels and of their probabilities."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from llama_gene.metrics.resample import (
    Floats,
    Integers,
    Metric,
    Statistic,
    check_rows,
    divide,
    finite,
    matching_floats,
    mean_of,
    sums_of,
)

_LEAST = 1e-300  # the logarithm of 0 would be infinite

NUM_CALIBRATION_BINS = 15  # as in Guo et al. 2017, On calibration of modern neural networks


@Metric
def accuracy(truth: npt.ArrayLike, guess: npt.ArrayLike) -> Statistic:
    """The share of rows whose label is right.

    Args:
        truth: Label numbers, [n].
        guess: Label numbers, [n]; a number outside the task's labels (-1 for an abstention) is simply wrong.

    Raises:
        ValueError: There are no rows, or the two differ in shape, or hold something else than whole numbers.

    >>> print(accuracy([0, 0, 1, 1], [0, 0, 1, 0]).value)
    0.75
    """
    real, said = _matching_labels(truth, guess)
    return mean_of((real == said).astype(np.float64))


@Metric
def mcc(truth: npt.ArrayLike, guess: npt.ArrayLike) -> Statistic:
    """Matthews correlation coefficient for two or more labels; 0 where truth or guess holds one label only.

    Arguments and errors as for `accuracy`.

    >>> print(mcc([0, 0, 1, 1], [0, 0, 1, 1]).value)
    1.0
    """
    return _of_confusion(truth, guess, _mcc)


@Metric
def macro_f1(truth: npt.ArrayLike, guess: npt.ArrayLike) -> Statistic:
    """The plain mean of the labels' F1, over the labels that stand in truth or guess.

    Arguments and errors as for `accuracy`.

    >>> print(round(macro_f1([0, 0, 1, 1], [0, 0, 0, 1]).value, 3))
    0.733
    """
    return _of_confusion(truth, guess, _macro_f1)


# Row counts, each [resamples, labels]: truly of the label and guessed so, truly of it, guessed so -> [resamples].
_LabelFormula = Callable[[Floats, Floats, Floats], Floats]


def _of_confusion(truth: npt.ArrayLike, guess: npt.ArrayLike, formula: _LabelFormula) -> Statistic:
    pairs = np.stack(_matching_labels(truth, guess), axis=1)
    labels, codes = np.unique(pairs, return_inverse=True)
    # Only the cells of the confusion matrix that have rows: at most n of them, however many labels there are.
    cells, sorts = np.unique(codes.reshape(pairs.shape), axis=0, return_inverse=True)
    of_truth, of_guess = np.eye(len(labels))[cells[:, 0]], np.eye(len(labels))[cells[:, 1]]
    of_both = of_truth * of_guess

    def measure(drawn: Floats) -> Floats:
        return formula(drawn @ of_both, drawn @ of_truth, drawn @ of_guess)

    return Statistic(sorts.reshape(-1), measure)


def _mcc(right: Floats, truth: Floats, guess: Floats) -> Floats:
    n = truth.sum(axis=1)
    covariance = right.sum(axis=1) * n - (truth * guess).sum(axis=1)
    spread = (n**2 - (truth**2).sum(axis=1)) * (n**2 - (guess**2).sum(axis=1))
    return divide(covariance, np.sqrt(spread), empty=0.0)


def _macro_f1(right: Floats, truth: Floats, guess: Floats) -> Floats:
    present = (truth + guess) > 0
    mean: Floats = divide(2 * right, truth + guess, empty=0.0).sum(axis=1) / present.sum(axis=1)
    return mean


def _matching_labels(truth: npt.ArrayLike, guess: npt.ArrayLike) -> tuple[Integers, Integers]:
    real, said = np.asarray(truth), np.asarray(guess)
    check_rows(real, said, dimensions=1)
    for values in (real, said):
        if values.dtype.kind not in "iub":
            raise ValueError(f"labels are whole numbers, not {values.dtype}")
    return real.astype(np.int64), said.astype(np.int64)


@Metric
def micro_f1(truth: npt.ArrayLike, guess: npt.ArrayLike) -> Statistic:
    """F1 over all (row, label) cells of a multilabel task; 0 where neither truth nor guess holds any label.

    Args:
        truth: Whether a row has a label, bool [n, labels].
        guess: The model's say, bool [n, labels].

    Raises:
        ValueError: There are no rows, the two differ in shape, or are not [n, labels].

    >>> print(micro_f1([[True, False], [True, True]], [[True, False], [True, False]]).value)
    0.8
    """
    real, said = np.asarray(truth, dtype=bool), np.asarray(guess, dtype=bool)
    check_rows(real, said, dimensions=2)
    return f1_of_sets((real & said).sum(axis=1), real.sum(axis=1) + said.sum(axis=1), empty=0.0)


def f1_of_sets(num_common: npt.ArrayLike, num_both: npt.ArrayLike, *, empty: float) -> Statistic:
    """F1 over all members of two sets a row.

    Args:
        num_common: Members that stand in both sets, [n].
        num_both: Members of one plus members of the other, [n].
        empty: What it is where no set has a member.
    """
    pairs, sorts = np.unique(np.stack([num_common, num_both], axis=1), axis=0, return_inverse=True)

    def measure(drawn: Floats) -> Floats:
        sums = drawn @ pairs.astype(np.float64)
        return divide(2 * sums[:, 0], sums[:, 1], empty=empty)

    return Statistic(sorts.reshape(-1), measure)


@Metric
def auroc(truth: npt.ArrayLike, probability: npt.ArrayLike) -> Statistic:
    """The chance that a row of a label gets a higher probability of it than a row of another; a tie counts one half.

    Of several labels, each stands against the rest, and the mean over the labels that the truth holds is taken. NaN
    where the truth holds one label only (the interval leaves such resamples out).

    Args:
        truth: 0 or 1, or label numbers; [n].
        probability: Probability of label 1, [n], or of every label, [n, labels]; or any number that grows with it.

    Raises:
        ValueError: There are no rows, the shapes do not agree, truth is no such label, or a probability is not finite.

    >>> print(auroc([0, 0, 1, 1], [0.1, 0.6, 0.4, 0.9]).value)
    0.75
    >>> print(auroc([0, 1, 2], [[0.8, 0.1, 0.1], [0.3, 0.4, 0.3], [0.1, 0.5, 0.4]]).value)
    0.8333333333333334
    """
    real, chance = np.asarray(truth), finite(probability)
    if chance.ndim == 1:
        check_rows(real, chance, dimensions=1)
        known, columns = 2, {1: chance}
    else:
        check_rows(real, chance[:, 0] if chance.ndim == 2 and chance.shape[1] else chance, dimensions=1)
        known = chance.shape[1]
        columns = {int(label): chance[:, label] for label in np.unique(real) if 0 <= label < known}
    if not np.isin(real, range(known)).all():
        raise ValueError(f"auroc takes the labels 0 to {known - 1} as truth")
    areas = [_area(real == label, column) for label, column in columns.items()]

    def measure(drawn: Floats) -> Floats:
        each = np.stack([area(drawn) for area in areas])
        defined = ~np.isnan(each)
        return divide(np.where(defined, each, 0.0).sum(axis=0), defined.sum(axis=0).astype(np.float64), empty=np.nan)

    return Statistic(np.arange(len(real)), measure)


def _area(positive: npt.NDArray[np.bool_], chance: Floats) -> Callable[[Floats], Floats]:
    """The area under one label's curve, for how often each row is drawn; NaN without a positive or a negative row."""
    order = np.argsort(chance, kind="stable")
    is_one = positive[order].astype(np.float64)
    starts = np.flatnonzero(np.diff(chance[order], prepend=-np.inf))

    def measure(drawn: Floats) -> Floats:
        rows = drawn.take(order, axis=1)
        ones = sums_of(rows * is_one, starts)
        zeros = sums_of(rows, starts) - ones
        below = np.cumsum(zeros, axis=1) - zeros / 2
        return divide((ones * below).sum(axis=1), ones.sum(axis=1) * zeros.sum(axis=1), empty=np.nan)

    return measure


@Metric
def ece(right: npt.ArrayLike, confidence: npt.ArrayLike) -> Statistic:
    """Expected calibration error: how far confidence and accuracy are apart, in `NUM_CALIBRATION_BINS` equal bins.

    Lower is better. A resample adds noise to each bin, so the interval reaches further up than down.

    Args:
        right: Whether the row's answer is right, [n].
        confidence: The probability of that answer, [n].

    Raises:
        ValueError: There are no rows, the two differ in shape, or a confidence is no probability.

    >>> print(round(ece([1, 0, 1, 1], [0.9, 0.9, 0.6, 0.6]).value, 3))
    0.4
    """
    is_right, sure = matching_floats(right, confidence)
    if ((sure < 0) | (sure > 1 + 1e-9)).any():
        raise ValueError("a confidence is a probability, from 0 to 1")
    gaps = np.eye(NUM_CALIBRATION_BINS)[calibration_bins(sure)] * (is_right - sure)[:, None]

    def measure(drawn: Floats) -> Floats:
        error: Floats = np.abs(drawn @ gaps).sum(axis=1) / drawn.sum(axis=1)
        return error

    return Statistic(np.arange(len(sure)), measure)


def calibrated(scores: Floats, temperature: float) -> Floats:
    """Probabilities at a temperature; a row adds up to 1.

    Args:
        scores: Log-probabilities of the labels in nats, [n, labels], each row up to a constant of its own.
        temperature: Above 1 makes a model less sure, below 1 more.

    >>> calibrated(np.log([[0.2, 0.8]]), 1.0).round(3).tolist(), calibrated(np.log([[0.2, 0.8]]), 2.0).round(3).tolist()
    ([[0.2, 0.8]], [[0.333, 0.667]])
    """
    scaled = scores / temperature
    weights = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    probabilities: Floats = weights / weights.sum(axis=1, keepdims=True)
    return probabilities


def at_temperature(probabilities: Floats, temperature: float) -> Floats:
    """The same probabilities at a temperature; a row adds up to 1.

    Args:
        probabilities: Of every label, [n, labels].
        temperature: Above 1 makes a model less sure, below 1 more.
    """
    return calibrated(np.log(np.maximum(probabilities, _LEAST)), temperature)


def calibration_bins(confidence: Floats) -> Integers:
    """The bin of each probability, [n].

    >>> calibration_bins(np.array([0.0, 0.5, 1.0])).tolist()
    [0, 7, 14]
    """
    return np.minimum((confidence * NUM_CALIBRATION_BINS).astype(np.int64), NUM_CALIBRATION_BINS - 1)
