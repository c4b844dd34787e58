"""Rows that must stand on one side of a split: single-linkage clusters by the rule of `leakage`."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from llama_gene.config import LeakageSettings
from llama_gene.evaluation.leakage.containment import ContainmentIndex, Integers, canonical_strand, parts, verify
from llama_gene.sequences.alphabet import Kind
from llama_gene.tasks.task import Example


def cluster_rows(rows: Iterable[Example], kinds: Sequence[Kind], rule: LeakageSettings) -> Integers:
    """Put rows together of which one would leak the other, and rows of which one would leak the next one, and so on.

    Rows of several sequences are together as soon as one sequence of each is: a partner stands on one side only.

    Args:
        rows: The rows; their sequences are kept in memory.
        kinds: What each sequence of a row is.
        rule: When a sequence is in the cluster of another one: if either would be leaked by the other.

    Returns:
        int64[num rows]: the number of the cluster of each.

    >>> rows = [Example("a", ("MKVLAAGW",)), Example("b", ("WWFFYYWW",)), Example("c", ("MKVLAAGF",))]
    >>> cluster_rows(rows, ["protein"], LeakageSettings(protein_k=3)).tolist()
    [0, 1, 0]
    """
    numbers: dict[tuple[Kind, str], int] = {}
    # On one strand, so that a sequence and its reverse complement are the same from the start.
    columns = np.array(
        [
            [
                numbers.setdefault((kind, canonical_strand(kind, sequence)), len(numbers))
                for kind, sequence in zip(kinds, row.sequences, strict=True)
            ]
            for row in rows
        ],
        dtype=np.int64,
    ).reshape(-1, len(kinds))
    clusters = _Clusters(len(numbers))
    for kind in sorted(set(kinds)):
        own = [(number, sequence) for (one, sequence), number in numbers.items() if one == kind]
        _link(clusters, np.array([number for number, _ in own], dtype=np.int64), [text for _, text in own], kind, rule)
    for column in columns.T[1:]:
        clusters.join(columns[:, 0], column)
    return np.unique(clusters.of[columns[:, 0]], return_inverse=True)[1]


class _Clusters:
    """Things that are joined into ever larger clusters; `of` is int64[num], the cluster of each."""

    def __init__(self, num: int) -> None:
        self.of: Integers = np.arange(num)

    def join(self, some: Integers, others: Integers) -> None:
        from scipy.sparse import coo_matrix  # type: ignore[import-untyped]
        from scipy.sparse.csgraph import connected_components  # type: ignore[import-untyped]

        num = len(self.of)
        edges = coo_matrix((np.ones(len(some), dtype=np.int8), (self.of[some], self.of[others])), shape=(num, num))
        self.of = connected_components(edges, directed=False)[1].astype(np.int64)[self.of]


def _link(clusters: _Clusters, numbers: Integers, sequences: Sequence[str], kind: Kind, rule: LeakageSettings) -> None:
    """Join the clusters of distinct sequences, `numbers` being theirs in `clusters`, of which one holds the other."""
    index = ContainmentIndex(sequences, kind, rule)
    for part in parts(np.array([len(sequence) for sequence in sequences], dtype=np.int64)):
        block, theirs = index.block(sequences[part]), numbers[part]

        def shares(mine: Integers, others: Integers) -> NDArray[np.float64]:
            return index.shares(block, mine, others)  # noqa: B023 - called within this turn only

        def is_open(mine: Integers, others: Integers) -> NDArray[np.bool_]:
            apart: NDArray[np.bool_] = clusters.of[numbers[mine]] != clusters.of[theirs[others]]  # noqa: B023
            return apart

        for mine, others in index.candidates(block):
            still = is_open(mine, others)
            for some, other, _ in verify(mine[still], others[still], shares, is_open):
                if len(some):
                    clusters.join(numbers[some], theirs[other])
