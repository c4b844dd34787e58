"""The rows of a task's split: read, checked, and drawn down to a cap."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from llama_gene.errors import TaskError
from llama_gene.files import hash_file
from llama_gene.sequences.alphabet import Policy
from llama_gene.sequences.read import Reject
from llama_gene.tasks.convert import read_examples
from llama_gene.tasks.task import Example, Task


@dataclass(frozen=True)
class LoadedRows:
    """The rows of one file.

    Attributes:
        examples: The rows drawn, in the order of the file.
        num_available: Rows in the file that hold.
        rejects: Rows that were set aside.
        num_clipped: Rows drawn whose number lies outside the grid of answers, so that its end is their answer.
        path: The file.
        sha256: Its hash.
        cap: At most so many rows were drawn; None for all.
        seed: What they were drawn by.
        bad_letters: What letters outside the alphabet got.
    """

    examples: tuple[Example, ...]
    num_available: int
    rejects: tuple[Reject, ...]
    num_clipped: int
    path: Path
    sha256: str
    cap: int | None
    seed: int
    bad_letters: Policy

    @property
    def record(self) -> dict[str, Any]:
        """What it takes to draw the same rows again, and what is said of them."""
        return {
            "path": str(self.path.resolve()),
            "sha256": self.sha256,
            "num_rows": len(self.examples),
            "num_available": self.num_available,
            "num_rejected": len(self.rejects),
            "num_clipped": self.num_clipped,
            "cap": self.cap,
            "seed": self.seed,
            "bad_letters": self.bad_letters,
        }


def load_rows(
    task: Task, path: Path, *, cap: int | None = None, seed: int = 0, bad_letters: Policy = "refuse"
) -> LoadedRows:
    """Read a labelled table and draw at most `cap` of its rows.

    A row that does not hold is set aside with its reason; a table of which nothing is left is an error.

    Raises:
        FormatError: The file is no table, or lacks a column.
        TaskError: No row holds.
    """
    rejects: list[Reject] = []
    examples = list(read_examples(task, path, policy=bad_letters, on_reject=rejects.append))
    if not examples:
        first = f"; the first of {len(rejects)} set aside: {rejects[0].reason}" if rejects else ""
        raise TaskError(f"no row holds for task {task.name!r}{first}", where=path)
    drawn = examples
    if cap is not None and cap < len(examples):
        chosen = np.random.default_rng(seed).permutation(len(examples))[:cap]
        drawn = [examples[row] for row in sorted(chosen.tolist())]
    num_clipped = sum(example.value is not None and task.is_clipped(example.value) for example in drawn)
    return LoadedRows(
        tuple(drawn), len(examples), tuple(rejects), num_clipped, path, hash_file(path), cap, seed, bad_letters
    )


def load_training_rows(task: Task, record: Mapping[str, Any]) -> LoadedRows | None:
    """The rows that a model was tuned on, drawn again from its record; None if the file is gone or has changed."""
    path = Path(record["path"])
    if not path.is_file() or hash_file(path) != record["sha256"]:
        return None
    return load_rows(task, path, cap=record["cap"], seed=record["seed"], bad_letters=record["bad_letters"])
