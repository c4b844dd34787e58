"""Which letters of an example a model sees, and at which tokens of its prompt."""

from dataclasses import dataclass

from llama_gene.sequences.alphabet import Kind
from llama_gene.tasks.task import Example
from llama_gene.tasks.template import PromptEncoder
from llama_gene.tokenizer import GeneTokenizer


@dataclass(frozen=True, slots=True)
class SeenSequence:
    """What a model sees of one sequence.

    Attributes:
        role: Its name in the task.
        kind: What its letters are.
        sequence: All of its letters.
        first: The first one seen; more than 0 where the sequence was cut to fit.
        places: Where its tokens stand in the prompt.
        sizes: The letters of each token.
    """

    role: str
    kind: Kind
    sequence: str
    first: int
    places: range
    sizes: tuple[int, ...]

    @property
    def seen(self) -> range:
        """The letters seen."""
        return range(self.first, self.first + sum(self.sizes))


def locate_letters(
    encoder: PromptEncoder, tokenizer: GeneTokenizer, example: Example
) -> tuple[list[int], list[SeenSequence]]:
    """The prompt of an example, as `PromptEncoder.encode` makes it, and where in it its sequences stand.

    Raises:
        TaskError: As for `PromptEncoder.encode`.
    """
    (spelled,) = encoder.spell([Example(example.id, example.sequences)])
    sizes_of = tokenizer.letters_of()
    first, *others = encoder.frames[0]
    prompt, found = list(first), []
    parts = zip(encoder.task.inputs, example.sequences, spelled.strands[0], others, strict=True)
    for given, sequence, span, text in parts:
        (whole,) = tokenizer.encode_spans(given.kind, [sequence])
        before = encoder.cut_start(len(whole), len(span))
        places = range(len(prompt), len(prompt) + len(span))
        seen_from = int(sizes_of[whole[:before]].sum())
        sizes = tuple(sizes_of[span].tolist())
        found.append(SeenSequence(given.role, given.kind, sequence, seen_from, places, sizes))
        prompt += [*span.tolist(), *text]
    return prompt, found
