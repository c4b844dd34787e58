"""Simple models of a text, and the bits they need for another: what makes vocabularies of any size comparable.

A piece is worth what it saves. `Unigram` and `Bigram` are models of pieces, `letter_bits` one of letters without any
pieces; all are fitted on one text and asked about another, and every one gives each possible symbol a probability
above 0. No model codes where a sequence ends.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from llama_gene.sequences.alphabet import ALPHABETS, Kind

# The table of letter contexts stays below this: order 8 for DNA, 4 for protein. Beyond, there are more contexts than
# any sample has letters.
_MAX_CELLS = 1 << 22
_MAX_ORDER = 8


@dataclass(frozen=True, eq=False)
class Tokens:
    """Encoded sequences, end to end.

    Args:
        ids: int[num_tokens].
        starts: int64[num_sequences], the place of each sequence's first token; no sequence is empty.
    """

    ids: np.ndarray
    starts: np.ndarray

    @classmethod
    def join(cls, sequences: Sequence[np.ndarray]) -> "Tokens":
        """The tokens of `sequences`, in order."""
        lengths = np.array([ids.size for ids in sequences], dtype=np.int64)
        ids = np.concatenate(sequences) if sequences else np.zeros(0, dtype=np.int32)
        return cls(ids, np.cumsum(lengths) - lengths)

    @property
    def num_tokens(self) -> int:
        """How many there are."""
        return int(self.ids.size)

    def previous(self, start: int) -> np.ndarray:
        """The id before each token, `start` before the first of a sequence: int64[num_tokens]."""
        before = np.empty(self.ids.size, dtype=np.int64)
        before[1:] = self.ids[:-1]
        before[self.starts] = start
        return before


class Unigram:
    """The probability of a piece by itself, smoothed after Witten and Bell (1991).

    A piece that the fitted text does not have gets its share of the weight ``types / (tokens + types)``, so a large
    vocabulary pays for the pieces it was not seen to use.

    Args:
        ids: The text: int[num_tokens], each from 0 to `num_pieces` - 1.
        num_pieces: How many pieces there are.
    """

    def __init__(self, ids: np.ndarray, num_pieces: int) -> None:
        self.probabilities = _witten_bell(np.bincount(ids, minlength=num_pieces))

    def bits(self, ids: np.ndarray) -> float:
        """What the whole of another text costs."""
        counts = np.bincount(ids, minlength=self.probabilities.size)
        return float(-(counts * np.log2(self.probabilities)).sum())


class Bigram:
    """The probability of a piece after another: interpolated Kneser-Ney (Chen and Goodman 1999) with one discount.

    The lower order counts after how many different pieces a piece stands, and is smoothed as `Unigram` is. The first
    piece of a sequence comes after a start symbol, number `num_pieces`.

    Args:
        text: The text to fit.
        num_pieces: How many pieces there are; ids go from 0 to `num_pieces` - 1.
    """

    def __init__(self, text: Tokens, num_pieces: int) -> None:
        self.num_pieces = num_pieces
        self._pairs, self._counts = np.unique(self._codes(text), return_counts=True)
        lefts, rights = np.divmod(self._pairs, max(num_pieces, 1))
        self._totals = np.bincount(lefts, self._counts, num_pieces + 1)
        self._followers = np.bincount(lefts, minlength=num_pieces + 1)
        self._lower = _witten_bell(np.bincount(rights, minlength=num_pieces))
        # Ney's estimate, with one count of each added: where every pair is frequent it would be 0, and so would be the
        # probability of a pair not seen.
        once, twice = (int((self._counts == number).sum()) for number in (1, 2))
        self._discount = (once + 1) / (once + 2 * twice + 2)

    def probability(self, previous: np.ndarray, ids: np.ndarray) -> np.ndarray:
        """The probability of each of `ids` after the one of `previous`: float64, of their common shape."""
        counts = self._count(previous * np.int64(self.num_pieces) + ids)
        totals = self._totals[previous]
        spread = np.where(totals > 0, self._discount * self._followers[previous], 1.0)
        kept = np.maximum(counts - self._discount, 0.0)
        probability: np.ndarray = (kept + spread * self._lower[ids]) / np.maximum(totals, 1.0)
        return probability

    def bits(self, text: Tokens) -> float:
        """What the whole of another text costs."""
        if not text.num_tokens:
            return 0.0
        pairs, counts = np.unique(self._codes(text), return_counts=True)
        return float(-(counts * np.log2(self.probability(*np.divmod(pairs, self.num_pieces)))).sum())

    def _codes(self, text: Tokens) -> np.ndarray:
        codes: np.ndarray = text.previous(self.num_pieces) * np.int64(self.num_pieces) + text.ids
        return codes

    def _count(self, codes: np.ndarray) -> np.ndarray:
        if not self._pairs.size:
            return np.zeros(np.shape(codes))
        places = np.minimum(np.searchsorted(self._pairs, codes), self._pairs.size - 1)
        counts: np.ndarray = np.where(self._pairs[places] == codes, self._counts[places], 0)
        return counts


@dataclass(frozen=True, eq=False)
class Letters:
    """Sequences as numbers, end to end.

    Args:
        kind: Their alphabet.
        sequences: Unambiguous letters only; no sequence is empty.
    """

    kind: Kind
    sequences: Sequence[str]

    @cached_property
    def codes(self) -> np.ndarray:
        """The number of each letter in its alphabet: int32[num_letters]."""
        table = np.zeros(256, dtype=np.int32)
        for number, letter in enumerate(ALPHABETS[self.kind].letters):
            table[ord(letter)] = number
        return table[np.frombuffer("".join(self.sequences).encode(), dtype=np.uint8)]

    @cached_property
    def places(self) -> np.ndarray:
        """The 0-based place of each letter in its sequence: int32[num_letters]."""
        lengths = np.array([len(sequence) for sequence in self.sequences], dtype=np.int64)
        starts = np.repeat(np.cumsum(lengths) - lengths, lengths)
        return (np.arange(starts.size) - starts).astype(np.int32)


def letter_bits(fit: Letters, score: Letters) -> list[float]:
    """Bits for one letter under Markov models of letters, of order 0, 1, 2 and so on.

    Each order is interpolated with the one below it after Witten and Bell, so a context that the fitted text lacks is
    answered by a shorter one. The first letters of a sequence are, too.

    Args:
        fit: The text that is counted.
        score: The text that is coded, of the same kind.

    Returns:
        One number an order: up to 8 for DNA, up to 4 for protein. NaN if there is nothing to code.
    """
    num_letters = len(ALPHABETS[fit.kind].letters)
    table = np.full((1, num_letters), 1.0 / num_letters)
    cells, coded = fit.codes, score.codes
    bits = np.zeros(coded.size)
    averages = []
    for order in range(_MAX_ORDER + 1):
        num_contexts = num_letters**order
        if num_contexts * num_letters > _MAX_CELLS:
            break
        if order:
            cells, coded = (_with_letter_before(text, now, order) for text, now in ((fit, cells), (score, coded)))
        counts = np.bincount(cells[fit.places >= order], minlength=num_contexts * num_letters)
        # The oldest letter of a context is its highest digit, so the rows of the order below repeat.
        lower = table if order == 0 else np.tile(table, (num_letters, 1))
        table = _interpolate(counts.reshape(num_contexts, num_letters), lower)
        known = score.places >= order
        bits[known] = -np.log2(table.ravel()[coded[known]])
        averages.append(float(bits.mean()) if bits.size else float("nan"))
    return averages


def _with_letter_before(text: Letters, cells: np.ndarray, order: int) -> np.ndarray:
    """The cell of each letter in the table of `order`, from that in the table below; of no meaning before `order`."""
    older: np.ndarray = cells.copy()
    older[order:] += text.codes[:-order] * np.int32(len(ALPHABETS[text.kind].letters) ** order)
    return older


def _interpolate(counts: np.ndarray, lower: np.ndarray) -> np.ndarray:
    """Witten-Bell: a row of counts and the row of the order below, as a row of probabilities."""
    types = np.count_nonzero(counts, axis=1, keepdims=True)
    totals = counts.sum(axis=1, keepdims=True)
    # A context that was never seen leaves all weight to the order below.
    types = np.maximum(types, 1)
    smoothed: np.ndarray = (counts + types * lower) / (totals + types)
    return smoothed


def _witten_bell(counts: np.ndarray) -> np.ndarray:
    uniform = np.full((1, counts.size), 1.0 / max(counts.size, 1))
    probabilities: np.ndarray = _interpolate(counts[None, :], uniform)[0]
    return probabilities
