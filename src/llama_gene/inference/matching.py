"""Which of a model's tasks a question in free words means, by one stated rule.

A task fits if its inputs are of the kinds of the sequences at hand, in their order. Of those that fit, the one is meant
whose question shares the most words with what was asked: the words both have, by all words that either has, at least
half of them. Words are compared in lower case, without the commonest ones; a task's question counts in each of its own
wordings, and its title and name as well. Of two tasks that fit as well, none is meant.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from llama_gene.sequences.alphabet import Kind
from llama_gene.tasks.task import Task

LEAST_SHARED = 0.5

_WORD = re.compile(r"[^\W_]+(?:-[^\W_]+)*")
_COMMON = frozenset(
    """
    a an and are as at be by can could do does for from how i in is it me my of on or please say so tell than that the
    then there these this those to was what which will with you your sequence sequences dna rna protein
    """.split()  # noqa: SIM905 - a list of sixty quoted words is nothing to read
)


@dataclass(frozen=True, slots=True)
class Match:
    """A task that was meant.

    Attributes:
        task: The task.
        shared: The share of words that the question and the task have in common, 0 to 1.
    """

    task: Task
    shared: float


def words_of(text: str) -> frozenset[str]:
    """The words of a text that say something.

    >>> sorted(words_of("Is there a TATA-box in this sequence?"))
    ['tata-box']
    """
    return frozenset(word.lower() for word in _WORD.findall(text)) - _COMMON


def match_task(question: str, kinds: Sequence[Kind], tasks: Iterable[Task]) -> Match | None:
    """The task that is meant by a question about sequences of these kinds; None if it is not clear."""
    asked = words_of(question)
    fitting = [task for task in tasks if [part.kind for part in task.inputs] == list(kinds)]
    found = sorted(((_shared(asked, task), task.name, task) for task in fitting), reverse=True)
    if not found or found[0][0] < LEAST_SHARED or (len(found) > 1 and found[1][0] == found[0][0]):
        return None
    return Match(found[0][2], found[0][0])


def _shared(asked: frozenset[str], task: Task) -> float:
    ways = (task.question, *task.paraphrases, task.title, task.name.replace("_", " "))
    return max(len(asked & words) / len(asked | words) if asked else 0.0 for words in map(words_of, ways))
