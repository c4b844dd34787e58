"""What a command says of the records and rows that it set aside."""

from collections import Counter

import typer

from llama_gene.sequences.read import Reject

_NUM_SHOWN = 5


class Rejects:
    """Counts what is set aside by its reason, and keeps the first few."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._first: list[str] = []

    def __call__(self, reject: Reject) -> None:
        """Count one more."""
        self._counts[reject.reason] += 1
        if len(self._counts) > 1000:  # reasons name values; many of them are no summary
            self._counts = Counter({"other reasons": self._counts.total()})
        if len(self._first) < _NUM_SHOWN:
            self._first.append(f"set aside: {reject.where or reject.id}: {reject.reason}")

    @property
    def total(self) -> int:
        """How many there were."""
        return self._counts.total()

    @property
    def summary(self) -> str:
        """The most frequent reasons."""
        return "; ".join(f"{count:,} x {reason}" for reason, count in self._counts.most_common(3))

    def tell(self) -> None:
        """Print the first ones and the most frequent reasons, on standard error."""
        for line in self._first:
            typer.echo(line, err=True)
        if self.total > len(self._first):
            typer.echo(f"{self.total:,} set aside: {self.summary}", err=True)
