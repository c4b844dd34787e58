"""English-like text about the same biology: plain facts, put into words by templates."""

import re
from itertools import product
from typing import Final

import numpy as np

from llama_gene.sequences.alphabet import PROTEIN, translate

_OPENERS: Final = (
    "", "", "", "In most organisms, ", "As a rule, ", "In general, ", "We know that ", "Many studies show that ",
    "In cells, ", "It was found that ", "In biology, ", "One can see that ",
)  # fmt: skip

# A slot in braces is filled with one of its alternatives.
_SLOTS: Final[dict[str, tuple[str, ...]]] = {
    "shows": ("shows", "suggests", "means", "tells us", "is a sign"),
    "lies": ("lies", "stands", "is found", "is located", "often occurs"),
    "about": ("about", "roughly", "some", "close to"),
    "tata": ("the TATA box", "a TATA box", "the sequence TATAAA", "the box TATAAAA"),
    "start": ("the start of transcription", "the start site", "the transcription start site", "the first RNA base"),
    "polymerase": ("RNA polymerase", "the polymerase", "the transcription machinery"),
    "strong": ("strong", "active", "efficient"),
    "weak": ("weak", "inactive", "poor"),
    "most": ("most", "nearly all", "almost all", "the great majority of"),
    "cell": ("the cell", "a living cell", "every cell", "a bacterium", "an animal cell"),
    "secreted": ("secreted", "exported", "sent out of the cell", "carried to the membrane"),
    "removes": ("removes", "cuts out", "takes out"),
    "reads": ("reads", "translates", "decodes"),
}  # fmt: skip

_FACTS: Final[dict[str, tuple[str, ...]]] = {
    "promoter": (
        "a promoter is the DNA in front of a gene where {polymerase} begins",
        "{tata} {lies} {about} thirty bases upstream of {start}",
        "{tata} in front of a gene {shows} that this is a promoter",
        "the initiator {lies} at {start}",
        "a promoter with both {tata} and an initiator is {strong}",
        "a promoter without {tata} may still be {strong} if it has an initiator",
        "a mutation in {tata} makes the promoter {weak}",
        "the TATA binding protein binds {tata} and bends the DNA",
        "{polymerase} makes RNA from DNA",
        "a strong promoter gives more RNA than a {weak} one",
        "is there a promoter? yes, if {tata} {lies} before {start}; no, if there is only background",
        "how strong is this promoter? it is {strong} if {tata} is perfect and {weak} if not",
        "transcription factors bind short motifs near {start}",
    ),
    "splice": (
        "{most} introns begin with GT and end with AG",
        "the donor site {lies} at the start of an intron",
        "the acceptor site {lies} at the end of an intron",
        "a run of C and T {lies} before the acceptor site",
        "the spliceosome {removes} the introns and joins the exons",
        "the word GT alone {shows} little, because it {lies} everywhere in DNA",
        "which splice site is it? a donor has GT, an acceptor has AG, and neither is only background",
        "an exon between two introns has an acceptor before it and a donor behind it",
        "a mutation of GT at the donor site stops the splicing of the intron",
        "{most} bacterial genes have no introns",
        "the donor site has the consensus GTAAGT or GTGAGT",
        "a cell with a nucleus {removes} introns before it {reads} the RNA",
    ),
    "signal": (
        "a signal peptide {lies} at the start of proteins that are {secreted}",
        "the first part of a signal peptide has the positive residues lysine and arginine",
        "the middle of a signal peptide is hydrophobic and rich in leucine",
        "the signal peptidase {removes} the signal peptide after the residues AXA",
        "a protein with a signal peptide is {secreted}",
        "is there a signal sequence? yes, if the protein is {secreted}; no, if it stays inside",
        "small residues such as alanine before the cut help the signal peptidase",
        "a protein without a signal peptide stays in the cytosol",
        "a hydrophobic segment {shows} that the protein may cross the membrane",
        "membrane proteins have long hydrophobic segments of {about} twenty residues",
    ),
    "code": (
        "{cell} {reads} the RNA of a gene in steps of three bases",
        "a codon is a group of three bases",
        "a gene begins with the start codon ATG and ends with a stop codon",
        "the stop codons are TAA, TAG and TGA",
        "the ribosome {reads} the codons and makes the protein",
        "does this gene make this protein? yes, if its codons give the residues one by one, in the same order",
        "{most} amino acids have more than one codon",
        "{most} proteins begin with methionine",
        "a gene with thirty codons makes a protein of {about} thirty residues",
        "A pairs with T, and G pairs with C",
        "the two strands of DNA run in opposite directions",
        "the reverse complement of a sequence is the other strand of the DNA",
        "the order of the bases in a gene decides the order of the residues in its protein",
        "proteins of one family have a similar composition",
    ),
}  # fmt: skip

_AMINO_ACIDS: Final = {
    "A": ("alanine", "small"), "C": ("cysteine", "able to form bridges"), "D": ("aspartate", "negatively charged"),
    "E": ("glutamate", "negatively charged"), "F": ("phenylalanine", "aromatic"), "G": ("glycine", "small"),
    "H": ("histidine", "often part of active sites"), "I": ("isoleucine", "hydrophobic"),
    "K": ("lysine", "positively charged"), "L": ("leucine", "hydrophobic"), "M": ("methionine", "hydrophobic"),
    "N": ("asparagine", "polar"), "P": ("proline", "stiff"), "Q": ("glutamine", "polar"),
    "R": ("arginine", "positively charged"), "S": ("serine", "polar"), "T": ("threonine", "polar"),
    "V": ("valine", "hydrophobic"), "W": ("tryptophan", "aromatic"), "Y": ("tyrosine", "aromatic"),
}  # fmt: skip


def documents(rng: np.random.Generator, num: int) -> list[str]:
    """`num` documents of one to four sentences on one topic, one line each.

    >>> len(documents(np.random.default_rng(0), 3))
    3
    """
    topics = {**_FACTS, "codons": tuple(_codon_facts()), "residues": tuple(_residue_facts())}
    names = list(topics)
    lines = []
    for topic, length in zip(rng.integers(len(names), size=num), rng.integers(1, 5, num), strict=True):
        facts = topics[names[topic]]
        chosen = rng.choice(len(facts), int(length), replace=False)
        lines.append(" ".join(_sentence(rng, facts[place]) for place in chosen))
    return lines


def _sentence(rng: np.random.Generator, fact: str) -> str:
    def fill(slot: re.Match[str]) -> str:
        return str(rng.choice(_SLOTS[slot[1]]))

    text = re.sub(r"{(\w+)}", fill, fact)
    # A question, or a sentence that begins with a name, stands alone: it cannot follow "we know that".
    opener = "" if "?" in text or text[0].isupper() else str(rng.choice(_OPENERS))
    text = opener + text
    return text[0].upper() + text[1:] + "."


def _codon_facts() -> list[str]:
    facts = []
    for codon in map("".join, product("ACGT", repeat=3)):
        residue = translate(codon)
        if residue == "*":
            facts.append(f"the codon {codon} is a stop codon and ends the protein")
            continue
        name = _AMINO_ACIDS[residue][0]
        facts += [
            f"the codon {codon} codes for {name}",
            f"the codon {codon} is read as {name}, written {residue}",
            f"{name} can be written with the codon {codon}",
        ]
    return facts


def _residue_facts() -> list[str]:
    facts = []
    for letter in PROTEIN.letters:
        name, trait = _AMINO_ACIDS[letter]
        facts += [
            f"the amino acid {name} is {trait}",
            f"the letter {letter} stands for {name} in a protein",
            f"{name} is {trait} and is written {letter}",
        ]
    return facts
