"""What was found of the test rows in training: plain values."""

from collections import Counter
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from llama_gene.config import LeakageSettings

LeakKind = Literal["exact", "reverse complement", "shared k-mers"]
LEAK_KINDS: tuple[LeakKind, ...] = ("exact", "reverse complement", "shared k-mers")


@dataclass(frozen=True, slots=True)
class Leak:
    """A test row that stands in training.

    Args:
        row: Its number among the test rows, from 0.
        id: Its id.
        kind: `exact`: a training row has the same letters; `reverse complement`: it is one, in one sequence or both;
            else it shares k-mers. The first of these that holds for any training row.
        train_id: The id of the first training row for which that holds.
        share: How much of its k-mers stands there; of a pair, that of the partner which has less. 1 if they are equal.
    """

    row: int
    id: str
    kind: LeakKind
    train_id: str
    share: float


@dataclass(frozen=True, slots=True)
class Leakage:
    """What was found.

    Args:
        rule: By which rule.
        num_test: Test rows.
        num_train: Rows they were compared with.
        short: Numbers of the test rows with a sequence that has no k-mer, being too short or full of ambiguous letters.
            Only an equal sequence counts for those.
        leaks: At most one for each test row, in their order.
    """

    rule: LeakageSettings
    num_test: int
    num_train: int
    short: tuple[int, ...]
    leaks: tuple[Leak, ...]

    @property
    def is_leaked(self) -> NDArray[np.bool_]:
        """bool[num_test]: which test rows are leaked; the others are the clean rest."""
        leaked = np.zeros(self.num_test, dtype=np.bool_)
        leaked[[leak.row for leak in self.leaks]] = True
        return leaked

    @property
    def counts(self) -> dict[LeakKind, int]:
        """How many test rows are leaked in which way."""
        found = Counter(leak.kind for leak in self.leaks)
        return {kind: found[kind] for kind in LEAK_KINDS}

    @property
    def is_training_data(self) -> bool:
        """Whether every test row stands in training, letter by letter, so that nothing was held out."""
        return 0 < self.num_test == self.counts["exact"]
