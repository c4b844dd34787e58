"""Three kinds of probability follow from the same scores."""

import numpy as np
import pytest

from llama_gene.inference.probability import probabilities_of


def test_three_kinds_of_probability_of_the_same_scores() -> None:
    # A candidate of one token at 0.2, and one of three tokens at 0.5 each.
    scores, num_tokens = np.log([[0.2, 0.125]]), np.array([1, 3])
    assert probabilities_of(scores, num_tokens, "raw")[0] == pytest.approx([0.2, 0.125])
    assert probabilities_of(scores, num_tokens)[0] == pytest.approx([0.2 / 0.325, 0.125 / 0.325])
    assert probabilities_of(scores, num_tokens, "length")[0] == pytest.approx([0.2 / 0.7, 0.5 / 0.7])


def test_scores_far_below_what_a_float_holds_are_still_shared() -> None:
    scores = np.array([[-2000.0, -2001.0]])
    assert probabilities_of(scores, np.array([1, 1]))[0] == pytest.approx([0.7311, 0.2689], abs=1e-4)
