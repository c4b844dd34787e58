"""The bootstrap under every score, and the checks of what is scored."""

import functools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

NUM_RESAMPLES = 1000
CONFIDENCE = 0.95

_BLOCK = 1 << 16  # rows times resamples in memory at a time

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Score:
    """A value with its 95 % interval over n rows; NaN where the metric is not defined on these rows.

    >>> print(Score(0.8123, 0.79, 0.8333, 2000))
    0.812 [0.790, 0.833]
    >>> print(Score(math.nan, math.nan, math.nan, 7))
    not defined
    """

    value: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        if math.isnan(self.value):
            return "not defined"
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


@dataclass(frozen=True, slots=True)
class Statistic:
    """A metric of fixed answers, as a function of how often each row is drawn.

    Rows that are alike to the metric are of one sort, so drawing rows is drawing sorts, of which there may be few.

    Args:
        sorts: The sort of each row, from 0; [n].
        measure: How often each sort is drawn, [resamples, sorts] -> the metric in each resample, [resamples].
    """

    sorts: Integers
    measure: Callable[[Floats], Floats]

    @property
    def value(self) -> float:
        """The metric on the rows as they are."""
        return float(self.measure(np.bincount(self.sorts)[None].astype(np.float64))[0])

    def score(self, seed: int = 0) -> Score:
        """The value with its bootstrap interval."""
        resampled = [self.measure(drawn) for drawn in _resamples(self.sorts, seed)]
        return _interval(self.value, np.concatenate(resampled), len(self.sorts))


class Metric:
    """A metric: called with truth and guess it gives a `Score`; `of` gives the `Statistic` behind it.

    Args:
        build: Makes the statistic; its docstring is the metric's.
    """

    def __init__(self, build: Callable[[Any, Any], Statistic]) -> None:
        self.of = build
        functools.update_wrapper(self, build)

    def __call__(self, truth: Any, guess: Any, *, seed: int = 0) -> Score:
        """The score; `seed` draws the resamples."""
        return self.of(truth, guess).score(seed)


def _resamples(sorts: Integers, seed: int) -> Iterator[Floats]:
    """Blocks of resamples, as how often each sort is drawn: [block, sorts]."""
    generator, n = np.random.default_rng(seed), len(sorts)
    counts = np.bincount(sorts)
    num_sorts = len(counts)
    size = max(1, _BLOCK // n)
    for start in range(0, NUM_RESAMPLES, size):
        block = min(size, NUM_RESAMPLES - start)
        if 8 * num_sorts < n:  # few sorts are drawn at once, which is exactly the same
            yield generator.multinomial(n, counts / n, size=block).astype(np.float64)
            continue
        drawn = sorts[generator.integers(n, size=(block, n))] + num_sorts * np.arange(block)[:, None]
        yield np.bincount(drawn.ravel(), minlength=block * num_sorts).reshape(block, num_sorts).astype(np.float64)


def _interval(value: float, resampled: Floats, n: int) -> Score:
    defined = resampled[~np.isnan(resampled)]
    if math.isnan(value) or not len(defined):
        return Score(value, math.nan, math.nan, n)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(defined, [tail, 1 - tail])
    # A percentile interval may miss the value itself on few or skewed rows; an error bar beside its dot helps nobody.
    return Score(value, min(float(low), value), max(float(high), value), n)


def mean_of(values: Floats) -> Statistic:
    """The mean of one value a row, [n]."""
    levels, sorts = np.unique(values, return_inverse=True)

    def measure(drawn: Floats) -> Floats:
        mean: Floats = drawn @ levels / drawn.sum(axis=1)
        return mean

    return Statistic(sorts, measure)


def sums_of(rows: Floats, starts: Integers) -> Floats:
    """Sums of runs of columns, each run beginning at one of `starts`; [resamples, runs]."""
    if len(starts) == rows.shape[1]:
        return rows
    sums: Floats = np.add.reduceat(rows, starts, axis=1)
    return sums


def divide(numerator: Floats, denominator: Floats, *, empty: float) -> Floats:
    """`numerator / denominator`, and `empty` where the denominator is 0."""
    return np.divide(numerator, denominator, out=np.full_like(numerator, empty), where=denominator > 0)


def matching_floats(truth: npt.ArrayLike, guess: npt.ArrayLike) -> tuple[Floats, Floats]:
    """Two arrays of finite numbers, [n] each.

    Raises:
        ValueError: There are no rows, the two differ in shape, or hold a NaN or an infinity.
    """
    real, said = finite(truth), finite(guess)
    check_rows(real, said, dimensions=1)
    return real, said


def finite(values: npt.ArrayLike) -> Floats:
    """An array of finite numbers.

    Raises:
        ValueError: It holds a NaN or an infinity.
    """
    numbers = np.asarray(values, dtype=np.float64)
    num_bad = int((~np.isfinite(numbers)).sum())
    if num_bad:
        raise ValueError(f"{num_bad} of {numbers.size} values are not finite")
    return numbers


def check_rows(truth: npt.NDArray[Any], guess: npt.NDArray[Any], *, dimensions: int) -> None:
    """Refuse what does not agree.

    Raises:
        ValueError: There are no rows, or the two differ in shape or do not have `dimensions`.
    """
    if truth.shape != guess.shape or truth.ndim != dimensions:
        raise ValueError(
            f"truth {truth.shape} and guess {guess.shape} must be equal shapes of {dimensions} dimension(s)"
        )
    if not len(truth):
        raise ValueError("no rows to score")
