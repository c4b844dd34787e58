"""Probabilities of candidate answers, of three kinds, from the same scores.

========== ==========================================================================================================
``shared``  Candidates share a probability of 1: what the model would answer if it had to answer one of them.
``raw``     What the model gives each candidate as a continuation; the rest of 1 goes to texts that are no candidate.
``length``  By the mean of a candidate's tokens, so that one of many tokens is not less likely for that.
========== ==========================================================================================================

None but those by length can change which candidate is the most probable. A temperature, which makes them calibrated,
is fitted in evaluation.
"""

from typing import Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

ProbabilityKind = Literal["shared", "raw", "length"]
PROBABILITY_KINDS: Final[tuple[ProbabilityKind, ...]] = get_args(ProbabilityKind)


def probabilities_of(scores: Floats, num_tokens: NDArray[np.int64], kind: ProbabilityKind = "shared") -> Floats:
    """The probabilities of candidates, [n, candidates].

    Args:
        scores: Their log-probabilities in nats, [n, candidates]; unless they are `raw`, and as long as all candidates
            have as many tokens, each row up to a constant of its own.
        num_tokens: Tokens of each candidate, [candidates].
        kind: One of `PROBABILITY_KINDS`.

    >>> scores = np.log([[0.2, 0.02]])
    >>> [probabilities_of(scores, np.array([1, 2]), kind).round(3).tolist() for kind in PROBABILITY_KINDS]
    [[[0.909, 0.091]], [[0.2, 0.02]], [[0.586, 0.414]]]
    """
    if kind == "raw":
        return np.asarray(np.exp(scores), dtype=np.float64)
    if kind == "length":
        scores = scores / num_tokens
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), dtype=np.float64)
