"""Which examples a tuning sees, how often, and in which order."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


def draw_examples(
    groups: Sequence[Ints],
    weights: Sequence[float],
    num_draws: int,
    *,
    seed: int,
    labels: Ints | None = None,
) -> Ints:
    """Draw examples of several groups by weight, each group spread evenly over the whole.

    Of a group no example comes twice before all came once; with `labels`, of a group's label.

    Args:
        groups: The examples of each group, none of them empty.
        weights: The share of the draws that each group gets, relative to the others.
        num_draws: How many draws there are in all.
        seed: Decides everything.
        labels: int64[examples]; where given, all labels of a group come equally often, but for those below 0, which
            are no labels.

    Returns:
        int64[num_draws]: examples.

    >>> draw_examples([np.array([0, 1, 2]), np.array([3])], [1, 1], 4, seed=1).tolist()
    [0, 3, 3, 1]
    """
    generator = np.random.default_rng(seed)
    drawn, keys = [], []
    for group, wanted in zip(groups, share_out(weights, num_draws), strict=True):
        parts = [group] if labels is None else _by_label(group, labels[group])
        for part, num in zip(parts, share_out([1.0] * len(parts), wanted), strict=True):
            drawn.append(_rounds(part, num, generator))
            # The k-th of n stands somewhere in the k-th n-th of the whole.
            keys.append((np.arange(num) + generator.random(num)) / max(num, 1))
    order = np.argsort(np.concatenate(keys), kind="stable")
    return np.concatenate(drawn)[order]


def task_weights(sizes: Sequence[int], temperature: float) -> list[float]:
    """The weight of each task: its size to the power of ``1 / temperature``; 1 is by size, and large is all alike.

    >>> [round(weight) for weight in task_weights([100, 10_000], 2.0)]
    [10, 100]
    """
    return [size ** (1 / temperature) for size in sizes]


def share_out(weights: Sequence[float], total: int) -> list[int]:
    """Whole numbers in proportion to `weights` that sum to `total`.

    >>> share_out([1, 1, 2], 10), share_out([3, 1], 0)
    ([2, 3, 5], [0, 0])
    """
    ends = np.rint(np.cumsum(weights) / np.sum(weights) * total).astype(np.int64)
    return np.diff(ends, prepend=0).tolist()  # type: ignore[no-any-return]


def _by_label(group: Ints, labels: Ints) -> list[Ints]:
    return [group[labels == label] for label in np.unique(labels)] if labels.min() >= 0 else [group]


def _rounds(items: Ints, num: int, generator: np.random.Generator) -> Ints:
    """`num` of `items`: all of them in a random order, again and again."""
    rounds = [generator.permutation(items) for _ in range(-(-num // len(items)))]
    return np.concatenate(rounds)[:num] if rounds else items[:0]
