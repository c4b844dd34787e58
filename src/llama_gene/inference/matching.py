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


def rank_tasks(question: str, kinds: Sequence[Kind], tasks: Iterable[Task]) -> list[Match]:
    """The tasks that take sequences of these kinds and share a word with the question, the nearest first."""
    asked = words_of(question)
    fitting = [task for task in tasks if [part.kind for part in task.inputs] == list(kinds)]
    found = [Match(task, _shared(asked, task)) for task in fitting]
    return sorted((one for one in found if one.shared > 0), key=lambda one: (-one.shared, one.task.name))


def clear_match(ranked: Sequence[Match]) -> Match | None:
    """The first of `rank_tasks`, if it is meant by the rule above; None if that is not clear."""
    if not ranked or ranked[0].shared < LEAST_SHARED:
        return None
    return None if len(ranked) > 1 and ranked[1].shared == ranked[0].shared else ranked[0]


def _shared(asked: frozenset[str], task: Task) -> float:
    ways = (task.question, *task.paraphrases, task.title, task.name.replace("_", " "))
    return max(len(asked & words) / len(asked | words) if asked else 0.0 for words in map(words_of, ways))
