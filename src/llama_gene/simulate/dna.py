"""Generative models of DNA: promoters, their strength, and splice sites. Each knows its own likelihood."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from llama_gene.simulate.motif import (
    BACKGROUND,
    BASES,
    decode,
    draw,
    encode,
    flat,
    log_likelihoods,
    normalised,
    site,
)

# After Bucher's TATA box (J Mol Biol 212:563, 1990) and the human initiator; made a little sharper, so that a small
# model finds them in a few thousand rows.
TATA_BOX: Final = site("TATAWAWR", [0.93, 0.95, 0.95, 0.95, 0.95, 0.95, 0.92, 0.8])
INITIATOR: Final = site("YYANWYY", [0.85, 0.9, 0.97, 0.0, 0.9, 0.85, 0.85])
# MAG|GTRAGT and the pyrimidine tract before NYAG|G: the vertebrate consensus (Shapiro & Senapathy, NAR 15:7155, 1987).
DONOR: Final = site("MAGGTRAGT", [0.75, 0.7, 0.85, 1.0, 1.0, 0.95, 0.78, 0.88, 0.65])
DONOR_EXON: Final = 3  # positions of DONOR before the cut
ACCEPTOR: Final = site("YYYYYYYYYYYYNYAGG", [0.82] * 12 + [0.0, 0.8, 1.0, 1.0, 0.6])
ACCEPTOR_INTRON: Final = 16  # positions of ACCEPTOR before the cut
EXON: Final = np.array([0.24, 0.26, 0.28, 0.22])
INTRON: Final = np.array([0.27, 0.19, 0.20, 0.34])


@dataclass(frozen=True)
class Promoter:
    """DNA of 80 bases: TATA box and initiator at their places, against a background of the same composition.

    A promoter may lack either element, as real ones do; so even the true model is sometimes wrong.
    """

    names: ClassVar = ("no", "yes")
    length: int = 80
    start: int = 60  # of transcription; the initiator begins two bases before
    tata_starts: tuple[int, ...] = tuple(range(27, 33))  # about -31 to -26 seen from `start`, all equally likely
    tata_share: float = 0.92
    initiator_share: float = 0.85

    @property
    def composition(self) -> NDArray[np.float64]:
        """Average composition of the promoters, float64[4]; the negatives have it too: counting bases tells nothing."""
        sites = self.tata_share * TATA_BOX.sum(axis=0) + self.initiator_share * INITIATOR.sum(axis=0)
        covered = self.tata_share * len(TATA_BOX) + self.initiator_share * len(INITIATOR)
        result: NDArray[np.float64] = (sites + (self.length - covered) * BACKGROUND) / self.length
        return result

    def draw(self, rng: np.random.Generator, num: int) -> tuple[list[tuple[str, ...]], NDArray[np.int64]]:
        """`num` rows: sequences, and labels int64[num] (1 = promoter)."""
        labels = rng.integers(0, 2, num)
        promoters = self.promoters(rng, num)
        others = draw(rng, flat(self.composition, self.length), num)
        codes = np.where(labels[:, None] == 1, promoters, others)
        return [(sequence,) for sequence in decode(codes, BASES)], labels

    def promoters(self, rng: np.random.Generator, num: int) -> NDArray[np.int64]:
        """Promoters alone, int64[num, length]; also what stands before the genes of the simulated genome."""
        codes = draw(rng, flat(BACKGROUND, self.length), num)
        rows = np.arange(num)[:, None]
        starts = rng.choice(self.tata_starts, num)[:, None]
        places = starts + np.arange(len(TATA_BOX))
        tata = np.where(rng.random((num, 1)) < self.tata_share, draw(rng, TATA_BOX, num), codes[rows, places])
        codes[rows, places] = tata
        places = self.start - 2 + np.arange(len(INITIATOR))
        has_initiator = rng.random((num, 1)) < self.initiator_share
        codes[:, places] = np.where(has_initiator, draw(rng, INITIATOR, num), codes[:, places])
        return codes

    def posterior(self, sequences: Sequence[tuple[str, ...]]) -> NDArray[np.float64]:
        """Probability of each label under the true model, float64[num, 2]."""
        codes = encode([row[0] for row in sequences], BASES)
        background = log_likelihoods(codes, flat(BACKGROUND, self.length))
        odds = [_odds(codes, background, TATA_BOX, start) for start in self.tata_starts]
        tata = 1 - self.tata_share + self.tata_share * np.mean(odds, axis=0)
        odds_initiator = _odds(codes, background, INITIATOR, self.start - 2)
        initiator = 1 - self.initiator_share + self.initiator_share * odds_initiator
        # The two elements never overlap, so their factors multiply.
        promoter = background.sum(axis=1) + np.log(tata) + np.log(initiator)
        other = log_likelihoods(codes, flat(self.composition, self.length)).sum(axis=1)
        return normalised(np.stack([other, promoter], axis=1))


def _odds(
    codes: NDArray[np.int64], background: NDArray[np.float64], matrix: NDArray[np.float64], start: int
) -> NDArray[np.float64]:
    """Likelihood ratio, float64[num], of a site that begins at `start` against the background."""
    window = slice(start, start + len(matrix))
    result: NDArray[np.float64] = np.exp(
        log_likelihoods(codes[:, window], matrix).sum(axis=1) - background[:, window].sum(axis=1)
    )
    return result


@dataclass(frozen=True)
class PromoterStrength:
    """Promoters of graded quality; the strength is the log-odds of both elements plus noise, scaled to about 0 to 9."""

    length: int = 80
    tata_start: int = 29
    initiator_start: int = 58
    noise: float = 0.35  # standard deviations of the noise-free strength
    # Mean and standard deviation of the summed log-odds over 200,000 rows.
    mean: float = -2.19
    deviation: float = 6.86

    def draw(self, rng: np.random.Generator, num: int) -> tuple[list[tuple[str, ...]], NDArray[np.float64]]:
        """`num` rows: sequences, and strengths float64[num] with mean 4.5 and standard deviation about 2."""
        codes = draw(rng, flat(BACKGROUND, self.length), num)
        for matrix, start in ((TATA_BOX, self.tata_start), (INITIATOR, self.initiator_start)):
            # A base comes from the site with a probability of the row's own: rows from no site to a perfect one.
            kept = rng.random((num, len(matrix))) < rng.random((num, 1))
            window = slice(start, start + len(matrix))
            codes[:, window] = np.where(kept, draw(rng, matrix, num), codes[:, window])
        sequences: list[tuple[str, ...]] = [(sequence,) for sequence in decode(codes, BASES)]
        noise = 2.0 * self.noise * rng.standard_normal(num)
        return sequences, np.round(self.expected(sequences) + noise, 3)

    def expected(self, sequences: Sequence[tuple[str, ...]]) -> NDArray[np.float64]:
        """The strength without noise, float64[num].

        The noise is the same for all rows, so no prediction can have a higher Spearman correlation on average.
        """
        codes = encode([row[0] for row in sequences], BASES)
        result: NDArray[np.float64] = 4.5 + 2.0 * (self.log_odds(codes) - self.mean) / self.deviation
        return result

    def log_odds(self, codes: NDArray[np.int64]) -> NDArray[np.float64]:
        """Summed log-odds of both elements at their places, float64[num]."""
        background = log_likelihoods(codes, flat(BACKGROUND, self.length))
        tata = _odds(codes, background, TATA_BOX, self.tata_start)
        initiator = _odds(codes, background, INITIATOR, self.initiator_start)
        result: NDArray[np.float64] = np.log(tata) + np.log(initiator)
        return result


@dataclass(frozen=True)
class Splice:
    """DNA of 60 bases with AG before or GT behind the centre: acceptor, donor, or a decoy in plain background.

    As in GUE, the cut is at the centre: an acceptor's AG ends there, a donor's GT begins there.
    """

    names: ClassVar = ("acceptor", "donor", "neither")
    length: int = 60

    def matrices(self) -> tuple[NDArray[np.float64], ...]:
        """Acceptor, donor, decoy with AG, decoy with GT; each float64[length, 4]."""
        cut = self.length // 2
        before, behind = flat(EXON, cut), flat(INTRON, self.length - cut)
        donor = np.concatenate([before, behind])
        donor[cut - DONOR_EXON : cut - DONOR_EXON + len(DONOR)] = DONOR
        acceptor = np.concatenate([flat(INTRON, cut), flat(EXON, self.length - cut)])
        acceptor[cut - ACCEPTOR_INTRON : cut - ACCEPTOR_INTRON + len(ACCEPTOR)] = ACCEPTOR
        plain = flat((acceptor.mean(axis=0) + donor.mean(axis=0)) / 2, self.length)
        decoy_ag, decoy_gt = plain.copy(), plain.copy()
        decoy_ag[cut - 2 : cut] = site("AG", 1.0)
        decoy_gt[cut : cut + 2] = site("GT", 1.0)
        return acceptor, donor, decoy_ag, decoy_gt

    def draw(self, rng: np.random.Generator, num: int) -> tuple[list[tuple[str, ...]], NDArray[np.int64]]:
        """`num` rows: sequences, and labels int64[num] as in `names`, all equally likely."""
        labels = rng.integers(0, 3, num)
        model = np.where(labels == 2, rng.integers(2, 4, num), labels)
        drawn = np.stack([draw(rng, matrix, num) for matrix in self.matrices()])
        return [(sequence,) for sequence in decode(drawn[model, np.arange(num)], BASES)], labels

    def posterior(self, sequences: Sequence[tuple[str, ...]]) -> NDArray[np.float64]:
        """Probability of each label under the true model, float64[num, 3]."""
        codes = encode([row[0] for row in sequences], BASES)
        acceptor, donor, ag, gt = (log_likelihoods(codes, matrix).sum(axis=1) for matrix in self.matrices())
        decoy = np.logaddexp(ag, gt) - np.log(2)
        return normalised(np.stack([acceptor, donor, decoy], axis=1))
