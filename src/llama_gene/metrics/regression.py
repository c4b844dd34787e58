"""Metrics of numbers."""

import numpy as np
import numpy.typing as npt

from llama_gene.metrics.resample import Floats, Integers, Metric, Statistic, divide, matching_floats, mean_of, sums_of

_CONSTANT = 1e-12  # values that differ less, for their size, are equal as far as floats can tell


@Metric
def pearson(truth: npt.ArrayLike, guess: npt.ArrayLike) -> Statistic:
    """Pearson's correlation; 0 where truth or guess is constant, for a constant explains nothing.

    Args:
        truth: Values, [n].
        guess: Values, [n].

    Raises:
        ValueError: There are no rows, the two differ in shape, or hold a NaN or an infinity.

    >>> print(round(pearson([1, 2, 3], [1, 2, 4]).value, 3))
    0.982
    """
    real, said = matching_floats(truth, guess)
    return Statistic(np.arange(len(real)), lambda drawn: _correlation(real[None], said[None], drawn))


@Metric
def spearman(truth: npt.ArrayLike, guess: npt.ArrayLike) -> Statistic:
    """Spearman's rank correlation, ties at their mean rank; 0 where truth or guess is constant.

    Arguments and errors as for `pearson`. Every resample is ranked anew.

    >>> print(round(spearman([1, 2, 3], [1, 2, 40]).value, 3))
    1.0
    """
    real, said = matching_floats(truth, guess)
    groups = [np.unique(values, return_inverse=True)[1] for values in (real, said)]

    def measure(drawn: Floats) -> Floats:
        return _correlation(_ranks(groups[0], drawn), _ranks(groups[1], drawn), drawn)

    return Statistic(np.arange(len(real)), measure)


@Metric
def r2(truth: npt.ArrayLike, guess: npt.ArrayLike) -> Statistic:
    """The share of the truth's variance that the guesses explain, as they are; below 0 if the mean would do better.

    NaN where the truth is constant (the interval leaves such resamples out). Arguments and errors as for `pearson`.

    >>> print(r2([1, 2, 3], [1, 2, 4]).value)
    0.5
    """
    real, said = matching_floats(truth, guess)
    # Only distances count; without the mean they keep their digits.
    centred, error = real - real.mean(), (real - said) ** 2
    least = _CONSTANT * float((centred**2).max())

    def measure(drawn: Floats) -> Floats:
        spread = drawn @ centred**2 - (drawn @ centred) ** 2 / drawn.sum(axis=1)
        return 1 - divide(drawn @ error, np.where(spread > least, spread, 0.0), empty=np.nan)

    return Statistic(np.arange(len(real)), measure)


@Metric
def mae(truth: npt.ArrayLike, guess: npt.ArrayLike) -> Statistic:
    """Mean absolute error, in the unit of the truth; lower is better. Arguments and errors as for `pearson`.

    >>> print(mae([1.0, 2.0], [1.5, 2.0]).value)
    0.25
    """
    real, said = matching_floats(truth, guess)
    return mean_of(np.abs(real - said))


def _ranks(group: Integers, drawn: Floats) -> Floats:
    """The mean rank of each row's group of equal values, in each resample; [resamples, n]."""
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    counts = sums_of(drawn.take(order, axis=1), starts)
    ranks: Floats = (np.cumsum(counts, axis=1) - counts / 2).take(group, axis=1)
    return ranks


def _correlation(left: Floats, right: Floats, drawn: Floats) -> Floats:
    """The correlation in each resample; `left` and `right` are [resamples, n], or [1, n] if the same in all."""
    n, is_drawn = drawn.sum(axis=1, keepdims=True), drawn > 0
    centred = []
    for values in (left, right):
        away = values - np.einsum("ij,ij->i", drawn, np.broadcast_to(values, drawn.shape))[:, None] / n
        # Rows that are not in the resample must not decide what counts as constant.
        away *= is_drawn
        scale = np.abs(away).max(axis=1, keepdims=True)
        scale[scale <= _CONSTANT * np.abs(values).max()] = np.inf
        # Scaled to 1: squares of very large or very small values would leave the range of floats.
        away /= scale
        centred.append(away)
    first, second = centred
    both, one, other = (
        np.einsum("ij,ij,ij->i", drawn, *pair) for pair in ((first, second), (first,) * 2, (second,) * 2)
    )
    return np.clip(divide(both, np.sqrt(one * other), empty=0.0), -1.0, 1.0)
