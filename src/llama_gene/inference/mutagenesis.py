"""In-silico mutagenesis: what a model answers when one letter is another."""

from collections.abc import Callable, Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from llama_gene.inference.predictor import Prediction
from llama_gene.sequences.alphabet import ALPHABETS, Kind
from llama_gene.tasks.task import Example

Ask = Callable[[Iterable[Example]], Iterator[Prediction]]


def mutate(
    ask: Ask,
    example: Example,
    number: int,
    kind: Kind,
    window: range,
    output: Callable[[Prediction], float],
) -> NDArray[np.float64]:
    """How an output changes with every substitution of every letter of a window.

    Args:
        ask: Answers examples, in their order.
        example: What is changed.
        number: Which of its sequences.
        kind: What the letters of that sequence are.
        window: Which of its letters.
        output: The number that is looked at.

    Returns:
        float64[len(window), letters of the alphabet]: the output with that letter there, less that of the example; 0
        for the letter that is there.
    """
    letters = ALPHABETS[kind].letters
    sequence = example.sequences[number]
    changes = [
        (place, column) for place in window for column, letter in enumerate(letters) if letter != sequence[place]
    ]

    def variants() -> Iterator[Example]:
        yield example
        for place, column in changes:
            changed = sequence[:place] + letters[column] + sequence[place + 1 :]
            yield Example(example.id, (*example.sequences[:number], changed, *example.sequences[number + 1 :]))

    answers = ask(variants())
    before = output(next(answers))
    found = np.zeros((len(window), len(letters)))
    for (place, column), answer in zip(changes, answers, strict=True):
        found[place - window.start, column] = output(answer) - before
    return found


def effects_of_letters(sequence: str, kind: Kind, changes: NDArray[np.float64]) -> NDArray[np.float64]:
    """What each letter does: the output with it, less the mean of the outputs with each other letter.

    Args:
        sequence: The letters.
        kind: What they are.
        changes: As `mutate` finds them, [letters, alphabet].

    >>> effects_of_letters("AN", "dna", np.array([[0.0, -3.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0]])).tolist()
    [1.0, -1.0]
    """
    alphabet = ALPHABETS[kind].letters
    num_others = np.array([len(alphabet) - (letter in alphabet) for letter in sequence])
    effects: NDArray[np.float64] = 0.0 - changes.sum(axis=1) / num_others
    return effects
