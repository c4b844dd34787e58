"""What a tokenizer encodes: text, and sequences in it as typed spans."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from llama_gene.sequences.alphabet import Kind
from llama_gene.vocabulary.normalizer import KINDS, close_tag, open_tag

_TAG = re.compile("<(?=/?(?:" + "|".join(KINDS) + ")>)")


@dataclass(frozen=True, slots=True)
class Span:
    """A sequence inside typed text.

    Args:
        kind: ``"dna"`` or ``"protein"``.
        sequence: Its letters.
    """

    kind: Kind
    sequence: str


def render(parts: Sequence[str | Span]) -> str:
    """The typed text of `parts`.

    >>> render(["Is this a promoter? ", Span("dna", "TATAAA"), " Answer:"])
    'Is this a promoter? <dna>TATAAA</dna> Answer:'
    """
    return "".join(
        part if isinstance(part, str) else open_tag(part.kind) + part.sequence + close_tag(part.kind) for part in parts
    )


def neutralise(text: str) -> tuple[str, int]:
    """Make literal tags in text from outside harmless, by a space after the bracket.

    Returns:
        The text, and how many tags there were.

    >>> neutralise("<protein><name>p53</name></protein>")
    ('< protein><name>p53</name>< /protein>', 2)
    """
    return _TAG.subn("< ", text)
