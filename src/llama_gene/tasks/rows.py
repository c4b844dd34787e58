"""The rows of a task's split: read, checked, and drawn down to a cap."""

from collections.abc import Iterator, Mapping
from functools import cached_property
from itertools import compress
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from llama_gene.config import Contradictions
from llama_gene.errors import TaskError
from llama_gene.files import hash_file
from llama_gene.sequences.alphabet import Policy
from llama_gene.sequences.read import Reject
from llama_gene.tasks.convert import read_examples
from llama_gene.tasks.task import Example, Task


class RowsToScore(Protocol):
    """Labelled rows of a task from one file, for a score or a baseline: `LoadedRows`, or those of a file of answers."""

    @property
    def path(self) -> Path:
        """The file."""

    @property
    def sha256(self) -> str:
        """Its hash."""

    @property
    def examples(self) -> tuple[Example, ...]:
        """The rows, each with its answer."""

    @property
    def num_available(self) -> int:
        """Rows in the file that hold."""

    @property
    def rejects(self) -> tuple[Reject, ...]:
        """Rows that were set aside."""

    @property
    def num_clipped(self) -> int:
        """Rows whose number lies outside the grid of answers."""


class LoadedRows:
    """The rows of one file that hold. They are read again for each pass, so no more than one is in memory.

    Args:
        task: Whose rows they are.
        path: The table.
        cap: At most so many rows are drawn; None for all.
        seed: What they are drawn by.
        bad_letters: What letters outside the alphabet get.
        contradictions: Whether rows stay whose sequences come with another answer, too. Numbers never contradict each
            other: they are measurements.

    Attributes:
        num_available: Rows in the file that hold.
        rejects: Rows that were set aside.
        num_duplicates: Rows that hold whose sequences and answer came before.
        num_contradicting: Rows that hold whose sequences come with another answer, too.
        sha256: The file's hash.

    Raises:
        FormatError: The file is no table, or lacks a column.
        TaskError: No row holds.
    """

    def __init__(
        self,
        task: Task,
        path: Path,
        *,
        cap: int | None,
        seed: int,
        bad_letters: Policy,
        contradictions: Contradictions,
    ) -> None:
        self.task, self.path, self.cap, self.seed = task, path, cap, seed
        self.bad_letters, self.contradictions = bad_letters, contradictions
        found: list[Reject] = []
        # By hash: a few bytes a row, however long the sequences are.
        rows = [(hash(example.sequences), hash(example.answer)) for example in self._read(found)]
        self.rejects, self.sha256 = tuple(found), hash_file(path)
        self.num_available = len(rows)
        if not rows:
            first = f"; the first of {len(found)} set aside: {found[0].reason}" if found else ""
            raise TaskError(f"no row holds for task {task.name!r}{first}", where=path)
        contradicting = _contradicting(rows) if task.kind != "regression" else np.zeros(len(rows), bool)
        self.num_duplicates = len(rows) - len(set(rows))
        self.num_contradicting = int(contradicting.sum())
        self._kept = self._choose(contradicting)

    def _read(self, rejects: list[Reject]) -> Iterator[Example]:
        return read_examples(self.task, self.path, policy=self.bad_letters, on_reject=rejects.append)

    def _choose(self, contradicting: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Which of the rows that hold are drawn."""
        kept = ~contradicting if self.contradictions == "drop" else np.ones_like(contradicting)
        if not kept.any():
            problem = f"every row for task {self.task.name!r} contradicts another: the same sequences, another answer"
            raise TaskError(problem, where=self.path, hint='mend the labels, or set tasks.contradictions = "keep"')
        if self.cap is not None and self.cap < kept.sum():
            rows = np.flatnonzero(kept)
            kept = np.zeros_like(kept)
            kept[rows[self._draw(len(rows), self.cap)]] = True
        return kept

    def _draw(self, among: int, num: int) -> NDArray[np.int64]:
        return np.random.default_rng(self.seed).permutation(among)[:num]

    def __len__(self) -> int:
        return int(self._kept.sum())

    def __iter__(self) -> Iterator[Example]:
        return (example for example, kept in zip(self._read([]), self._kept, strict=True) if kept)

    @cached_property
    def examples(self) -> tuple[Example, ...]:
        """All rows drawn, in the order of the file, in memory."""
        return tuple(self)

    def drawn(self, num: int) -> tuple[Example, ...]:
        """At most `num` of these rows, drawn by the seed, in the order of the file."""
        chosen = np.zeros(len(self), bool)
        chosen[self._draw(len(self), num)] = True
        return tuple(compress(self, chosen))

    @cached_property
    def num_clipped(self) -> int:
        """Rows drawn whose number lies outside the grid of answers, so that its end is their answer."""
        if self.task.kind != "regression":
            return 0
        return sum(example.value is not None and self.task.is_clipped(example.value) for example in self)

    @property
    def record(self) -> dict[str, Any]:
        """What it takes to draw the same rows again, and what is said of them."""
        return {
            "path": str(self.path.resolve()),
            "sha256": self.sha256,
            "num_rows": len(self),
            "num_available": self.num_available,
            "num_rejected": len(self.rejects),
            "num_clipped": self.num_clipped,
            "num_duplicates": self.num_duplicates,
            "num_contradicting": self.num_contradicting,
            "cap": self.cap,
            "seed": self.seed,
            "bad_letters": self.bad_letters,
            "contradictions": self.contradictions,
        }


def _contradicting(rows: list[tuple[int, int]]) -> NDArray[np.bool_]:
    """Which rows, as hashes of sequences and answer, have the sequences of another row and not its answer."""
    answers: dict[int, int | None] = {}
    for sequences, answer in rows:
        if answers.setdefault(sequences, answer) != answer:
            answers[sequences] = None
    return np.array([answers[sequences] is None for sequences, _ in rows])


def load_rows(
    task: Task,
    path: Path,
    *,
    cap: int | None = None,
    seed: int = 0,
    bad_letters: Policy = "refuse",
    contradictions: Contradictions = "keep",
) -> LoadedRows:
    """Check a labelled table and draw at most `cap` of its rows; see `LoadedRows`.

    A row that does not hold is set aside with its reason; a table of which nothing is left is an error.
    """
    return LoadedRows(task, path, cap=cap, seed=seed, bad_letters=bad_letters, contradictions=contradictions)


def load_training_rows(task: Task, record: Mapping[str, Any]) -> LoadedRows | None:
    """The rows that a model was tuned on, drawn again from its record; None if the file is gone or has changed."""
    path = Path(record["path"])
    if not path.is_file() or hash_file(path) != record["sha256"]:
        return None
    names = ("cap", "seed", "bad_letters", "contradictions")
    return load_rows(task, path, **{name: record[name] for name in names})
