"""Does DNA code for a protein? What can be said without any model: whether its translations hold the letters."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from llama_gene.sequences.alphabet import PROTEIN, reverse_complement, translate
from llama_gene.sequences.kmers import kmer_codes

_K = 5  # longer than chance: in a gene of 3,000 letters every five hundredth of all 5-mers stands in some frame


def coded_share(dna: str, protein: str) -> float:
    """The share of the different 5-mers of a protein that stand in one of the six translations of DNA.

    Introns are translated, too: they part few 5-mers, and add a few by chance.

    Args:
        dna: Canonical DNA.
        protein: A canonical protein.

    Returns:
        0 to 1; 0 for a protein without a 5-mer.

    >>> coded_share("CCATGAAAGTTCTGGCTGCATAA", "MKVLAA"), coded_share("TTATGCAGCCAGAACTTTCATGG", "MKVLAAWWWW")
    (1.0, 0.3333333333333333)
    """
    wanted = np.unique(kmer_codes(protein, _K, PROTEIN))
    strands = (dna, reverse_complement(dna))
    # A stop becomes X, which stands in no 5-mer; X between them keeps the frames apart.
    frames = PROTEIN.unknown.join(translate(strand[start:]) for strand in strands for start in range(3))
    found = kmer_codes(frames.replace("*", PROTEIN.unknown), _K, PROTEIN)
    return float(np.isin(wanted, found).mean()) if len(wanted) else 0.0


def translation_rule(
    train: Sequence[tuple[str, str]], answers: npt.NDArray[Any], test: Sequence[tuple[str, str]]
) -> npt.NDArray[Any]:
    """The answers for pairs of DNA and protein, by one threshold on `coded_share` that fits the training pairs best.

    Args:
        train: n pairs of DNA and protein.
        answers: Their labels.
        test: m pairs.

    Returns:
        The labels of the test pairs.
    """
    from sklearn.tree import DecisionTreeClassifier

    shares = np.array([[coded_share(*pair)] for pair in (*train, *test)])
    stump = DecisionTreeClassifier(max_depth=1, random_state=0).fit(shares[: len(train)], answers)
    guess: npt.NDArray[Any] = stump.predict(shares[len(train) :])
    return guess
