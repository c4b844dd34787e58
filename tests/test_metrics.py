import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llama_gene import metrics
from llama_gene.metrics import Score

labels = st.lists(st.tuples(st.integers(0, 3), st.integers(-1, 3)), min_size=1, max_size=40)
numbers = st.lists(st.tuples(st.floats(-1e6, 1e6, width=32), st.integers(-3, 3).map(float)), min_size=2, max_size=40)


@pytest.mark.parametrize(
    ("metric", "truth", "guess"),
    [
        (metrics.accuracy, [], []),
        (metrics.accuracy, [1], [1, 1]),
        (metrics.mcc, [0.5], [0.5]),
        (metrics.micro_f1, [True], [True]),
        (metrics.spearman, [1.0, 2.0], [1.0, math.nan]),
        (metrics.mae, [], []),
        (metrics.auroc, [0, 2], [0.1, 0.2]),
        (metrics.auroc, [0, 1], [0.1, math.nan]),
        (metrics.exact_match, [], []),
        (metrics.rouge_l, ["a"], []),
    ],
)
def test_refuses(metric, truth, guess):
    with pytest.raises(ValueError):
        metric(truth, guess)


def test_literal_labels():
    truth, guess = [0, 0, 0, 1, 1, 2], [0, 0, 1, 1, 1, 0]
    assert metrics.accuracy(truth, guess).value == pytest.approx(4 / 6)
    # F1: label 0 = 2*2/(3+3), label 1 = 2*2/(2+3), label 2 = 0.
    assert metrics.macro_f1(truth, guess).value == pytest.approx((2 / 3 + 4 / 5 + 0) / 3)
    assert metrics.mcc([0, 0, 1, 1], [0, 0, 0, 1]).value == pytest.approx(1 / math.sqrt(3))


def test_one_label_only():
    assert metrics.mcc([1, 1, 1], [0, 1, 1]).value == 0
    assert metrics.mcc([0, 1, 1], [1, 1, 1]).value == 0
    only = metrics.auroc([1, 1], [0.2, 0.4])
    assert math.isnan(only.value)
    assert str(only) == "not defined"


def test_constant_guess_says_nothing():
    assert metrics.spearman([1, 2, 3], [5, 5, 5]) == Score(0.0, 0.0, 0.0, 3)
    assert metrics.pearson([1, 1, 1], [1, 2, 3]).value == 0


def test_literal_text():
    assert metrics.exact_match(["a b", "c"], ["a  b\n", "C"]).value == 0.5
    # Longest common subsequence "the sat mat": 3 words of 4 and 5.
    assert metrics.rouge_l(["The cat sat, mat."], ["the dog sat on mat"]).value == pytest.approx(2 * 3 / 9)
    assert metrics.rouge_l(["", "a"], ["", ""]).value == 0.5


def test_multilabel_with_nothing():
    assert metrics.micro_f1([[False, False]], [[False, False]]).value == 0


def test_interval_is_the_binomial_one():
    truth = np.zeros(2000, dtype=int)
    guess = (np.arange(2000) % 5 == 0).astype(int)
    score = metrics.accuracy(truth, guess)
    error = 1.96 * math.sqrt(0.8 * 0.2 / 2000)
    assert score.value == 0.8
    assert score.low == pytest.approx(0.8 - error, abs=0.003)
    assert score.high == pytest.approx(0.8 + error, abs=0.003)
    assert score.n == 2000


def test_row_resamples_agree_with_cell_resamples():
    generator = np.random.default_rng(3)
    right = generator.random(1000) < 0.7
    cells = metrics.accuracy(np.ones(1000, dtype=int), right.astype(int))
    rows = metrics.mae(np.ones(1000), right.astype(float))
    assert cells.value == pytest.approx(1 - rows.value)
    assert cells.low == pytest.approx(1 - rows.high, abs=0.005)
    assert cells.high == pytest.approx(1 - rows.low, abs=0.005)


@given(labels)
@settings(max_examples=30, deadline=None)
def test_labels_equal_sklearn(rows):
    from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

    truth, guess = (np.array(column) for column in zip(*rows, strict=True))
    for ours, theirs in [
        (metrics.accuracy, accuracy_score(truth, guess)),
        (metrics.mcc, matthews_corrcoef(truth, guess)),
        (metrics.macro_f1, f1_score(truth, guess, average="macro", zero_division=0)),
    ]:
        score = ours(truth, guess)
        assert score.value == pytest.approx(theirs, abs=1e-9)
        assert score.low <= score.value <= score.high
        assert score == ours(truth, guess)


@given(st.lists(st.lists(st.booleans(), min_size=6, max_size=6), min_size=1, max_size=20))
@settings(max_examples=20, deadline=None)
def test_micro_f1_equals_sklearn(rows):
    from sklearn.metrics import f1_score

    truth, guess = np.array(rows)[:, :3], np.array(rows)[:, 3:]
    score = metrics.micro_f1(truth, guess)
    assert score.value == pytest.approx(f1_score(truth, guess, average="micro", zero_division=0))
    assert score.low <= score.value <= score.high


@given(numbers)
@settings(max_examples=20, deadline=None)
def test_numbers_equal_scipy(rows):
    from scipy import stats

    truth, guess = (np.array(column) for column in zip(*rows, strict=True))
    assert metrics.mae(truth, guess).value == pytest.approx(np.abs(truth - guess).mean(), abs=1e-9)
    if np.ptp(truth) == 0 or np.ptp(guess) == 0:
        assert metrics.spearman(truth, guess).value == 0
        return
    score = metrics.spearman(truth, guess)
    assert score.value == pytest.approx(stats.spearmanr(truth, guess).statistic, abs=1e-9)
    assert score.low <= score.value <= score.high
    assert metrics.pearson(truth, guess).value == pytest.approx(stats.pearsonr(truth, guess).statistic, abs=1e-6)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=1, max_size=40))
@settings(max_examples=20, deadline=None)
def test_auroc_equals_sklearn(rows):
    from sklearn.metrics import roc_auc_score

    truth, chance = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    score = metrics.auroc(truth, chance)
    if len(set(truth)) == 1:
        assert math.isnan(score.value)
        return
    assert score.value == pytest.approx(roc_auc_score(truth, chance))
    assert score.low <= score.value <= score.high


@given(st.lists(st.sampled_from("abc"), max_size=12), st.lists(st.sampled_from("abc"), max_size=12))
@settings(max_examples=60, deadline=None)
def test_common_length_equals_the_textbook_table(left, right):
    table = np.zeros((len(left) + 1, len(right) + 1), dtype=int)
    for i, one in enumerate(left, 1):
        for j, other in enumerate(right, 1):
            table[i, j] = table[i - 1, j - 1] + 1 if one == other else max(table[i - 1, j], table[i, j - 1])
    assert metrics._common_length(left, right) == table[-1, -1]
