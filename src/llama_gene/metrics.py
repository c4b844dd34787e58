"""Scores with error bars: every number carries a 95 % bootstrap interval and the number of rows it stands on.

All functions take the truth first and the model's guesses second, row by row, and return a `Score`. The intervals are
percentiles over `NUM_RESAMPLES` resamples of the rows with a fixed seed, so the same answers always give the same
report. What a metric says where its formula divides by zero is stated on the function.

An interval says how far the score would move on *other rows like these*; it knows nothing about another training run.
It is blind at the edges: a model that errs in none of ten rows gets ``1.000 [1.000, 1.000]``, so read n beside it.
"""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

NUM_RESAMPLES = 1000
CONFIDENCE = 0.95

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


# ---- labels: all follows from the counts of the confusion matrix, so its cells are resampled, all at once ----


def accuracy(truth: npt.ArrayLike, guess: npt.ArrayLike, *, seed: int = 0) -> Score:
    """The share of rows whose label is right.

    Args:
        truth: Label numbers, [n].
        guess: Label numbers, [n]; a number outside the task's labels (-1 for an abstention) is simply wrong.
        seed: Seed of the resamples.

    Raises:
        ValueError: There are no rows, or the two differ in shape, or hold something else than whole numbers.

    >>> print(accuracy([0, 0, 1, 1], [0, 0, 1, 0]).value)
    0.75
    """
    return _score_labels(truth, guess, _accuracy, seed)


def mcc(truth: npt.ArrayLike, guess: npt.ArrayLike, *, seed: int = 0) -> Score:
    """Matthews correlation coefficient for two or more labels; 0 where truth or guess holds one label only.

    Arguments and errors as for `accuracy`.

    >>> print(mcc([0, 0, 1, 1], [0, 0, 1, 1]).value)
    1.0
    """
    return _score_labels(truth, guess, _mcc, seed)


def macro_f1(truth: npt.ArrayLike, guess: npt.ArrayLike, *, seed: int = 0) -> Score:
    """The plain mean of the labels' F1, over the labels that stand in truth or guess.

    Arguments and errors as for `accuracy`.

    >>> print(round(macro_f1([0, 0, 1, 1], [0, 0, 0, 1]).value, 3))
    0.733
    """
    return _score_labels(truth, guess, _macro_f1, seed)


# Row counts, each [resamples, labels]: truly of the label and guessed so, truly of it, guessed so -> [resamples].
_LabelMetric = Callable[[Floats, Floats, Floats], Floats]


def _score_labels(truth: npt.ArrayLike, guess: npt.ArrayLike, metric: _LabelMetric, seed: int) -> Score:
    pairs = np.stack(_matching_labels(truth, guess), axis=1)
    labels, codes = np.unique(pairs, return_inverse=True)
    # Only the cells of the confusion matrix that have rows: at most n of them, however many labels there are.
    cells, counts = np.unique(codes.reshape(pairs.shape), axis=0, return_counts=True)
    of_truth, of_guess = np.eye(len(labels))[cells[:, 0]], np.eye(len(labels))[cells[:, 1]]
    of_both = of_truth * of_guess

    def measure(drawn: Floats) -> Floats:
        return metric(drawn @ of_both, drawn @ of_truth, drawn @ of_guess)

    value = float(measure(counts[None].astype(np.float64))[0])
    return _interval(value, measure(_resample_counts(counts, seed)), len(pairs))


def _accuracy(right: Floats, truth: Floats, guess: Floats) -> Floats:  # noqa: ARG001 (every label metric has these three)
    share: Floats = right.sum(axis=1) / truth.sum(axis=1)
    return share


def _mcc(right: Floats, truth: Floats, guess: Floats) -> Floats:
    n = truth.sum(axis=1)
    covariance = right.sum(axis=1) * n - (truth * guess).sum(axis=1)
    spread = (n**2 - (truth**2).sum(axis=1)) * (n**2 - (guess**2).sum(axis=1))
    return _divide(covariance, np.sqrt(spread), empty=0.0)


def _macro_f1(right: Floats, truth: Floats, guess: Floats) -> Floats:
    present = (truth + guess) > 0
    mean: Floats = _divide(2 * right, truth + guess, empty=0.0).sum(axis=1) / present.sum(axis=1)
    return mean


def micro_f1(truth: npt.ArrayLike, guess: npt.ArrayLike, *, seed: int = 0) -> Score:
    """F1 over all (row, label) cells of a multilabel task; 0 where neither truth nor guess holds any label.

    Args:
        truth: Whether a row has a label, bool [n, labels].
        guess: The model's say, bool [n, labels].
        seed: Seed of the resamples; whole rows are drawn.

    Raises:
        ValueError: There are no rows, the two differ in shape, or are not [n, labels].

    >>> print(micro_f1([[True, False], [True, True]], [[True, False], [True, False]]).value)
    0.8
    """
    real, said = np.asarray(truth, dtype=bool), np.asarray(guess, dtype=bool)
    _check_rows(real, said, dimensions=2)
    # Per row: labels that are right, and labels in truth plus labels in guess.
    rows = np.stack([(real & said).sum(axis=1), real.sum(axis=1) + said.sum(axis=1)], axis=1)
    kinds, counts = np.unique(rows, axis=0, return_counts=True)

    def measure(drawn: Floats) -> Floats:
        sums = drawn @ kinds.astype(np.float64)
        return _divide(2 * sums[:, 0], sums[:, 1], empty=0.0)

    value = float(measure(counts[None].astype(np.float64))[0])
    return _interval(value, measure(_resample_counts(counts, seed)), len(real))


def auroc(truth: npt.ArrayLike, probability: npt.ArrayLike, *, seed: int = 0) -> Score:
    """The chance that a row of label 1 gets a higher probability than a row of label 0; a tie counts one half.

    NaN where the truth holds one label only (the interval leaves such resamples out).

    Args:
        truth: 0 or 1, [n].
        probability: Probability of label 1, or any number that grows with it, [n].
        seed: Seed of the resamples.

    Raises:
        ValueError: There are no rows, the two differ in shape, truth is not 0 or 1, or a probability is not finite.

    >>> print(auroc([0, 0, 1, 1], [0.1, 0.6, 0.4, 0.9]).value)
    0.75
    """
    real, chance = np.asarray(truth), _finite(probability)
    _check_rows(real, chance, dimensions=1)
    if not np.isin(real, (0, 1)).all():
        raise ValueError("auroc takes 0 and 1 as truth")
    positive = real.astype(np.float64)
    _, group = np.unique(chance, return_inverse=True)

    def measure(weights: Floats) -> float:
        ones = np.bincount(group, weights * positive)
        zeros = np.bincount(group, weights * (1 - positive))
        pairs = float(ones.sum() * zeros.sum())
        below = np.cumsum(zeros) - zeros / 2
        return float(ones @ below) / pairs if pairs else math.nan

    return _score_rows(measure, len(real), seed)


# ---- numbers ----


def pearson(truth: npt.ArrayLike, guess: npt.ArrayLike, *, seed: int = 0) -> Score:
    """Pearson's correlation; 0 where truth or guess is constant, for a constant explains nothing.

    Args:
        truth: Values, [n].
        guess: Values, [n].
        seed: Seed of the resamples.

    Raises:
        ValueError: There are no rows, the two differ in shape, or hold a NaN or an infinity.

    >>> print(round(pearson([1, 2, 3], [1, 2, 4]).value, 3))
    0.982
    """
    real, said = _matching_floats(truth, guess)
    return _score_rows(lambda weights: _correlation(real, said, weights), len(real), seed)


def spearman(truth: npt.ArrayLike, guess: npt.ArrayLike, *, seed: int = 0) -> Score:
    """Spearman's rank correlation, ties at their mean rank; 0 where truth or guess is constant.

    Arguments and errors as for `pearson`. Every resample is ranked anew.

    >>> print(round(spearman([1, 2, 3], [1, 2, 40]).value, 3))
    1.0
    """
    real, said = _matching_floats(truth, guess)
    _, real_group = np.unique(real, return_inverse=True)
    _, said_group = np.unique(said, return_inverse=True)

    def measure(weights: Floats) -> float:
        return _correlation(_ranks(real_group, weights), _ranks(said_group, weights), weights)

    return _score_rows(measure, len(real), seed)


def mae(truth: npt.ArrayLike, guess: npt.ArrayLike, *, seed: int = 0) -> Score:
    """Mean absolute error, in the unit of the truth; lower is better. Arguments and errors as for `pearson`.

    >>> print(mae([1.0, 2.0], [1.5, 2.0]).value)
    0.25
    """
    real, said = _matching_floats(truth, guess)
    return _score_mean(np.abs(real - said), seed)


def _ranks(group: Integers, weights: Floats) -> Floats:
    """The mean rank of each row's group in the resample that holds row i `weights[i]` times; [n]."""
    counts = np.bincount(group, weights)
    ranks: Floats = (np.cumsum(counts) - counts / 2)[group]
    return ranks


def _correlation(left: Floats, right: Floats, weights: Floats) -> float:
    n = weights.sum()
    # Rows that are not in the resample must not decide what counts as constant.
    drawn = weights > 0
    if np.ptp(left[drawn]) == 0 or np.ptp(right[drawn]) == 0:
        return 0.0
    # Scaled to 1 first: squares of very large or very small values would leave the range of floats.
    first, second = left - weights @ left / n, right - weights @ right / n
    first, second = first / np.abs(first[drawn]).max(), second / np.abs(second[drawn]).max()
    spread = math.sqrt((weights @ first**2) * (weights @ second**2))
    return float(np.clip((weights @ (first * second)) / spread, -1.0, 1.0))


# ---- text ----


def exact_match(truth: Sequence[str], guess: Sequence[str], *, seed: int = 0) -> Score:
    """The share of texts that are equal, but for runs of white space.

    Args:
        truth: Texts, n of them.
        guess: Texts, n of them.
        seed: Seed of the resamples.

    Raises:
        ValueError: There are no rows, or not as many guesses as truths.

    >>> print(exact_match(["a kinase", "a ligase"], ["a kinase ", "A ligase"]).value)
    0.5
    """
    _check_texts(truth, guess)
    same = [real.split() == said.split() for real, said in zip(truth, guess, strict=True)]
    return _score_mean(np.asarray(same, dtype=np.float64), seed)


def rouge_l(truth: Sequence[str], guess: Sequence[str], *, seed: int = 0) -> Score:
    """Mean ROUGE-L: F1 of the longest common subsequence of words, which are cut and lower-cased as `rouge_score` does.

    Arguments and errors as for `exact_match`. No stemming. Two texts without a word score 1, one alone 0.

    >>> print(round(rouge_l(["a protein kinase"], ["a kinase"]).value, 3))
    0.8
    """
    _check_texts(truth, guess)
    values = [_rouge_l(_words(real), _words(said)) for real, said in zip(truth, guess, strict=True)]
    return _score_mean(np.asarray(values, dtype=np.float64), seed)


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", text.lower())


def _rouge_l(real: list[str], said: list[str]) -> float:
    if not real and not said:
        return 1.0
    return 2 * _common_length(real, said) / (len(real) + len(said))


def _common_length(left: list[str], right: list[str]) -> int:
    """Length of the longest common subsequence, by Hyyrö's bit-parallel algorithm (2004): one big integer a word."""
    places: dict[str, int] = {}
    for place, word in enumerate(left):
        places[word] = places.get(word, 0) | 1 << place
    everything = (1 << len(left)) - 1
    open_places = everything
    for word in right:
        matches = open_places & places.get(word, 0)
        open_places = (open_places + matches | open_places - matches) & everything
    return len(left) - open_places.bit_count()


# ---- resampling and checks ----


def _score_rows(measure: Callable[[Floats], float], n: int, seed: int) -> Score:
    """Score a metric that needs whole rows: `measure` takes how many times each row stands in the resample, [n]."""
    generator = np.random.default_rng(seed)
    resampled = np.empty(NUM_RESAMPLES)
    for draw in range(NUM_RESAMPLES):
        weights = np.bincount(generator.integers(n, size=n), minlength=n)
        resampled[draw] = measure(weights.astype(np.float64))
    return _interval(measure(np.ones(n)), resampled, n)


def _score_mean(values: Floats, seed: int) -> Score:
    return _score_rows(lambda weights: float(weights @ values) / len(values), len(values), seed)


def _resample_counts(counts: npt.NDArray[np.intp], seed: int) -> Floats:
    """Resamples of rows that fall into cells, as row counts [resamples, cells]: drawing rows is drawing cells."""
    total = int(counts.sum())
    drawn = np.random.default_rng(seed).multinomial(total, counts / total, size=NUM_RESAMPLES)
    return drawn.astype(np.float64)


def _interval(value: float, resampled: Floats, n: int) -> Score:
    defined = resampled[~np.isnan(resampled)]
    if math.isnan(value) or not len(defined):
        return Score(value, math.nan, math.nan, n)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(defined, [tail, 1 - tail])
    # A percentile interval may miss the value itself on few or skewed rows; an error bar beside its dot helps nobody.
    return Score(value, min(float(low), value), max(float(high), value), n)


def _divide(numerator: Floats, denominator: Floats, *, empty: float) -> Floats:
    """`numerator / denominator`, and `empty` where the denominator is 0."""
    return np.divide(numerator, denominator, out=np.full_like(numerator, empty), where=denominator > 0)


def _matching_labels(truth: npt.ArrayLike, guess: npt.ArrayLike) -> tuple[Integers, Integers]:
    real, said = np.asarray(truth), np.asarray(guess)
    _check_rows(real, said, dimensions=1)
    for values in (real, said):
        if values.dtype.kind not in "iub":
            raise ValueError(f"labels are whole numbers, not {values.dtype}")
    return real.astype(np.int64), said.astype(np.int64)


def _matching_floats(truth: npt.ArrayLike, guess: npt.ArrayLike) -> tuple[Floats, Floats]:
    real, said = _finite(truth), _finite(guess)
    _check_rows(real, said, dimensions=1)
    return real, said


def _finite(values: npt.ArrayLike) -> Floats:
    numbers = np.asarray(values, dtype=np.float64)
    num_bad = int((~np.isfinite(numbers)).sum())
    if num_bad:
        raise ValueError(f"{num_bad} of {numbers.size} values are not finite")
    return numbers


def _check_rows(truth: npt.NDArray[np.generic], guess: npt.NDArray[np.generic], *, dimensions: int) -> None:
    if truth.shape != guess.shape or truth.ndim != dimensions:
        raise ValueError(
            f"truth {truth.shape} and guess {guess.shape} must be equal shapes of {dimensions} dimension(s)"
        )
    if not len(truth):
        raise ValueError("no rows to score")


def _check_texts(truth: Sequence[str], guess: Sequence[str]) -> None:
    if len(truth) != len(guess):
        raise ValueError(f"{len(truth)} truths, but {len(guess)} guesses")
    if not len(truth):
        raise ValueError("no rows to score")
