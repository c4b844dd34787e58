"""Generative models of proteins: residue composition by family, signal peptides, genes with their proteins."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from llama_gene.sequences.alphabet import PROTEIN, translate
from llama_gene.simulate.motif import BASES, decode, draw, encode, flat, log_likelihoods, normalised

RESIDUES: Final = PROTEIN.letters
STOPS: Final = ("TAA", "TAG", "TGA")
_CODONS: Final = ["".join(bases) for bases in product(BASES, repeat=3)]


def composition(weights: str, share: float) -> NDArray[np.float64]:
    """Residue probabilities, float64[20]: `share` lies on the residues of `weights` (repeats count), the rest on all.

    >>> composition("LLA", 0.9).round(3).tolist()[:2]  # A, C
    [0.305, 0.005]
    """
    counts = np.array([weights.count(residue) for residue in RESIDUES], dtype=float)
    result: NDArray[np.float64] = share * counts / counts.sum() + (1 - share) / len(RESIDUES)
    return result


# Soluble protein in general, roughly Swiss-Prot's order of frequencies, and four families that lean to one side.
SOLUBLE: Final = composition("AAAALLLLGGGVVVEEESSSIIKKKRRRDDDTTTPPQQNNFFYMHCW", 0.95)
FAMILIES: Final = (
    composition("LLLIIIVVVFFAAGMWLT", 0.6) * 0.5 + SOLUBLE * 0.5,
    composition("KKKEEERRDDKEQ", 0.6) * 0.5 + SOLUBLE * 0.5,
    composition("SSSTTTNNNQQQPPG", 0.6) * 0.5 + SOLUBLE * 0.5,
    composition("GGGAAAPPPRRCY", 0.6) * 0.5 + SOLUBLE * 0.5,
)
# Which of its codons a residue is written with: codons that end in C or G are twice as frequent.
_CODONS_OF: Final = {residue: [codon for codon in _CODONS if translate(codon) == residue] for residue in RESIDUES}
_USAGE_OF: Final = {
    residue: np.array([2.0 if codon[2] in "CG" else 1.0 for codon in codons]) for residue, codons in _CODONS_OF.items()
}


def gene_of(rng: np.random.Generator, protein: str) -> str:
    """DNA that codes for `protein`, codons drawn by usage, with a stop codon at the end."""
    codons = []
    for residue, place in zip(protein, rng.random(len(protein)), strict=True):
        usage = _USAGE_OF[residue].cumsum()
        codons.append(_CODONS_OF[residue][int(np.searchsorted(usage, place * usage[-1], side="right"))])
    return "".join(codons) + STOPS[int(rng.integers(len(STOPS)))]


def family_protein(rng: np.random.Generator, length: int, family: int) -> str:
    """A protein of a family: M, then `length - 1` residues of its composition."""
    return "M" + decode(draw(rng, flat(FAMILIES[family], length - 1), 1), RESIDUES)[0]


@dataclass(frozen=True)
class SignalPeptide:
    """The first 70 residues of a protein: with a signal peptide, or without.

    A signal peptide is M, a positively charged n-region, a hydrophobic h-region, and a c-region that ends in A-x-A
    before the cut (von Heijne, NAR 14:4683, 1986); all lengths vary. Some of the other proteins have a hydrophobic
    segment of a membrane instead: longer, anywhere in the first half, and without A-x-A behind it.
    """

    names: ClassVar = ("no", "yes")
    length: int = 70
    n_lengths: tuple[int, ...] = (1, 2, 3, 4, 5, 6)
    h_lengths: tuple[int, ...] = (7, 8, 9, 10, 11, 12)
    c_lengths: tuple[int, ...] = (4, 5, 6)  # with the A-x-A
    membrane_share: float = 0.3
    membrane_starts: tuple[int, ...] = tuple(range(1, 41))
    membrane_length: int = 15

    # float64[20] each, but for the cut, float64[3, 20]: A-x-A.
    charged: ClassVar = composition("KKRRKSNTQA", 0.7)
    hydrophobic: ClassVar = composition("LLLLLAAVVIIFFGM", 0.8)
    polar: ClassVar = composition("SSTTGGPQNAVL", 0.7)
    membrane: ClassVar = composition("LLLIIIVVVFFAAGWM", 0.8)
    cut: ClassVar = np.stack([composition("AAAAVVSTG", 0.95), polar, composition("AAAAAAGGS", 0.97)])

    def draw(self, rng: np.random.Generator, num: int) -> tuple[list[tuple[str, ...]], NDArray[np.int64]]:
        """`num` rows: sequences, and labels int64[num] (1 = signal peptide)."""
        labels = rng.integers(0, 2, num)
        codes = draw(rng, flat(SOLUBLE, self.length), num)
        codes[:, 0] = RESIDUES.index("M")
        for row, label in zip(codes, labels, strict=True):
            if label == 1:
                head = self.peptide(rng)
                row[1 : 1 + len(head)] = head
            elif rng.random() < self.membrane_share:
                start = int(rng.choice(self.membrane_starts))
                row[start : start + self.membrane_length] = draw(rng, flat(self.membrane, self.membrane_length), 1)[0]
        return [(sequence,) for sequence in decode(codes, RESIDUES)], labels

    def peptide(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """A signal peptide behind its M, as codes int64[length of the three regions]."""
        n, h, c = (int(rng.choice(lengths)) for lengths in (self.n_lengths, self.h_lengths, self.c_lengths))
        regions = [flat(self.charged, n), flat(self.hydrophobic, h), flat(self.polar, c - 3), self.cut]
        codes: NDArray[np.int64] = draw(rng, np.concatenate(regions), 1)[0]
        return codes

    def posterior(self, sequences: Sequence[tuple[str, ...]]) -> NDArray[np.float64]:
        """Probability of each label under the true model, float64[num, 2]; summed over all lengths and places."""
        codes = encode([row[0] for row in sequences], RESIDUES)
        # Running sums of log-odds against soluble protein: any region's score is then one subtraction.
        soluble = log_likelihoods(codes, flat(SOLUBLE, self.length))
        sums = {
            name: np.cumsum(log_likelihoods(codes, flat(region, self.length)) - soluble, axis=1)
            for name, region in (
                ("n", self.charged),
                ("h", self.hydrophobic),
                ("c", self.polar),
                ("membrane", self.membrane),
                ("cut0", self.cut[0]),
                ("cut2", self.cut[2]),
            )
        }

        def score(name: str, start: int, stop: int) -> NDArray[np.float64]:
            return sums[name][:, stop - 1] - sums[name][:, start - 1]

        peptides = []
        for n, h, c in product(self.n_lengths, self.h_lengths, self.c_lengths):
            h_start, c_start, end = 1 + n, 1 + n + h, 1 + n + h + c
            regions = score("n", 1, h_start) + score("h", h_start, c_start) + score("c", c_start, end - 3)
            peptides.append(
                regions + score("cut0", end - 3, end - 2) + score("c", end - 2, end - 1) + score("cut2", end - 1, end)
            )
        signal = np.logaddexp.reduce(peptides, axis=0) - np.log(len(peptides))
        membranes = [score("membrane", start, start + self.membrane_length) for start in self.membrane_starts]
        membrane = np.logaddexp.reduce(membranes, axis=0) - np.log(len(membranes))
        other = np.logaddexp(np.log(1 - self.membrane_share), np.log(self.membrane_share) + membrane)
        return normalised(np.stack([other, signal], axis=1))


@dataclass(frozen=True)
class CentralDogma:
    """A short gene between flanks, and a protein: the gene's own, or another.

    Another is a protein of another gene (its family, so its composition, may differ) or the own one shuffled. The
    genetic code decides every row, so the best possible accuracy is 1; whether a model learns the code is the question.
    """

    names: ClassVar = ("no", "yes")
    protein_lengths: tuple[int, int] = (15, 30)
    flanks: tuple[int, int] = (6, 20)
    shuffled_share: float = 0.25

    def draw(self, rng: np.random.Generator, num: int) -> tuple[list[tuple[str, ...]], NDArray[np.int64]]:
        """`num` rows: (gene, protein), and labels int64[num] (1 = the gene's own)."""
        labels = rng.integers(0, 2, num)
        rows: list[tuple[str, ...]] = []
        for label in labels:
            own = self._protein(rng)
            before, behind = (
                decode(draw(rng, flat(np.full(4, 0.25), int(rng.integers(*self.flanks))), 1), BASES)[0] for _ in "ab"
            )
            gene = before + gene_of(rng, own) + behind
            protein = own if label == 1 else self._other(rng, own)
            rows.append((gene, protein))
        return rows, labels

    def _protein(self, rng: np.random.Generator) -> str:
        low, high = self.protein_lengths
        return family_protein(rng, int(rng.integers(low, high + 1)), int(rng.integers(len(FAMILIES))))

    def _other(self, rng: np.random.Generator, own: str) -> str:
        while True:
            if rng.random() < self.shuffled_share:
                other = "M" + "".join(rng.permutation(list(own[1:])))
            else:
                other = self._protein(rng)
            if other != own:
                return other

    def posterior(self, sequences: Sequence[tuple[str, ...]]) -> NDArray[np.float64]:
        """Certainty, float64[num, 2]: the gene holds a reading frame of the protein, or it does not.

        A negative's protein in the gene by chance would take fifteen residues in a row; that never happens.
        """
        own = np.array(
            [any(f"{protein}*" in translate(gene[frame:]) for frame in range(3)) for gene, protein in sequences]
        )
        return np.stack([~own, own], axis=1).astype(float)
