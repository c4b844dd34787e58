"""Candidate answers as a trie: what they begin with alike is scored once."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class AnswerTrie:
    """Candidate answers as a trie.

    Attributes:
        tokens: The token of each inner node, parents before children.
        parents: The inner node above each inner node; -1 is the end of the prompt.
        depths: Depth of each inner node; 1 stands right after the prompt.
        edges: (inner node or -1, token) of every step from a node to a child.
        paths: For each candidate, the indices of its edges.
    """

    tokens: tuple[int, ...]
    parents: tuple[int, ...]
    depths: tuple[int, ...]
    edges: tuple[tuple[int, int], ...]
    paths: tuple[tuple[int, ...], ...]

    @cached_property
    def num_tokens(self) -> NDArray[np.int64]:
        """How many tokens of each candidate are scored, [num_candidates]."""
        return np.array([len(path) for path in self.paths])

    def children(self, *, of_prompt: bool) -> list[int]:
        """The tokens that follow the prompt, or any inner node; in order."""
        return sorted({token for node, token in self.edges if (node < 0) == of_prompt})

    @cached_property
    def branches(self) -> list[list[int]]:
        """The inner nodes from the prompt's end to each inner node that has none below it."""
        above = set(self.parents)
        found = []
        for node in range(len(self.tokens)):
            if node not in above:
                branch = [node]
                while (parent := self.parents[branch[0]]) >= 0:
                    branch.insert(0, parent)
                found.append(branch)
        return found


def build_trie(candidates: Sequence[Sequence[int]]) -> AnswerTrie:
    """The trie of candidates that each end with the end of sequence.

    The end of sequence is left out where no candidate begins another one: there it decides nothing, and saves a pass.

    Raises:
        ValueError: Two candidates are equal, or one is empty.

    >>> build_trie([[5, 0], [7, 0]]).tokens
    ()
    >>> build_trie([[5, 0], [5, 7, 0]]).edges
    ((-1, 5), (0, 0), (0, 7), (1, 0))
    """
    answers = [tuple(candidate) for candidate in candidates]
    if len(set(answers)) < len(answers) or not all(len(answer) > 1 for answer in answers):
        raise ValueError("candidates must differ, and hold a token before the end of sequence")
    bare = [answer[:-1] for answer in answers]
    if not any(longer[: len(shorter)] == shorter for shorter in bare for longer in bare if longer is not shorter):
        answers = bare
    nodes: dict[tuple[int, ...], int] = {(): -1}
    for answer in answers:
        for length in range(1, len(answer)):
            nodes.setdefault(answer[:length], len(nodes) - 1)
    edges: dict[tuple[int, int], int] = {}
    paths = []
    for answer in answers:
        steps = [(nodes[answer[:place]], token) for place, token in enumerate(answer)]
        paths.append(tuple(edges.setdefault(step, len(edges)) for step in steps))
    inner = list(nodes)[1:]
    return AnswerTrie(
        tokens=tuple(prefix[-1] for prefix in inner),
        parents=tuple(nodes[prefix[:-1]] for prefix in inner),
        depths=tuple(len(prefix) for prefix in inner),
        edges=tuple(edges),
        paths=tuple(paths),
    )
