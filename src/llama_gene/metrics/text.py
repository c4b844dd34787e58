"""Metrics of text: how much of it is the same, and which of the things it names are right."""

import re
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from llama_gene.metrics.classification import f1_of_sets
from llama_gene.metrics.resample import Metric, Statistic, mean_of

# Four parts of which the last ones may be open, as in 1.1.-.-; the "EC" before it may be missing. No sentence's full
# stop belongs to it, and no part of a longer number is one.
_EC = re.compile(r"(?<![\w.])(?:EC[\s:]*)?(([1-7])(?:\.(?:n?\d+|-)){3})(?!\.?\d)")
_GO = re.compile(r"\bGO:\d{7}\b")
_ENZYME = re.compile(r"\b([\w'()\[\],-]*\w{2}ase)s?\b")
_NO_ENZYMES = frozenset(
    {"database", "decrease", "disease", "erase", "increase", "lease", "nucleobase", "phase", "phrase", "release"}
)


@Metric
def exact_match(truth: Sequence[str], guess: Sequence[str]) -> Statistic:
    """The share of texts that are equal, but for runs of white space.

    Args:
        truth: Texts, n of them.
        guess: Texts, n of them.

    Raises:
        ValueError: There are no rows, or not as many guesses as truths.

    >>> print(exact_match(["a kinase", "a ligase"], ["a kinase ", "A ligase"]).value)
    0.5
    """
    _check_texts(truth, guess)
    same = [real.split() == said.split() for real, said in zip(truth, guess, strict=True)]
    return mean_of(np.asarray(same, dtype=np.float64))


@Metric
def rouge_l(truth: Sequence[str], guess: Sequence[str]) -> Statistic:
    """Mean ROUGE-L: F1 of the longest common subsequence of words, which are cut and lower-cased as `rouge_score` does.

    Arguments and errors as for `exact_match`. No stemming. Two texts without a word score 1, one alone 0.

    >>> print(round(rouge_l(["a protein kinase"], ["a kinase"]).value, 3))
    0.8
    """
    _check_texts(truth, guess)
    values = [rouge_l_of_row(real, said) for real, said in zip(truth, guess, strict=True)]
    return mean_of(np.asarray(values, dtype=np.float64))


def rouge_l_of_row(truth: str, guess: str) -> float:
    """ROUGE-L of one text."""
    real, said = _words(truth), _words(guess)
    if not real and not said:
        return 1.0
    return 2 * common_length(real, said) / (len(real) + len(said))


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", text.lower())


def common_length(left: Sequence[str], right: Sequence[str]) -> int:
    """Length of the longest common subsequence, by Hyyrö's bit-parallel algorithm (2004): one big integer a word."""
    places: dict[str, int] = {}
    for place, word in enumerate(left):
        places[word] = places.get(word, 0) | 1 << place
    everything = (1 << len(left)) - 1
    open_places = everything
    for word in right:
        matches = open_places & places.get(word, 0)
        open_places = (open_places + matches | open_places - matches) & everything
    return len(left) - open_places.bit_count()


@Metric
def ec_f1(truth: Sequence[str], guess: Sequence[str]) -> Statistic:
    """F1 of the EC numbers that a text states in full: four parts, with or without the letters EC before them.

    Each number counts once a text, over all texts together; a number that is open at its end, as 1.1.-.-, does not
    count here. NaN where no text states any. Arguments and errors as for `exact_match`.

    >>> print(ec_f1(["A kinase (EC 2.7.11.1)."], ["EC:2.7.11.1, not EC 1.1.-.-"]).value)
    1.0
    """
    return _of_entities(truth, guess, lambda text: (found[1] for found in _EC.finditer(text) if "-" not in found[1]))


@Metric
def ec_class_f1(truth: Sequence[str], guess: Sequence[str]) -> Statistic:
    """As `ec_f1`, of the main class alone: the first part of every EC number, also of one that is open at its end.

    >>> print(ec_class_f1(["EC 2.7.11.1"], ["EC 2.1.-.-"]).value)
    1.0
    """
    return _of_entities(truth, guess, lambda text: (found[2] for found in _EC.finditer(text)))


@Metric
def go_f1(truth: Sequence[str], guess: Sequence[str]) -> Statistic:
    """As `ec_f1`, of the GO terms by their numbers: ``GO:`` and seven digits. No ontology: a parent is another term.

    >>> print(go_f1(["GO:0005524 and GO:0004672"], ["GO:0005524"]).value)
    0.6666666666666666
    """
    return _of_entities(truth, guess, _GO.findall)


@Metric
def enzyme_f1(truth: Sequence[str], guess: Sequence[str]) -> Statistic:
    """As `ec_f1`, of the enzymes by name: every word on -ase but a few English ones, in the singular, in any case.

    >>> print(enzyme_f1(["A DNA-methyltransferase"], ["These are DNA-methyltransferases and kinases."]).value)
    0.6666666666666666
    """
    return _of_entities(truth, guess, lambda text: set(_ENZYME.findall(text.lower())) - _NO_ENZYMES)


def _of_entities(truth: Sequence[str], guess: Sequence[str], find: Callable[[str], Iterable[str]]) -> Statistic:
    _check_texts(truth, guess)
    pairs = [(set(find(real)), set(find(said))) for real, said in zip(truth, guess, strict=True)]
    common = [len(real & said) for real, said in pairs]
    return f1_of_sets(common, [len(real) + len(said) for real, said in pairs], empty=np.nan)


def _check_texts(truth: Sequence[str], guess: Sequence[str]) -> None:
    if len(truth) != len(guess):
        raise ValueError(f"{len(truth)} truths, but {len(guess)} guesses")
    if not len(truth):
        raise ValueError("no rows to score")
