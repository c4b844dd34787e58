"""What becomes of predictions: calibrated, held back, in columns."""

from pathlib import Path

import pytest

from llama_gene.errors import FormatError, SettingsError
from llama_gene.inference.answers import Answers
from llama_gene.inference.predictor import Prediction
from llama_gene.inference.temperature import FILE, keep_temperature, kept_temperature
from nano import CONFORM, FLAGS, STRENGTH

UNSURE = Prediction("a", "Conform", None, (0.2, 0.8), 0)


def test_a_temperature_moves_the_probabilities_and_not_the_label() -> None:
    # At temperature 2 the odds of 4 become their square root, 2.
    assert Answers(CONFORM, temperature=2.0).row(UNSURE) == ["a", "Conform", 0.666667, 0.333333, 0.666667]
    assert Answers(CONFORM).row(UNSURE) == ["a", "Conform", 0.8, 0.2, 0.8]


def test_a_label_is_held_back_by_its_calibrated_probability() -> None:
    assert Answers(CONFORM, None, 0.8).row(UNSURE)[1] == "Conform"
    assert Answers(CONFORM, None, 0.81).row(UNSURE) == ["a", None, 0.8, 0.2, 0.8]
    assert Answers(CONFORM, 2.0, 0.7).row(UNSURE)[1] is None


@pytest.mark.parametrize("threshold", [0.0, -1.0, 1.1, float("nan")])
def test_a_threshold_that_is_none(threshold: float) -> None:
    with pytest.raises(SettingsError, match=r"--abstain-below .*\n.*above 0, at most 1"):
        Answers(CONFORM, None, threshold)


def test_answers_without_a_probability() -> None:
    number = Prediction("a", "0.517", 0.51749, (0.0,) * 15 + (1.0,), 0)
    assert Answers(STRENGTH, temperature=2.0).row(number) == ["a", 0.51749]
    assert Answers(FLAGS).row(Prediction("a", "leaf", None, None, 0)) == ["a", "leaf"]
    with pytest.raises(SettingsError, match="'strength' is a regression, whose answers have no probability"):
        Answers(STRENGTH, None, 0.5)


def test_temperatures_are_kept_by_task(tmp_path: Path) -> None:
    assert kept_temperature(tmp_path, "conform") is None
    keep_temperature(tmp_path, "conform", 1.5, "20 rows of dev")
    keep_temperature(tmp_path, "pair", 0.5, "30 rows of dev")
    assert kept_temperature(tmp_path, "conform") == 1.5
    assert kept_temperature(tmp_path, "strength") is None
    for broken in ("[]", '{"conform": 1}', '{"conform": {"temperature": 0}}', '{"conform": {"temperature": "x"}}'):
        (tmp_path / FILE).write_text(broken)
        with pytest.raises(FormatError, match=r"calibration.json: no temperatures in it\n.*--keep-temperature"):
            kept_temperature(tmp_path, "conform")
