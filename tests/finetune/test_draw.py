"""Which examples a tuning sees: shares are exact, nothing comes twice before all came once."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llama_gene.finetune.draw import draw_examples, share_out, task_weights

sizes = st.lists(st.integers(1, 12), min_size=1, max_size=5)


def groups_of(sizes: list[int]) -> list[np.ndarray]:
    ends = np.cumsum([0, *sizes])
    return [np.arange(first, stop) for first, stop in pairwise(ends)]


@given(weights=st.lists(st.floats(0.01, 100), min_size=1, max_size=8), total=st.integers(0, 1000))
def test_shares_sum_to_the_whole_and_are_right_to_one(weights: list[float], total: int) -> None:
    shares = share_out(weights, total)
    assert sum(shares) == total
    for share, weight in zip(shares, weights, strict=True):
        assert abs(share - weight / sum(weights) * total) <= 1 + 1e-6


@pytest.mark.parametrize(("temperature", "weights"), [(1.0, [100, 10_000]), (2.0, [10, 100]), (1e9, [1, 1])])
def test_a_temperature_makes_tasks_alike(temperature: float, weights: list[float]) -> None:
    assert task_weights([100, 10_000], temperature) == pytest.approx(weights, rel=1e-6)


@given(sizes=sizes, num_draws=st.integers(0, 60), seed=st.integers(0, 3), data=st.data())
def test_each_group_gets_its_share_and_goes_round(
    sizes: list[int], num_draws: int, seed: int, data: st.DataObject
) -> None:
    groups = groups_of(sizes)
    weights = [data.draw(st.floats(0.1, 10)) for _ in sizes]
    drawn = draw_examples(groups, weights, num_draws, seed=seed)
    assert len(drawn) == num_draws
    for group, share in zip(groups, share_out(weights, num_draws), strict=True):
        seen = Counter(drawn[np.isin(drawn, group)].tolist())
        assert seen.total() == share
        assert all(share // len(group) <= seen[item] <= -(-share // len(group)) for item in group.tolist())
    assert np.array_equal(drawn, draw_examples(groups, weights, num_draws, seed=seed))


def test_labels_come_equally_often_where_there_are_any() -> None:
    labels = np.array([0] * 90 + [1] * 10 + [-1] * 50)
    drawn = draw_examples([np.arange(100), np.arange(100, 150)], [1, 1], 200, seed=1, labels=labels)
    assert Counter(labels[drawn].tolist()) == {0: 50, 1: 50, -1: 100}


def test_a_group_is_spread_over_the_whole() -> None:
    drawn = draw_examples(groups_of([900, 100]), [9, 1], 1000, seed=1)
    places = np.flatnonzero(drawn >= 900)
    assert all(8 <= ((places >= start) & (places < start + 100)).sum() <= 12 for start in range(0, 1000, 100))


def test_every_epoch_has_an_order_of_its_own() -> None:
    drawn = draw_examples([np.arange(20)], [1], 40, seed=1).tolist()
    assert sorted(drawn[:20]) != drawn[:20]
    assert sorted(drawn) == sorted([*range(20), *range(20)])
    assert drawn != draw_examples([np.arange(20)], [1], 40, seed=2).tolist()
