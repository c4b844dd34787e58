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
        (metrics.ec_f1, [], []),
        (metrics.r2, [1.0, 2.0], [1.0, math.inf]),
        (metrics.auroc, [0, 2], [[0.1, 0.9], [0.2, 0.8]]),
        (metrics.auroc, [0, 1], [[0.1], [0.2], [0.7]]),
        (metrics.ece, [True], [1.1]),
        (metrics.ece, [True, False], [0.5]),
        (metrics.mcnemar, [True], [True, False]),
        (metrics.difference, [metrics.accuracy.of([1], [1])], []),
        (metrics.difference, [metrics.accuracy.of([1], [1])], [metrics.accuracy.of([1, 1], [1, 1])]),
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


def test_literal_r2():
    assert metrics.r2([1, 2, 3], [2, 2, 2]).value == 0
    assert metrics.r2([1, 2, 3], [3, 2, 1]).value == -3
    assert math.isnan(metrics.r2([5, 5], [5, 4]).value)


def test_literal_calibration_error():
    # Bins of 1/15: 0.62 and 0.65 share the tenth, half of them right; 0.9 stands alone and is right.
    assert metrics.ece([True, False, True], [0.62, 0.65, 0.9]).value == pytest.approx(0.27 / 3 + 0.1 / 3)
    assert metrics.ece([True, True], [1.0, 1.0]).value == 0


def test_auroc_of_labels_that_never_occur():
    chance = [[0.5, 0.3, 0.2], [0.2, 0.6, 0.2], [0.6, 0.3, 0.1]]
    assert metrics.auroc([0, 1, 0], chance).value == pytest.approx(1.0)
    assert math.isnan(metrics.auroc([1, 1, 1], chance).value)


@pytest.mark.parametrize(
    ("metric", "truth", "guess", "value"),
    [
        (metrics.ec_f1, "EC 1.1.1.1 and EC:2.7.11.n2.", "1.1.1.1", 2 / 3),
        (metrics.ec_f1, "(EC 3.4.21.-)", "nothing", math.nan),
        (metrics.ec_f1, "EC 1.1.1.1", "EC 1.1.1.12, version 1.1.1, 8.1.1.1, 1.1.1.1.5", 0.0),
        (metrics.ec_class_f1, "(EC 3.4.21.-)", "EC 3.1.1.1, EC 3.2.2.2 or EC 1.1.1.1", 2 / 3),
        (metrics.go_f1, "GO:0005524", "GO:0005524 GO:00055 go:0004672", 1.0),
        (metrics.enzyme_f1, "A base, phosphatases, a disease", "A PHOSPHATASE or kinase.", 2 / 3),
    ],
)
def test_literal_entities(metric, truth, guess, value):
    assert metric([truth], [guess]).value == pytest.approx(value, nan_ok=True)


def test_mcnemar_literally():
    # Five rows that only one gets right, all the first: 2 / 2 ** 5.
    assert metrics.mcnemar([1] * 5 + [0, 1], [0] * 5 + [0, 1]).p == pytest.approx(2 / 32)
    assert metrics.mcnemar([1, 0], [1, 0]) == metrics.McNemar(0, 0, 1.0)


def test_mcnemar_of_many_rows_agrees_with_the_exact_test():
    from scipy.stats import binomtest

    first = np.repeat([True, False], [530, 480])
    found = metrics.mcnemar(first, ~first)
    assert found.p == pytest.approx(binomtest(480, 1010).pvalue, rel=0.02)


@given(labels, st.integers(0, 2))
@settings(max_examples=20, deadline=None)
def test_a_model_does_not_differ_from_itself(rows, shift):
    truth, guess = (np.array(column) for column in zip(*rows, strict=True))
    one, other = metrics.mcc.of(truth, guess), metrics.mcc.of(truth, (guess + shift) % 4)
    assert metrics.difference([one], [one]) == Score(0.0, 0.0, 0.0, len(truth))
    there, back = metrics.difference([one], [other]), metrics.difference([other], [one])
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low))
    assert there.value == pytest.approx(other.value - one.value)
    assert metrics.mean([one, one]).value == pytest.approx(one.value)


def test_pairs_share_the_luck_of_the_rows():
    generator = np.random.default_rng(1)
    truth = generator.integers(2, size=400)
    first = np.where(generator.random(400) < 0.7, truth, 1 - truth)
    second = np.where(np.arange(400) < 12, truth, first)  # the first, and at most twelve rows better
    alone, pair = (
        metrics.accuracy(truth, first),
        metrics.difference(*([metrics.accuracy.of(truth, x)] for x in (first, second))),
    )
    assert pair.high - pair.low < 0.4 * (alone.high - alone.low)
    # Kinds of a metric with all rows apart are merged with those of one with few.
    mixed = metrics.difference([metrics.accuracy.of(truth, first)], [metrics.mae.of(truth, truth + np.arange(400.0))])
    assert mixed.value == pytest.approx(199.5 - alone.value)


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
    if np.ptp(truth) > 1e-3:
        from sklearn.metrics import r2_score

        assert metrics.r2(truth, guess).value == pytest.approx(r2_score(truth, guess), rel=1e-6)
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


@given(st.lists(st.tuples(st.integers(0, 2), *[st.integers(0, 4)] * 3), min_size=1, max_size=30))
@settings(max_examples=20, deadline=None)
def test_auroc_of_three_labels_equals_sklearn(rows):
    from sklearn.metrics import roc_auc_score

    truth, chance = np.array([row[0] for row in rows]), np.array([row[1:] for row in rows], float) + 1
    chance /= chance.sum(axis=1, keepdims=True)
    score = metrics.auroc(truth, chance)
    if len(set(truth)) == 3:
        assert score.value == pytest.approx(roc_auc_score(truth, chance, multi_class="ovr"))
    assert math.isnan(score.value) == (len(set(truth)) == 1)


@given(st.lists(st.sampled_from("abc"), max_size=12), st.lists(st.sampled_from("abc"), max_size=12))
@settings(max_examples=60, deadline=None)
def test_common_length_equals_the_textbook_table(left, right):
    table = np.zeros((len(left) + 1, len(right) + 1), dtype=int)
    for i, one in enumerate(left, 1):
        for j, other in enumerate(right, 1):
            table[i, j] = table[i - 1, j - 1] + 1 if one == other else max(table[i - 1, j], table[i, j - 1])
    assert metrics.text.common_length(left, right) == table[-1, -1]
