"""The two alphabets, DNA and protein: what their letters are, and what happens to letters that are not.

Sequences are cleaned once, at the border, and are *canonical* from there on: upper case, no white space, RNA written as
DNA. Whole chromosomes go through here, so nothing loops over letters in Python.
"""

import re
import string
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from llama_gene.errors import SequenceError, SettingsError

Kind = Literal["dna", "protein"]
Policy = Literal["refuse", "skip", "drop", "mask"]

# Letters are checked in windows, so that checking a chromosome never holds a second copy of it.
_WINDOW = 1 << 20
_NUM_LISTED = 8
_POLICIES: tuple[Policy, ...] = get_args(Policy)
_SPACE = "".join(chr(code) for code in range(128) if chr(code).isspace())


@dataclass(frozen=True, eq=False)
class Alphabet:
    """The letters of one kind of sequence, and the rules that bring any text into them.

    Args:
        kind: ``"dna"`` or ``"protein"``.
        letters: The letters that mean one thing: the four bases, or the twenty residues.
        ambiguity: Every other letter that is allowed, and what it may stand for. The rare residues U and O
            (selenocysteine and pyrrolysine) are mapped to the common residue they resemble, C and K.
        unknown: What a letter outside the alphabet becomes under the policy ``"mask"``.
    """

    kind: Kind
    letters: str
    ambiguity: Mapping[str, str]
    unknown: str
    _fold: dict[int, str | None] = field(init=False, repr=False)
    _allowed: bytes = field(init=False, repr=False)
    _outside: re.Pattern[str] = field(init=False, repr=False)
    _pure: re.Pattern[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        # ASCII only: str.upper would turn the German "ß" into "SS", which are two valid letters.
        fold: dict[int, str | None] = {ord(letter): letter.upper() for letter in string.ascii_lowercase}
        fold |= {ord(space): None for space in _SPACE}
        if self.kind == "dna":
            fold |= {ord("u"): "T", ord("U"): "T"}
        allowed = self.letters + "".join(self.ambiguity)
        object.__setattr__(self, "_fold", fold)
        object.__setattr__(self, "_allowed", allowed.encode())
        object.__setattr__(self, "_outside", re.compile(f"[^{allowed}]"))
        object.__setattr__(self, "_pure", re.compile(f"[{self.letters}]+"))

    def __reduce__(self) -> tuple[Callable[[Kind], "Alphabet"], tuple[Kind]]:
        # There are two alphabets in a process, also in one that gets them from another process.
        return _by_kind, (self.kind,)

    def canonical(self, text: str) -> str:
        """The one way to write `text`: upper case, no white space, T for U in DNA, no ``*`` at the end of a protein.

        Letters outside the alphabet stay; see `clean`.

        >>> DNA.canonical("acg uuN"), PROTEIN.canonical("mkv*")
        ('ACGTTN', 'MKV')
        """
        if not text.isascii():
            text = "".join(text.split())
        text = text.translate(self._fold)
        return text.rstrip("*") if self.kind == "protein" else text

    def clean(self, text: str, policy: Policy = "refuse") -> str:
        """The canonical form of `text`, with only letters of this alphabet in it.

        Args:
            text: A sequence as somebody wrote it.
            policy: What letters outside the alphabet get, also ``-``, ``.``, digits and a ``*`` inside a protein:
                ``"refuse"`` and ``"skip"`` raise (the reader sets a skipped record aside), ``"drop"`` removes them,
                ``"mask"`` turns each into N or X.

        Raises:
            SequenceError: For letters outside the alphabet, with the count of each; or when no letter is left.

        >>> DNA.clean("ac-gt", "drop"), DNA.clean("ac-gt", "mask")
        ('ACGT', 'ACNGT')
        >>> DNA.clean("ACGE")
        Traceback (most recent call last):
            ...
        llama_gene.errors.SequenceError: 1 letter outside the DNA alphabet: 'E' (1)
          policy "drop" removes such letters, "mask" turns them into N, "skip" sets the record aside; is this protein?
        """
        if policy not in _POLICIES:
            raise SettingsError(f"unknown policy {policy!r}", hint=f"known: {', '.join(_POLICIES)}")
        # Most data is clean already: then this one check is all that happens, and no copy is made.
        if text and self._is_clean(text):
            return text
        sequence = self.canonical(text)
        odd = self.odd_letters(sequence)
        if odd and policy in {"refuse", "skip"}:
            raise self._refusal(odd)
        if odd:
            new = self.unknown if policy == "mask" else None
            sequence = sequence.translate(dict.fromkeys(map(ord, odd), new))
        if not sequence:
            raise SequenceError("the sequence is empty" if not odd else "no letter of the sequence is left")
        return sequence

    def odd_letters(self, sequence: str) -> Counter[str]:
        """How often each letter stands in the canonical `sequence` that is not in this alphabet.

        >>> DNA.odd_letters("ACGTE--")
        Counter({'-': 2, 'E': 1})
        """
        odd: Counter[str] = Counter()
        for start in range(0, len(sequence), _WINDOW):
            window = sequence[start : start + _WINDOW]
            if window.isascii():
                # bytes.translate that only deletes is the fastest look through text there is: 1 ns a letter, a regex 5.
                rest = window.encode().translate(None, self._allowed)
                if rest:
                    odd.update(rest.decode())
            else:
                odd.update(self._outside.findall(window))
        return odd

    def pure_runs(self, sequence: str, min_length: int = 1) -> Iterator[tuple[int, str]]:
        """The maximal runs of unambiguous letters in a canonical sequence, each with its 0-based start.

        Args:
            sequence: A canonical sequence.
            min_length: Shorter runs are left out; in letters, at least 1.

        >>> list(DNA.pure_runs("ACGNNTTRA", min_length=2))
        [(0, 'ACG'), (5, 'TT')]
        """
        if min_length < 1:
            raise SettingsError(f"the shortest run is {min_length} letters long", hint="give 1 or more")
        for match in self._pure.finditer(sequence):
            if match.end() - match.start() >= min_length:
                yield match.start(), match.group()

    def _is_clean(self, text: str) -> bool:
        if not text.isascii():
            return False
        if len(text) <= _WINDOW:
            return not text.encode().translate(None, self._allowed)
        windows = (text[start : start + _WINDOW] for start in range(0, len(text), _WINDOW))
        return not any(window.encode().translate(None, self._allowed) for window in windows)

    def _refusal(self, odd: Counter[str]) -> SequenceError:
        num = odd.total()
        name = "DNA" if self.kind == "dna" else "protein"
        listed = ", ".join(f"{letter!r} ({count})" for letter, count in odd.most_common(_NUM_LISTED))
        more = ", ..." if len(odd) > _NUM_LISTED else ""
        hint = (
            f'policy "drop" removes such letters, "mask" turns them into {self.unknown}, "skip" sets the record aside'
        )
        if self.kind == "dna" and set(odd) <= set(PROTEIN.letters):
            hint += "; is this protein?"
        letters = "letter" if num == 1 else "letters"
        return SequenceError(f"{num:,} {letters} outside the {name} alphabet: {listed}{more}", hint=hint)


DNA = Alphabet(
    kind="dna",
    letters="ACGT",
    # IUPAC-IUB 1984, Nucleic Acids Research 13:3021.
    ambiguity={
        "R": "AG", "Y": "CT", "S": "CG", "W": "AT", "K": "GT", "M": "AC",
        "B": "CGT", "D": "AGT", "H": "ACT", "V": "ACG", "N": "ACGT",
    },
    unknown="N",
)  # fmt: skip
PROTEIN = Alphabet(
    kind="protein",
    letters="ACDEFGHIKLMNPQRSTVWY",
    ambiguity={"B": "DN", "Z": "EQ", "J": "IL", "X": "ACDEFGHIKLMNPQRSTVWY", "U": "C", "O": "K"},
    unknown="X",
)
ALPHABETS: dict[Kind, Alphabet] = {"dna": DNA, "protein": PROTEIN}

_COMPLEMENT = str.maketrans("ACGTRYSWKMBDHVN", "TGCAYRSWMKVHDBN")
# The standard genetic code (NCBI table 1), codons in the order TTT, TTC, TTA, TTG, TCT, ...
_RESIDUES = "FFLLSSSSYY**CC*WLLLLPPPPHHQQRRRRIIIMTTTTNNKKSSRRVVVVAAAADDEEGGGG"
_CODONS = dict(zip((a + b + c for a in "TCAG" for b in "TCAG" for c in "TCAG"), _RESIDUES, strict=True))


def _by_kind(kind: Kind) -> Alphabet:
    return ALPHABETS[kind]


def complement(dna: str) -> str:
    """The other strand, read in the same direction; ambiguity codes too.

    Raises:
        SequenceError: If `dna` is not canonical DNA.

    >>> complement("ACGTRN")
    'TGCAYN'
    """
    odd = DNA.odd_letters(dna)
    if odd:
        raise SequenceError(
            f"only canonical DNA has a complement, and this has {sorted(odd)}", hint="call DNA.clean first"
        )
    return dna.translate(_COMPLEMENT)


def reverse_complement(dna: str) -> str:
    """The other strand, read in its own direction.

    >>> reverse_complement("AACGR")
    'YCGTT'
    """
    return complement(dna)[::-1]


def translate(dna: str) -> str:
    """The protein that canonical DNA codes for from its first letter on, by the standard code.

    A stop is ``*``, a codon with an ambiguity code is X, one or two letters left at the end are ignored.

    >>> translate("ATGAARTGGTAAC")
    'MXW*'
    """
    return "".join([_CODONS.get(dna[start : start + 3], "X") for start in range(0, len(dna) - 2, 3)])
