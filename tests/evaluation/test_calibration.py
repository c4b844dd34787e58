import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llama_gene.evaluation.calibration import (
    MIN_ROWS,
    THESE_ROWS,
    calibrated,
    fit_temperature,
    measure_calibration,
)


def drawn(num_rows, temperature, seed=0):
    """Scores of three labels, and truths drawn from what the scores say at `temperature`."""
    generator = np.random.default_rng(seed)
    scores = 2 * generator.normal(size=(num_rows, 3))
    truth = (generator.random((num_rows, 1)) > calibrated(scores, temperature).cumsum(axis=1)).sum(axis=1)
    return scores, truth


@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_the_temperature_that_made_the_rows_is_found(temperature):
    assert fit_temperature(*drawn(20_000, temperature)) == pytest.approx(temperature, rel=0.05)


@given(st.integers(0, 100), st.floats(0.1, 10.0))
@settings(max_examples=20, deadline=None)
def test_no_other_temperature_is_better(seed, other):
    scores, truth = drawn(40, 1.5, seed)

    def loss(temperature):
        return -np.log(calibrated(scores, temperature)[np.arange(40), truth]).mean()

    assert loss(fit_temperature(scores, truth)) <= loss(other) + 1e-9


@given(st.integers(0, 100), st.floats(0.1, 10.0), st.floats(-50, 50))
@settings(max_examples=20, deadline=None)
def test_a_temperature_changes_no_answer_and_takes_scores_up_to_a_constant(seed, temperature, constant):
    scores, _ = drawn(10, 1.0, seed)
    found = calibrated(scores, temperature)
    assert found.sum(axis=1) == pytest.approx(1)
    assert (found.argmax(axis=1) == scores.argmax(axis=1)).all()
    assert calibrated(scores + constant, temperature) == pytest.approx(found)


def test_an_overconfident_model_is_mended():
    scores, truth = drawn(4000, 3.0)
    found = measure_calibration(calibrated(scores, 1.0), truth)
    assert found.fitted_on == THESE_ROWS
    assert found.temperature == pytest.approx(3.0, rel=0.1)
    assert found.before.low > 0.2
    assert found.after.value < 0.05
    assert sum(one.n for one in found.curve_before) == sum(one.n for one in found.curve_after) == 4000
    known = measure_calibration(calibrated(scores, 1.0), truth, (3.0, "dev"))
    assert (known.temperature, known.fitted_on) == (3.0, "dev")
    assert known.curve_before == found.curve_before


def test_no_row_is_calibrated_by_itself():
    # Every second row is wrong. By its own temperature the right half would be sure, the wrong half at 0.53.
    probabilities, truth = np.tile([[0.9, 0.1]], (MIN_ROWS, 1)), np.arange(MIN_ROWS) % 2
    found = measure_calibration(probabilities, truth)
    assert found.after.value == pytest.approx((1 - 0.527 + 1) / 2, abs=0.001)


def test_certain_and_wrong_is_no_infinity():
    found = measure_calibration(np.tile([[1.0, 0.0]], (MIN_ROWS, 1)), np.ones(MIN_ROWS, int))
    assert found.temperature == pytest.approx(20, rel=0.01)
    assert found.before.value == 1


def test_too_few_rows():
    assert measure_calibration(np.full((MIN_ROWS - 1, 2), 0.5), np.zeros(MIN_ROWS - 1, int)) is None
