"""Find DNA and protein sequences inside free text, by one stated and cautious rule.

The rule, in full. A *run* is a row of letters with no letter, digit or underscore directly before or after it.

- **DNA**: a run of at least `min_dna` letters in one case, all of them letters of DNA or its ambiguity codes and nine
  in ten ``ACGTUN``, not with both T and U, with at least three different bases. (``TATATATATATATATATATATA`` and
  ``AAAAAAAAAAAAAAAAAAAAAAAA`` stay text.)
- **Protein**: a run of at least `min_protein` letters, all upper-case residues (the twenty and X), with at least eight
  different residues; a ``*`` directly behind belongs to it. English has B, J, O, U or Z in every second word, so that
  even words written together without white space stay text as a rule.
- **FASTA**: below a line that begins with ``>``, the lines that hold nothing but upper-case letters or ``acgtun`` are
  one sequence, in one case or two: DNA as above, otherwise protein if all letters are those of protein, in upper case,
  with eight different ones. The least lengths hold here too. The header stays text.

What is missed stays text and can still be tagged by hand; what is found wrongly would be a word torn to letters.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from llama_gene.errors import SettingsError
from llama_gene.sequences.alphabet import DNA, PROTEIN, Kind

_NUM_BASES = 3
_NUM_RESIDUES = 8
_PLAIN_SHARE = 0.9
_WORD = re.compile(r"(?<!\w)[A-Za-z]+(?!\w)")
_FASTA = re.compile(r"^>[^\n]*\n(?P<body>(?:[ \t]*[A-Zacgtun]+\*?[ \t]*\r?(?:\n|\Z))+)", re.MULTILINE)
_RESIDUES = re.compile(f"[{PROTEIN.letters}X]+")
_DNA_LETTERS = set(DNA.letters + "UN")
_DNA_CODES = set(DNA.letters) | set(DNA.ambiguity) | {"U"}
_PROTEIN_CODES = set(PROTEIN.letters) | set(PROTEIN.ambiguity)


@dataclass(frozen=True, slots=True)
class FoundSpan:
    """Where a sequence stands in a text: ``text[start:end]``; a wrapped one has its line ends in it."""

    start: int
    end: int
    kind: Kind


def find_spans(text: str, *, min_dna: int = 20, min_protein: int = 25) -> list[FoundSpan]:
    """The sequences in `text`, in order and without overlap, by the rule at the top of this file.

    Args:
        text: Anything.
        min_dna: The fewest letters that make DNA.
        min_protein: The fewest letters that make a protein.

    Raises:
        SettingsError: If a least length is below 1.

    >>> find_spans("KRAS binds GATTACAGATTACAGATTACA and TAG.")
    [FoundSpan(start=11, end=32, kind='dna')]
    """
    if min_dna < 1 or min_protein < 1:
        problem = f"least lengths {min_dna} and {min_protein}"
        raise SettingsError(problem, hint="min_dna and min_protein are at least 1")
    spans: list[FoundSpan] = []
    position = 0
    for block in _FASTA.finditer(text):
        span = _fasta_span(text, *block.span("body"), min_dna, min_protein)
        if span is not None:
            spans += _find_runs(text, position, span.start, min_dna, min_protein)
            spans.append(span)
            position = span.end
    spans += _find_runs(text, position, len(text), min_dna, min_protein)
    return spans


def _fasta_span(text: str, start: int, end: int, min_dna: int, min_protein: int) -> FoundSpan | None:
    body = text[start:end]
    letters = "".join(body.split()).upper().rstrip("*")
    start += len(body) - len(body.lstrip())
    end -= len(body) - len(body.rstrip())
    if _spells_dna(letters):
        found = len(letters) >= min_dna and _is_dna(letters) and "*" not in body
        return FoundSpan(start, end, "dna") if found else None
    if body.isupper() and set(letters) <= _PROTEIN_CODES and len(letters) >= min_protein and _is_protein(letters):
        return FoundSpan(start, end, "protein")
    return None


def _find_runs(text: str, start: int, end: int, min_dna: int, min_protein: int) -> Iterator[FoundSpan]:
    for match in _WORD.finditer(text, start, end):
        run = match.group()
        if (run.isupper() or run.islower()) and _spells_dna(run.upper()):
            if len(run) >= min_dna and _is_dna(run.upper()):
                yield FoundSpan(match.start(), match.end(), "dna")
        elif len(run) >= min_protein and _RESIDUES.fullmatch(run) and _is_protein(run):
            star = text.startswith("*", match.end()) and match.end() < end
            yield FoundSpan(match.start(), match.end() + star, "protein")


def _spells_dna(run: str) -> bool:
    """Whether it is written in the letters of DNA: with many ambiguity codes in it, it is rather a protein."""
    return set(run) <= _DNA_CODES and sum(map(run.count, _DNA_LETTERS)) >= _PLAIN_SHARE * len(run)


def _is_dna(run: str) -> bool:
    bases = set(run) & set("ACGTU")
    return len(bases) >= _NUM_BASES and not {"T", "U"} <= bases


def _is_protein(run: str) -> bool:
    return len(set(run) - {"X"}) >= _NUM_RESIDUES
