"""Two models, or many seeds of one, on the same rows."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from llama_gene.metrics.resample import Floats, Score, Statistic, check_rows, sums_of

_MAX_EXACT = 1000  # disagreements; beyond it the approximation is as good


@dataclass(frozen=True, slots=True)
class McNemar:
    """McNemar's test: the rows that only one of two models gets right.

    Attributes:
        num_first: Rows that only the first gets right.
        num_second: Rows that only the second gets right.
        p: The probability of a split at least as uneven, if neither model were better; two-sided.
    """

    num_first: int
    num_second: int
    p: float


def mcnemar(first_right: npt.ArrayLike, second_right: npt.ArrayLike) -> McNemar:
    """Compare two models by the rows on which just one of them is right.

    Exact (binomial) for up to a thousand such rows, else chi-squared with Edwards' continuity correction.

    Args:
        first_right: Whether the first model is right, bool [n].
        second_right: Whether the second one is, on the same rows.

    Raises:
        ValueError: There are no rows, or the two differ in shape.

    >>> mcnemar([1, 1, 1, 1, 1, 1, 0], [0, 0, 0, 0, 0, 0, 1])
    McNemar(num_first=6, num_second=1, p=0.125)
    """
    one, other = np.asarray(first_right, dtype=bool), np.asarray(second_right, dtype=bool)
    check_rows(one, other, dimensions=1)
    num_first, num_second = int((one & ~other).sum()), int((other & ~one).sum())
    n, less = num_first + num_second, min(num_first, num_second)
    if n <= _MAX_EXACT:
        p = 2 * sum(math.comb(n, wins) for wins in range(less + 1)) / 2**n
    else:
        p = math.erfc(max(abs(num_first - num_second) - 1, 0) / math.sqrt(2 * n))
    return McNemar(num_first, num_second, min(1.0, p))


def mean(seeds: Sequence[Statistic], *, seed: int = 0) -> Score:
    """The mean of one metric over several trainings, with its interval over the rows, drawn alike for all of them.

    Args:
        seeds: The metric of each training, on the same rows.
        seed: Seed of the resamples.

    Raises:
        ValueError: There are none, or they do not stand on equally many rows.
    """
    return _weighted_sum([(1 / len(seeds), statistic) for statistic in seeds]).score(seed)


def difference(first: Sequence[Statistic], second: Sequence[Statistic], *, seed: int = 0) -> Score:
    """How much higher a metric is for the second model than for the first, on resamples of the same rows.

    Args:
        first: The metric of each training of the first model; one if it was trained once.
        second: That of the second model, on the same rows.
        seed: Seed of the resamples.

    Raises:
        ValueError: One has no training, or they do not stand on equally many rows.

    >>> from llama_gene.metrics import accuracy
    >>> truth = [0, 1] * 50
    >>> print(difference([accuracy.of(truth, [0, 0] * 50)], [accuracy.of(truth, truth)]).value)
    0.5
    """
    if not first or not second:
        raise ValueError("a difference needs a training of either model")
    gains = [(1 / len(second), statistic) for statistic in second]
    losses = [(-1 / len(first), statistic) for statistic in first]
    return _weighted_sum(gains + losses).score(seed)


def _weighted_sum(terms: Sequence[tuple[float, Statistic]]) -> Statistic:
    """A weighted sum of statistics over the same rows; rows are of one sort if they are so to every term."""
    if len({len(statistic.sorts) for _, statistic in terms}) != 1:
        raise ValueError("only metrics on the same rows can be put together")
    codes, sorts = np.unique(np.stack([term.sorts for _, term in terms], axis=1), axis=0, return_inverse=True)

    def measure(drawn: Floats) -> Floats:
        values: Floats = sum(
            (weight * term.measure(_merged(drawn, codes[:, place])) for place, (weight, term) in enumerate(terms)),
            np.zeros(len(drawn)),
        )
        return values

    return Statistic(sorts.reshape(-1), measure)


def _merged(drawn: Floats, code: npt.NDArray[np.int64]) -> Floats:
    """Counts of sorts, [resamples, sorts], added up to those of the coarser sorts that `code` names."""
    order = np.argsort(code, kind="stable")
    starts = np.flatnonzero(np.diff(code[order], prepend=-1))
    return sums_of(drawn.take(order, axis=1), starts)
