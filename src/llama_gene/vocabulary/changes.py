"""What an extension changes: English against its base, sequences against the vocabularies it was made of."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tokenizers import Tokenizer

from llama_gene.vocabulary.measure import NUM_EXAMPLES, SPACE, Pieces

_CAPS = re.compile(r"\b[A-Z]{2,}\b")


@dataclass(frozen=True, slots=True)
class Agreement:
    """Whether an extended tokenizer cuts sequences as the learned vocabulary in it does.

    Args:
        num_lines: Lines compared.
        num_kept: Lines cut alike.
        num_tokens: Tokens of the extended tokenizer.
        num_own: Tokens of the learned vocabulary.
    """

    num_lines: int
    num_kept: int
    num_tokens: int
    num_own: int

    @property
    def extra_tokens(self) -> float:
        """How many more tokens it takes, as a share."""
        return self.num_tokens / self.num_own - 1


def spelled(vocabulary: Pieces, lines: Sequence[str]) -> list[list[str]]:
    """The pieces of each line, without the space that SentencePiece puts before it."""
    pieces = [piece.lstrip(SPACE) for piece in vocabulary.pieces]
    return [[pieces[index] for index in ids if pieces[index]] for ids in vocabulary.encode_batch(lines)]


def agreement(cut: Sequence[Sequence[str]], own: Sequence[Sequence[str]]) -> Agreement:
    """Compare lines as pieces.

    Args:
        cut: The pieces of each line by the extended tokenizer.
        own: The same by the learned vocabulary.

    >>> agreement([["AC", "G"], ["T"]], [["ACG"], ["T"]])
    Agreement(num_lines=2, num_kept=1, num_tokens=3, num_own=2)
    """
    kept = sum(list(a) == list(b) for a, b in zip(cut, own, strict=True))
    return Agreement(len(cut), kept, sum(map(len, cut)), sum(map(len, own)))


@dataclass(frozen=True, slots=True)
class Example:
    """A text that two tokenizers cut differently.

    Args:
        text: The text.
        base: Its tokens by the base.
        ours: Its tokens by the other.
    """

    text: str
    base: tuple[str, ...]
    ours: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class EnglishMeasure:
    """A tokenizer on plain text, and what it changes against its base; without a base the counts of changes are None.

    Args:
        num_lines: Lines of text.
        num_characters: Their characters.
        num_tokens: Their tokens.
        num_base: Their tokens by the base.
        num_changed: Lines with other ids than the base's.
        num_caps: Lines with a word of two or more capitals.
        num_caps_changed: Of those, how many changed.
        num_words: Different words of capitals.
        num_words_changed: Of those, how many change where they stand alone.
        examples: Some such words, the most frequent first.
    """

    num_lines: int
    num_characters: int
    num_tokens: int
    num_base: int | None
    num_changed: int | None
    num_caps: int
    num_caps_changed: int | None
    num_words: int
    num_words_changed: int | None
    examples: tuple[Example, ...]

    @property
    def characters_per_token(self) -> float:
        """How long a token is on average."""
        return self.num_characters / self.num_tokens


def measure_english(lines: Sequence[str], tokenizer: Tokenizer, base: Tokenizer | None) -> EnglishMeasure:
    """Encode lines of text with a tokenizer and, if given, with the base that it must not differ from."""
    capitals = Counter(word for line in lines for word in _CAPS.findall(line))
    words = [word for word, _ in capitals.most_common()]
    has_caps = [bool(_CAPS.search(line)) for line in lines]
    ours = _encode(tokenizer, lines)
    num_tokens = sum(map(len, ours))
    if base is None:
        counts = (None, None, sum(has_caps), None, len(words), None, ())
        return EnglishMeasure(len(lines), sum(map(len, lines)), num_tokens, *counts)
    theirs = _encode(base, lines)
    changed = [a != b for a, b in zip(ours, theirs, strict=True)]
    pairs = zip(words, _encode(base, words), _encode(tokenizer, words), strict=True)
    differ = [(word, a, b) for word, a, b in pairs if a != b]
    return EnglishMeasure(
        num_lines=len(lines),
        num_characters=sum(map(len, lines)),
        num_tokens=num_tokens,
        num_base=sum(map(len, theirs)),
        num_changed=sum(changed),
        num_caps=sum(has_caps),
        num_caps_changed=sum(a and b for a, b in zip(changed, has_caps, strict=True)),
        num_words=len(words),
        num_words_changed=len(differ),
        examples=tuple(Example(word, _names(base, a), _names(tokenizer, b)) for word, a, b in differ[:NUM_EXAMPLES]),
    )


def _encode(tokenizer: Tokenizer, texts: Sequence[str]) -> list[list[int]]:
    # `encode_batch` keeps offsets and the tokens' names, too, which costs most of its time.
    return [encoding.ids for encoding in tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)]


def _names(tokenizer: Tokenizer, ids: Sequence[int]) -> tuple[str, ...]:
    return tuple(tokenizer.id_to_token(index) or "" for index in ids)
