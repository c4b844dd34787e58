"""Measure a vocabulary on text: how short it writes, how well its pieces predict, and how it treats the two strands.

Everything is counted on text that the caller gives. The models of `ngram` are fitted on one half of its sequences and
scored on the other. A vocabulary is encoded with once: all its prefixes are read off that (`Encoded.prefix`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from llama_gene.sequences.alphabet import ALPHABETS, Kind, reverse_complement
from llama_gene.vocabulary.held_out import SequenceSample
from llama_gene.vocabulary.ngram import Bigram, Tokens, Unigram
from llama_gene.vocabulary.normalizer import NUM_LETTERS
from llama_gene.vocabulary.train import SequenceVocabulary

LONGEST_BIN = 16
NUM_EXAMPLES = 10
_NUM_RANKS = 80
SPACE = "▁"


class Pieces(Protocol):
    """What is measured: anything that cuts sequences of one kind into pieces. `SequenceVocabulary` is one."""

    @property
    def kind(self) -> Kind:
        """What it cuts."""

    @property
    def pieces(self) -> Sequence[str]:
        """What each id stands for: the letters of a piece, or anything else for a token that is none.

        A leading ``▁`` is the space of SentencePiece, and counts as no letter.
        """

    def encode_batch(self, sequences: Sequence[str]) -> list[np.ndarray]:
        """The ids of each sequence: int32[num_tokens]."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Which pieces there are, and which of them the text has.

    Args:
        num_pieces: Unambiguous letters and learned pieces.
        num_unused: Pieces that are nowhere in the text.
        unused: Some of those, those learned first.
        frequent: The most frequent pieces, each with its share of all tokens.
        longest: The longest pieces that the text has.
        lengths: Of how many letters pieces are: pieces of 1 letter, 2 letters, ..., `LONGEST_BIN` or more.
        lengths_used: The same for the tokens of the text.
        ranks: (rank, count) of the pieces by falling count, at ranks about evenly apart on a log scale.
    """

    num_pieces: int
    num_unused: int
    unused: tuple[str, ...]
    frequent: tuple[tuple[str, float], ...]
    longest: tuple[str, ...]
    lengths: tuple[int, ...]
    lengths_used: tuple[int, ...]
    ranks: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Strands:
    """How a DNA vocabulary treats the other strand.

    Args:
        closed_pieces: The share of learned pieces whose reverse complement is a piece; NaN without learned pieces.
        closed_tokens: The share of the text's tokens whose reverse complement is a piece.
        num_lines: Lines that were cut on both strands.
        mirrored_lines: The share of them that both strands cut alike.
        mirrored_tokens: The share of tokens that both strands cut alike.
    """

    closed_pieces: float
    closed_tokens: float
    num_lines: int
    mirrored_lines: float
    mirrored_tokens: float


@dataclass(frozen=True, slots=True)
class SequenceMeasure:
    """One vocabulary on one kind of text.

    Args:
        size: Learned pieces and unambiguous letters.
        num_letters: Letters of the text, both halves.
        num_tokens: Tokens it is cut into.
        unigram_bits: Bits for a letter of the scored half, by the frequency of pieces.
        bigram_bits: The same by pairs of pieces.
        usage: Its pieces.
        strands: Its symmetry; None for protein.
    """

    size: int
    num_letters: int
    num_tokens: int
    unigram_bits: float
    bigram_bits: float
    usage: Usage
    strands: Strands | None

    @property
    def letters_per_token(self) -> float:
        """How long a token is on average."""
        return self.num_letters / self.num_tokens


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """A prefix of a vocabulary: what `SequenceMeasure` says of it, in short."""

    size: int
    letters_per_token: float
    unigram_bits: float
    bigram_bits: float


@dataclass(frozen=True, eq=False)
class Encoded:
    """A sample in the pieces of one vocabulary.

    Args:
        vocabulary: What it was cut with.
        learned: What counts as its pieces; `vocabulary` may know the tokens of other languages, too.
        sample: The text.
        fit: The half to fit on.
        score: The half to score.
        lines: `SequenceSample.lines`.
        mirrored: The same lines read from the other strand; nothing for protein.
    """

    vocabulary: Pieces
    learned: frozenset[str]
    sample: SequenceSample
    fit: Tokens
    score: Tokens
    lines: Tokens
    mirrored: Tokens

    @classmethod
    def of(cls, vocabulary: Pieces, sample: SequenceSample, learned: frozenset[str] | None = None) -> "Encoded":
        """Encode a sample; without `learned`, all that can be a piece of this kind counts as one."""
        other = [reverse_complement(line) for line in sample.lines] if sample.kind == "dna" else []
        texts = (sample.fit, sample.score, sample.lines, other)
        learned = frozenset(vocabulary.pieces) if learned is None else learned
        return cls(vocabulary, learned, sample, *(Tokens.join(vocabulary.encode_batch(text)) for text in texts))

    def prefix(self, size: int) -> "Encoded":
        """What the first `size` pieces of a `SequenceVocabulary` make of the sample, without encoding it again.

        Merges act in the order they were learned, so what the first ones make is found inside the final tokens: those
        that came later are taken apart.

        Raises:
            TokenizerError: If the vocabulary has no such prefix.
        """
        assert isinstance(self.vocabulary, SequenceVocabulary)
        shorter = self.vocabulary.prefix(size)
        halves, stop = _halves(self.vocabulary), NUM_LETTERS + len(shorter.merges)
        parts = (self.fit, self.score, self.lines, self.mirrored)
        return Encoded(
            shorter, frozenset(shorter.pieces), self.sample, *(_take_apart(part, halves, stop) for part in parts)
        )

    @cached_property
    def lengths(self) -> np.ndarray:
        """The number of letters of each id; 0 for what is no piece of a sequence of this kind."""
        return np.where(self._spells, [len(spelling) for spelling in self._spellings], 0)

    @cached_property
    def counts(self) -> np.ndarray:
        """How often each id is in the text."""
        num_ids = len(self.vocabulary.pieces)
        return np.bincount(self.fit.ids, minlength=num_ids) + np.bincount(self.score.ids, minlength=num_ids)

    @cached_property
    def _spellings(self) -> list[str]:
        return [piece.lstrip(SPACE) for piece in self.vocabulary.pieces]

    @cached_property
    def _spells(self) -> np.ndarray:
        """Which ids can stand in text of this kind: bool[num_ids]."""
        letters = set(ALPHABETS[self.sample.kind].letters)
        return np.array([letters.issuperset(spelling) for spelling in self._spellings])

    @cached_property
    def _listed(self) -> np.ndarray:
        """The ids that are pieces of this kind by right: unambiguous letters and what was learned."""
        by_right = [piece in self.learned for piece in self.vocabulary.pieces]
        return np.flatnonzero(self._spells & (self.lengths > 0) & np.array(by_right))

    def bits(self) -> tuple[float, float]:
        """Bits for one letter of the scored half under the unigram and the bigram model of the other half."""
        # Only what can occur takes a share of the probability; ids that the text has in spite of that are added.
        possible = self._spells | (self.counts > 0)
        places, num_possible = np.cumsum(possible) - 1, int(possible.sum())
        fit, score = (Tokens(places[half.ids], half.starts) for half in (self.fit, self.score))
        num_letters = sum(map(len, self.sample.score))
        unigram = Unigram(fit.ids, num_possible).bits(score.ids)
        return unigram / num_letters, Bigram(fit, num_possible).bits(score) / num_letters

    def measure(self) -> SequenceMeasure:
        """All numbers of this vocabulary."""
        unigram, bigram = self.bits()
        return SequenceMeasure(
            size=int(self._listed.size),
            num_letters=self.sample.num_letters,
            num_tokens=self.fit.num_tokens + self.score.num_tokens,
            unigram_bits=unigram,
            bigram_bits=bigram,
            usage=self._usage(),
            strands=self._strands() if self.sample.kind == "dna" else None,
        )

    def curve(self) -> tuple[CurvePoint, ...]:
        """The prefixes of a `SequenceVocabulary`: letters alone, every power of 2, and the whole, in order of size."""
        assert isinstance(self.vocabulary, SequenceVocabulary)
        points, encoded = [], self
        for size in reversed(curve_sizes(self.vocabulary)):
            encoded = encoded.prefix(size)
            per_token = self.sample.num_letters / (encoded.fit.num_tokens + encoded.score.num_tokens)
            points.append(CurvePoint(size, per_token, *encoded.bits()))
        return tuple(reversed(points))

    def _usage(self) -> Usage:
        pieces, lengths, counts = self.vocabulary.pieces, self.lengths, self.counts
        listed = self._listed
        unused = listed[counts[listed] == 0]
        order = np.argsort(-counts, kind="stable")
        num_used = int(np.count_nonzero(counts))
        used = order[:num_used]
        longest = sorted((index for index in used if lengths[index]), key=lambda index: -lengths[index])
        ranks = np.unique(np.geomspace(1, max(num_used, 1), _NUM_RANKS).round().astype(int))
        in_bins = np.minimum(lengths, LONGEST_BIN)
        total = max(int(counts.sum()), 1)
        return Usage(
            num_pieces=int(listed.size),
            num_unused=int(unused.size),
            unused=tuple(pieces[index] for index in unused[:NUM_EXAMPLES]),
            frequent=tuple((pieces[index], int(counts[index]) / total) for index in used[:NUM_EXAMPLES]),
            longest=tuple(pieces[index] for index in longest[:NUM_EXAMPLES]),
            lengths=tuple(np.bincount(in_bins[listed], minlength=LONGEST_BIN + 1)[1:].tolist()),
            lengths_used=tuple(np.bincount(in_bins, counts, LONGEST_BIN + 1)[1:].astype(int).tolist()),
            ranks=tuple((int(rank), int(counts[order[rank - 1]])) for rank in ranks if rank <= num_used),
        )

    def _strands(self) -> Strands:
        pieces = self.vocabulary.pieces
        known = {pieces[index] for index in self._listed}
        closed = np.array(
            [
                bool(num) and reverse_complement(piece) in known
                for num, piece in zip(self.lengths, self._spellings, strict=True)
            ]
        )
        learned = self._listed[self.lengths[self._listed] > 1]
        there, back = _cuts(self.lines, self.lengths), _cuts(self.mirrored, self.lengths)
        same_tokens, same_lines = 0, 0
        for text, line, mirror in zip(self.sample.lines, there, back, strict=True):
            seen_from_here = len(text) - mirror[::-1, ::-1]
            num_same = len(set(map(tuple, line)) & set(map(tuple, seen_from_here)))
            same_tokens += num_same
            same_lines += 0 < num_same == len(line) == len(mirror)
        return Strands(
            closed_pieces=float(closed[learned].mean()) if learned.size else float("nan"),
            closed_tokens=float(closed @ self.counts / max(self.counts.sum(), 1)),
            num_lines=len(there),
            mirrored_lines=same_lines / max(len(there), 1),
            mirrored_tokens=same_tokens / max(self.lines.num_tokens, 1),
        )


def curve_sizes(vocabulary: SequenceVocabulary) -> list[int]:
    """The sizes of a curve: the alphabet, every power of 2 above it, and the whole.

    >>> curve_sizes(SequenceVocabulary("dna", (("A", "C"), ("G", "T"), ("AC", "GT"), ("A", "A"), ("T", "T"))))
    [4, 8, 9]
    """
    smallest = len(ALPHABETS[vocabulary.kind].letters)
    powers = (2**power for power in range(vocabulary.size.bit_length()))
    return sorted({smallest, *(size for size in powers if size > smallest), vocabulary.size})


def _halves(vocabulary: SequenceVocabulary) -> np.ndarray:
    """The ids of the two halves of each merge: int32[num_merges, 2]."""
    ids = {piece: number for number, piece in enumerate(vocabulary.pieces)}
    return np.array([(ids[left], ids[right]) for left, right in vocabulary.merges], dtype=np.int32).reshape(-1, 2)


def _take_apart(tokens: Tokens, halves: np.ndarray, stop: int) -> Tokens:
    """Replace ids from `stop` on by the halves of their merges, until there are none."""
    ids, starts = tokens.ids, tokens.starts
    while (late := ids >= stop).any():
        lengths = 1 + late
        places = np.cumsum(lengths) - lengths
        finer = np.empty(int(lengths.sum()), dtype=ids.dtype)
        finer[places] = ids
        for side in (0, 1):
            finer[places[late] + side] = halves[ids[late] - NUM_LETTERS, side]
        ids, starts = finer, places[starts]
    return Tokens(ids, starts)


def _cuts(tokens: Tokens, lengths: np.ndarray) -> list[np.ndarray]:
    """Where the tokens of each sequence begin and end in it: int[num_tokens, 2] each."""
    found = []
    for ids in np.split(tokens.ids, tokens.starts[1:]) if tokens.starts.size else []:
        # A space that SentencePiece puts before a line has no letters, and no mirror image.
        own = lengths[ids][lengths[ids] > 0]
        ends = np.cumsum(own)
        found.append(np.stack([ends - own, ends], axis=1))
    return found
