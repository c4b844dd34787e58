r"""Typed spans as rules of a plain ``tokenizer.json``: letters inside ``<dna>...</dna>`` get code points of their own.

Inside a span every letter is mapped to a private code point, 26 for DNA and 26 for protein, all in one block of 64. The
alphabets are then disjoint from each other and from every text, so no merge of one language can touch another.

The mapping is a list of ``Replace`` normalizers with Oniguruma regexes. The trick is ``\G``: it holds where the
previous match of the same rule ended, so ``(?:<dna>|\G(?!\A))[any other letter]*+\KX`` walks along one span from its
opening tag, from X to X, and stops at the first character that is no letter. Rules are written as the dictionaries
`tokenizers` saves.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from string import ascii_uppercase
from typing import Any, Final

from llama_gene.errors import SequenceError
from llama_gene.sequences.alphabet import Kind

# The order is part of the format: DNA has the first 26 code points of a block, protein the next 26.
KINDS: Final[tuple[Kind, ...]] = ("dna", "protein")
LETTERS: Final = ascii_uppercase
NUM_LETTERS: Final = len(LETTERS)
BLOCK_SIZE: Final = 64
FIRST_PRIVATE: Final = 0xE000
LAST_PRIVATE: Final = 0xF8FF

# What Python's str.split() takes for white space, so that `bare_letters` and the regexes agree on every character.
_SPACE = r"\x09-\x0D\x1C-\x20\x{85}\x{A0}\x{1680}\x{2000}-\x{200A}\x{2028}\x{2029}\x{202F}\x{205F}\x{3000}"
_UPPER = {ord(letter.lower()): letter for letter in LETTERS}
_BARE: Final[dict[Kind, dict[int, str]]] = {"dna": _UPPER | {ord("u"): "T", ord("U"): "T"}, "protein": _UPPER}

Rule = dict[str, Any]


def open_tag(kind: Kind) -> str:
    """The tag a span begins with."""
    return f"<{kind}>"


def close_tag(kind: Kind) -> str:
    """The tag a span ends with."""
    return f"</{kind}>"


def bare_letters(kind: Kind, sequence: str) -> str | None:
    """The letters the normalizer sees in a closed span around `sequence`; None if something in it is no letter.

    >>> bare_letters("dna", "acg uN"), bare_letters("protein", "MK-V")
    ('ACGTN', None)
    """
    letters = "".join(sequence.split()).translate(_BARE[kind])
    return letters if letters.isascii() and (letters.isalpha() or not letters) else None


def require_letters(kind: Kind, sequence: str) -> str:
    """`bare_letters`, or an error that names the first character that is no letter.

    Raises:
        SequenceError: For anything but letters and white space.
    """
    letters = bare_letters(kind, sequence)
    if letters is None:
        odd = next(c for c in sequence if not (c.isspace() or (c.isascii() and c.isalpha())))
        where = f"position {sequence.index(odd) + 1:,} of a {kind} sequence of {len(sequence):,}"
        hint = "clean it first: ALPHABETS[kind].clean(sequence, policy)"
        raise SequenceError(f"{odd!r} is not a letter", where=where, hint=hint)
    return letters


@cache
def byte_symbols() -> tuple[str, ...]:
    """The printable character that stands for each of the 256 bytes in a byte-level vocabulary (GPT-2's table)."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    symbols = {byte: chr(byte) for byte in printable}
    for byte in range(256):
        # The others, in order, get the code points from 256 on.
        symbols.setdefault(byte, chr(256 + byte - sum(p < byte for p in printable)))
    return tuple(symbols[byte] for byte in range(256))


@dataclass(frozen=True, slots=True)
class Block:
    r"""Sixty-four private code points, and how their characters are written in one base's vocabulary.

    Args:
        start: The first code point, a multiple of 64 from U+E000 on. In UTF-8 the characters of a block differ in the
            third byte alone, so a byte-level base needs one merge for the first two bytes, and one for each letter.
        byte_level: Whether the base writes a character as its bytes.

    >>> Block(0xE000, byte_level=False).write("dna", "AC") == "\ue000\ue002"
    True
    >>> Block(0xE000, byte_level=True).read("dna", Block(0xE000, byte_level=True).write("dna", "ACGT"))
    'ACGT'
    """

    start: int
    byte_level: bool

    def private(self, kind: Kind) -> str:
        """The 26 private characters of `kind`, those of A to Z."""
        first = self.start + NUM_LETTERS * KINDS.index(kind)
        return "".join(map(chr, range(first, first + NUM_LETTERS)))

    def symbols(self, kind: Kind) -> tuple[str, ...]:
        """What A to Z of `kind` look like in the vocabulary: one character, or the symbols of three bytes."""
        return _symbols(self, kind)

    def write(self, kind: Kind, piece: str) -> str:
        """The token of a piece of upper-case letters."""
        return piece.translate(_writing(self, kind))

    def read(self, kind: Kind, token: str) -> str:
        """The letters of a token that `write` made; other characters come back as they are."""
        return (token[2::3] if self.byte_level else token).translate(_reading(self, kind))

    def guard(self) -> Rule:
        """The rule that comes first: private characters already in the text cannot pass for letters of a span."""
        return _replace_regex(f"[{_code(self.start)}-{_code(self.start + BLOCK_SIZE - 1)}]", "\ufffd")

    def span_rules(self, kind: Kind) -> list[Rule]:
        """The rules that map the letters of one kind of span.

        White space goes first, and only where letters and white space alone reach up to the span's own closing tag, so
        a stray literal ``<dna>`` leaves prose alone. Then one rule a letter, upper and lower case; U is T in DNA.
        """
        private = self.private(kind)
        mapped = f"{_code(ord(private[0]))}-{_code(ord(private[-1]))}"
        closed = rf"{open_tag(kind)}(?=[A-Za-z{_SPACE}]*+{close_tag(kind)})"
        rules = [_replace_regex(rf"(?:{closed}|\G(?!\A))[A-Za-z]*+\K[{_SPACE}]+", "")]
        for letter, character in zip(LETTERS, private, strict=True):
            if letter == "U" and kind == "dna":
                continue
            same = "TU" if letter == "T" and kind == "dna" else letter
            others = "".join(other for other in LETTERS if other not in same)
            skipped = f"[{others}{others.lower()}{mapped}]*+"
            rules.append(_replace_regex(rf"(?:{open_tag(kind)}|\G(?!\A)){skipped}\K[{same}{same.lower()}]", character))
        return rules

    def decoder_rules(self, kind: Kind) -> list[Rule]:
        """The rules that turn private characters back into letters."""
        letters = LETTERS.replace("U", "T") if kind == "dna" else LETTERS
        return [
            {"type": "Replace", "pattern": {"String": character}, "content": letter}
            for character, letter in zip(self.private(kind), letters, strict=True)
        ]


@cache
def _symbols(block: Block, kind: Kind) -> tuple[str, ...]:
    private = block.private(kind)
    if not block.byte_level:
        return tuple(private)
    table = byte_symbols()
    return tuple("".join(table[byte] for byte in character.encode()) for character in private)


@cache
def _writing(block: Block, kind: Kind) -> dict[int, str]:
    return dict(zip(map(ord, LETTERS), block.symbols(kind), strict=True))


@cache
def _reading(block: Block, kind: Kind) -> dict[int, str]:
    # Of the three byte symbols the last one tells the letters apart.
    return {ord(symbol[-1]): letter for symbol, letter in zip(block.symbols(kind), LETTERS, strict=True)}


def unprefix_rule(kind: Kind, prefix: str) -> Rule:
    """The rule that takes back the `prefix` a base puts before every text, where a tag of ours begins the text."""
    return _replace_regex(rf"\A{prefix}(?=</?{kind}>)", "")


def drop_doubled_prefix(prefix: str) -> Rule:
    """The rule that takes back the `prefix` where the text begins with one, or with a space, anyway."""
    return _replace_regex(rf"\A{prefix}(?=[ {prefix}])", "")


def num_span_rules(kinds: Sequence[Kind]) -> int:
    """How many normalizers at the head of an extended tokenizer are ours: the guard, and each kind's."""
    return 1 + sum(NUM_LETTERS + (kind != "dna") for kind in kinds)


def _replace_regex(regex: str, content: str) -> Rule:
    return {"type": "Replace", "pattern": {"Regex": regex}, "content": content}


def _code(point: int) -> str:
    return rf"\x{{{point:X}}}"
