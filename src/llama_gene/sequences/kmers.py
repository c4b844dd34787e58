"""K-mers as numbers: what decontamination and the search for leaks compare.

A k-mer is a number in base 4 or 20, its first letter the most significant digit, the letters numbered as in
`Alphabet.letters`. All of it is vectorised; a sequence of n letters takes about 16 n bytes for a moment.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from llama_gene.errors import SequenceError, SettingsError
from llama_gene.sequences.alphabet import DNA, Alphabet

_OTHER = 255
_BLOCK = 1 << 16

# At most one place of the filter in sixteen is taken: so few codes have to be looked up among the sorted ones.
_FILTER_PLACES = 16
_MIN_FILTER_BITS, _MAX_FILTER_BITS = 16, 28
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # spreads neighbouring codes over all places (Fibonacci hashing)


def kmer_codes(sequence: str, k: int, alphabet: Alphabet) -> npt.NDArray[np.uint64]:
    """The number of each k-mer, from left to right.

    Args:
        sequence: A canonical sequence of n letters.
        k: The length of a k-mer: at most 32 for DNA and 14 for protein, so that it fits into 64 bits.
        alphabet: `DNA` or `PROTEIN`.

    Returns:
        uint64, at most n - k + 1 long: positions whose k-mer has an ambiguous letter in it are left out.

    Raises:
        SettingsError: If `k` is below 1 or too large.

    >>> kmer_codes("ACGNAA", 2, DNA)
    array([1, 6, 0], dtype=uint64)
    """
    return placed_kmer_codes(sequence, k, alphabet)[1]


def canonical_kmer_codes(sequence: str, k: int) -> npt.NDArray[np.uint64]:
    """Like `kmer_codes` for DNA, the same for either strand: the smaller of a k-mer and its reverse complement.

    >>> canonical_kmer_codes("ACCT", 3), canonical_kmer_codes("AGGT", 3)
    (array([ 5, 10], dtype=uint64), array([10,  5], dtype=uint64))
    """
    return placed_kmer_codes(sequence, k, DNA, either_strand=True)[1]


def placed_kmer_codes(
    sequence: str, k: int, alphabet: Alphabet, *, either_strand: bool = False
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint64]]:
    """`kmer_codes`, or `canonical_kmer_codes`, each with the place of its first letter.

    >>> placed_kmer_codes("ACGNAA", 2, DNA)
    (array([0, 1, 4]), array([1, 6, 0], dtype=uint64))
    """
    base = len(alphabet.letters)
    places, codes = [], []
    for start, digits in _blocks(_digits(sequence, k, alphabet), k):
        found = _codes(digits, k, base)
        if either_strand:
            # The digits of A, C, G, T are 0 to 3, so 3 - digit is the complement; what wraps round is not whole anyhow.
            found = np.minimum(found, _codes((3 - digits)[::-1], k, base)[::-1])
        whole = np.flatnonzero(_whole(digits, k))
        places.append(whole + start)
        codes.append(found[whole])
    return np.concatenate(places), np.concatenate(codes)


def kmers_of_each(
    sequences: Sequence[str], k: int, alphabet: Alphabet
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint64]]:
    """The k-mers of many sequences at once, those of DNA the same for either strand.

    Returns:
        The number of the sequence that each is from, and its code; from left to right, repeats and all.

    >>> kmers_of_each(["ACC", "GGT"], 3, DNA)
    (array([0, 1]), array([5, 5], dtype=uint64))
    """
    # All at once: no k-mer with the unknown letter in it counts, so none reaches from one into the next.
    joined = alphabet.unknown.join(sequences)
    places, codes = placed_kmer_codes(joined, k, alphabet, either_strand=alphabet.kind == "dna")
    owners = np.repeat(np.arange(len(sequences)), [len(sequence) + 1 for sequence in sequences])
    return owners[places], codes


class KmerLookup:
    """A fixed set of k-mers in which others are looked up, most of them at the cost of one place of a filter.

    Args:
        codes: Their codes, uint64[num], sorted, each once.

    >>> KmerLookup(np.array([3, 7], dtype=np.uint64)).find(np.array([7, 5, 3], dtype=np.uint64))
    (array([0, 2]), array([1, 0]))
    """

    def __init__(self, codes: npt.NDArray[np.uint64]) -> None:
        self.codes = codes
        bits = int(np.clip(int(len(codes) * _FILTER_PLACES).bit_length(), _MIN_FILTER_BITS, _MAX_FILTER_BITS))
        self._shift = np.uint64(64 - bits)
        self._filter = np.zeros(1 << bits, dtype=np.bool_)
        self._filter[self._places(codes)] = True

    def __len__(self) -> int:
        return len(self.codes)

    def find(self, codes: npt.NDArray[np.uint64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Where in `codes` those stand that are in the set, and where each of these stands in the set."""
        likely = np.flatnonzero(self._filter[self._places(codes)])
        if not len(self.codes):
            return likely, likely
        found = np.minimum(np.searchsorted(self.codes, codes[likely]), len(self.codes) - 1)
        same = self.codes[found] == codes[likely]
        return likely[same], found[same]

    def _places(self, codes: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
        return (codes * _MULTIPLIER) >> self._shift


def _digits(sequence: str, k: int, alphabet: Alphabet) -> npt.NDArray[np.uint8]:
    """uint8[n]: the number of each letter, 255 for an ambiguous one."""
    base = len(alphabet.letters)
    if k < 1 or base**k > 2**64:
        limit = next(width for width in range(1, 65) if base ** (width + 1) > 2**64)
        raise SettingsError(f"k = {k} for {alphabet.kind} k-mers", hint=f"take k from 1 to {limit}")
    if not sequence.isascii():
        odd = sorted(alphabet.odd_letters(sequence))
        raise SequenceError(f"letters outside the {alphabet.kind} alphabet: {odd}", hint="clean the sequence first")
    numbers = np.full(256, _OTHER, dtype=np.uint8)
    numbers[np.frombuffer(alphabet.letters.encode(), dtype=np.uint8)] = np.arange(base)
    return numbers[np.frombuffer(sequence.encode(), dtype=np.uint8)]


def _blocks(digits: npt.NDArray[np.uint8], k: int) -> Iterator[tuple[int, npt.NDArray[np.uint8]]]:
    """Pieces of uint8[n] that overlap by k - 1, at least one, each with its start; small enough to stay in cache."""
    for start in range(0, max(len(digits) - k + 1, 1), _BLOCK):
        yield start, digits[start : start + _BLOCK + k - 1]


def _whole(digits: npt.NDArray[np.uint8], k: int) -> npt.NDArray[np.bool_]:
    """bool[n - k + 1]: whether the k-mer at each position has no ambiguous letter."""
    if len(digits) < k:
        return np.zeros(0, dtype=np.bool_)
    before = np.concatenate([[0], np.cumsum(digits == _OTHER)])
    whole: npt.NDArray[np.bool_] = before[k:] == before[:-k]
    return whole


def _codes(digits: npt.NDArray[np.uint8], k: int, base: int) -> npt.NDArray[np.uint64]:
    """uint64[n - k + 1]: the code of every window; meaningless where an ambiguous letter is in it."""
    if len(digits) < k:
        return np.zeros(0, dtype=np.uint64)
    letters = digits.astype(np.uint64)
    codes, width = letters, 1
    # By doubling: two neighbouring windows of w letters make one of 2 w, so k = 16 takes four steps and not fifteen.
    for bit in f"{k:b}"[1:]:
        codes = codes[:-width] * np.uint64(base**width) + codes[width:]
        width *= 2
        if bit == "1":
            codes = codes[:-1] * np.uint64(base) + letters[width:]
            width += 1
    return codes
