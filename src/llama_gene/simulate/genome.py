"""A simulated genome and its proteins: text to pre-train on, in which the tasks' signals all occur."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from llama_gene.sequences.alphabet import reverse_complement
from llama_gene.simulate.dna import ACCEPTOR, ACCEPTOR_INTRON, DONOR, DONOR_EXON, INTRON, Promoter
from llama_gene.simulate.motif import BACKGROUND, BASES, decode, draw, flat
from llama_gene.simulate.protein import FAMILIES, RESIDUES, SignalPeptide, family_protein, gene_of

_SHORT_SHARE, _SHORT = 0.4, (15, 31)  # genes as short as those of the central-dogma task
_LONG = (80, 160)  # residues
_SECRETED_SHARE = 0.4  # of the long proteins begin with a signal peptide
_EXON_LENGTH = 120  # an intron for about so many coding bases
_INTRON_LENGTH = (60, 120)
_SPACER, _LEADER, _TRAILER = (80, 240), (10, 40), (30, 80)


@dataclass(frozen=True, slots=True)
class Gene:
    """A gene of the simulated genome.

    Args:
        dna: From the promoter's first base to the end of the transcript, introns in it, coding strand.
        protein: What it codes for.
        description: Its family, and whether it is secreted.
    """

    dna: str
    protein: str
    description: str


def genes(rng: np.random.Generator, num: int) -> Iterator[Gene]:
    """`num` genes with promoter, leader, exons and introns (long genes only), stop codon and trailer."""
    promoters = decode(Promoter().promoters(rng, num), BASES)
    signal = SignalPeptide()
    for promoter in promoters:
        family = int(rng.integers(len(FAMILIES)))
        short = rng.random() < _SHORT_SHARE
        protein = family_protein(rng, int(rng.integers(*(_SHORT if short else _LONG))), family)
        secreted = not short and rng.random() < _SECRETED_SHARE
        if secreted:
            protein = "M" + decode(signal.peptide(rng)[None], RESIDUES)[0] + protein[1:]
        coding = gene_of(rng, protein)
        transcript = (
            _stretch(rng, _LEADER) + (coding if short else _with_introns(rng, coding)) + _stretch(rng, _TRAILER)
        )
        description = f"family {family + 1}, {'secreted' if secreted else 'cytosolic'}"
        yield Gene(promoter + transcript, protein, description)


def chromosome(rng: np.random.Generator, parts: list[Gene]) -> str:
    """The genes in a row, on either strand, with background between them."""
    pieces = []
    for gene in parts:
        strand = gene.dna if rng.random() < 0.5 else reverse_complement(gene.dna)
        pieces += [_stretch(rng, _SPACER), strand]
    return "".join(pieces)


def _stretch(rng: np.random.Generator, lengths: tuple[int, int]) -> str:
    return decode(draw(rng, flat(BACKGROUND, int(rng.integers(*lengths))), 1), BASES)[0]


def _with_introns(rng: np.random.Generator, coding: str) -> str:
    """The coding sequence with introns at random places, at least 30 coding bases apart."""
    pieces, place = [], 0
    while len(coding) - place > _EXON_LENGTH:
        exon = int(rng.integers(30, 2 * _EXON_LENGTH - 30))
        pieces += [coding[place : place + exon], _intron(rng)]
        place += exon
    return "".join([*pieces, coding[place:]])


def _intron(rng: np.random.Generator) -> str:
    """GT-AG with the weights of both sites; their exon positions are left to the coding sequence."""
    middle = flat(INTRON, int(rng.integers(*_INTRON_LENGTH)) - len(DONOR) - len(ACCEPTOR))
    matrix = np.concatenate([DONOR[DONOR_EXON:], middle, ACCEPTOR[:ACCEPTOR_INTRON]])
    return decode(draw(rng, matrix, 1), BASES)[0]
