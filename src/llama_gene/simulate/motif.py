"""Position weight matrices: the likelihood of a base at each position of a site, to draw from and to score with."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from llama_gene.sequences.alphabet import DNA

BASES: Final = "ACGT"
# A genome a little rich in A and T, as most eukaryotes' are.
BACKGROUND: Final[NDArray[np.float64]] = np.array([0.28, 0.22, 0.22, 0.28])


def site(consensus: str, strength: float | Sequence[float]) -> NDArray[np.float64]:
    """The matrix of a site: at each position the bases of the IUPAC code share `strength`, the other bases the rest.

    Args:
        consensus: IUPAC codes; N stands for the background.
        strength: Probability of a base of the code: one for all positions, or one for each.

    Returns:
        Probabilities, float64[len(consensus), 4], in the order of `BASES`.

    >>> site("AR", [1.0, 0.9]).round(2).tolist()
    [[1.0, 0.0, 0.0, 0.0], [0.45, 0.05, 0.45, 0.05]]
    """
    strengths = [strength] * len(consensus) if isinstance(strength, float) else strength
    rows = []
    for code, share in zip(consensus, strengths, strict=True):
        if code == "N":
            rows.append(BACKGROUND)
            continue
        inside = np.array([base in DNA.ambiguity.get(code, code) for base in BASES])
        rows.append(np.where(inside, share / inside.sum(), (1 - share) / (~inside).sum()))
    return np.array(rows)


def flat(composition: NDArray[np.float64], length: int) -> NDArray[np.float64]:
    """The same composition at each of `length` positions: float64[length, letters]."""
    return np.tile(composition, (length, 1))


def draw(rng: np.random.Generator, matrix: NDArray[np.float64], num: int) -> NDArray[np.int64]:
    """`num` independent sequences of a matrix, as letter codes int64[num, length]."""
    thresholds = matrix.cumsum(axis=1)[:, :-1]
    codes: NDArray[np.int64] = (rng.random((num, len(matrix), 1)) >= thresholds).sum(axis=2)
    return codes


def log_likelihoods(codes: NDArray[np.int64], matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Natural log-likelihood of each letter: float64[num, length] for codes int64[num, length].

    A base that the matrix excludes gives -inf, which is right: such a row cannot come from it.
    """
    with np.errstate(divide="ignore"):
        return np.log(matrix)[np.arange(len(matrix)), codes]


def encode(sequences: Sequence[str], letters: str) -> NDArray[np.int64]:
    """Equally long sequences as codes int64[num, length], the places of their letters in `letters`.

    >>> encode(["ACGT", "TTTT"], BASES).tolist()
    [[0, 1, 2, 3], [3, 3, 3, 3]]
    """
    places = np.zeros(128, dtype=np.int64)
    places[list(letters.encode())] = np.arange(len(letters))
    raw = np.frombuffer("".join(sequences).encode(), dtype=np.uint8)
    return places[raw].reshape(len(sequences), -1)


def decode(codes: NDArray[np.int64], letters: str) -> list[str]:
    """The inverse of `encode`."""
    raw = np.frombuffer(letters.encode(), dtype=np.uint8)[codes]
    return [row.tobytes().decode() for row in raw]


def normalised(log_joint: NDArray[np.float64]) -> NDArray[np.float64]:
    """Posteriors float64[num, classes] from the logarithms of prior times likelihood, by Bayes' rule."""
    weights = np.exp(log_joint - log_joint.max(axis=1, keepdims=True))
    result: NDArray[np.float64] = weights / weights.sum(axis=1, keepdims=True)
    return result
