"""What a model answered to each row: kept beside the report, so that two models can be compared row by row."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from llama_gene import metrics
from llama_gene.errors import FormatError
from llama_gene.evaluation.value import Value
from llama_gene.metrics import Metric, Statistic
from llama_gene.tasks.task import ANSWER_SEPARATOR

AnswerKind = Literal["classification", "regression", "multilabel", "text"]

MAX_ROWS = 20_000  # of a larger split, rows spread evenly over it are kept
_MAX_BYTES = 1 << 28
_COLUMNS = ("id", "truth", "guess", "probability", "length", "cut")

METRICS: dict[AnswerKind, dict[str, Metric]] = {
    "classification": {"mcc": metrics.mcc, "accuracy": metrics.accuracy, "macro_f1": metrics.macro_f1},
    "regression": {
        "spearman": metrics.spearman,
        "pearson": metrics.pearson,
        "r2": metrics.r2,
        "mae": metrics.mae,
    },
    "multilabel": {"micro_f1": metrics.micro_f1},
    "text": {
        "rouge_l": metrics.rouge_l,
        "exact_match": metrics.exact_match,
        "ec_f1": metrics.ec_f1,
        "ec_class_f1": metrics.ec_class_f1,
        "go_f1": metrics.go_f1,
        "enzyme_f1": metrics.enzyme_f1,
    },
}


class KeptRows(Value):
    """The file that holds the rows of a result, beside its report.

    Attributes:
        sha256: Its hash.
        n: How many rows it has.
    """

    sha256: str
    n: int


@dataclass(frozen=True)
class Outcomes:
    """Rows with their right answers and a model's.

    Args:
        kind: What an answer is.
        ids: The rows' ids.
        truth: The right answers: label names, numbers, or text, in one line each.
        guess: The model's.
        probability: Of the model's answer, [n]; NaN where it gives none.
        lengths: Letters of each row's sequences, [n].
        num_cut: Tokens left out to fit, [n].
    """

    kind: AnswerKind
    ids: Sequence[str]
    truth: Sequence[str]
    guess: Sequence[str]
    probability: NDArray[np.float64]
    lengths: NDArray[np.int64]
    num_cut: NDArray[np.int64]

    @property
    def right(self) -> NDArray[np.bool_]:
        """Whether each answer is the right one, letter by letter; bool[n]."""
        return np.array([real == said for real, said in zip(self.truth, self.guess, strict=True)])

    def statistic(self, metric: str, labels: Sequence[str] = ()) -> Statistic | None:
        """A metric of these rows; None if it cannot be told from them.

        Args:
            metric: One of the kind's `METRICS`; ``ece``; or ``auroc`` of two labels.
            labels: The names of the task's labels, in their order.
        """
        if metric in {"ece", "auroc"} and np.isnan(self.probability).any():
            return None  # answers that were written, not scored
        if metric == "ece" and self.kind == "classification":
            return metrics.ece.of(self.right, self.probability)
        if metric == "auroc" and len(labels) == 2:
            is_second = np.array([guess == labels[1] for guess in self.guess])
            second = np.where(is_second, self.probability, 1 - self.probability)
            return metrics.auroc.of(np.array([truth == labels[1] for truth in self.truth], int), second)
        known = METRICS[self.kind].get(metric)
        return None if known is None else known.of(*self._arrays(labels))

    def _arrays(self, labels: Sequence[str]) -> tuple[Any, Any]:
        """Truth and guess in the form that metrics take; which label has which number does not matter to them."""
        if self.kind == "text":
            return self.truth, self.guess
        if self.kind == "regression":
            return np.array(self.truth, dtype=float), np.array(self.guess, dtype=float)
        if self.kind == "classification":
            numbers = np.unique([*self.truth, *self.guess], return_inverse=True)[1]
            return numbers[: len(self.ids)], numbers[len(self.ids) :]
        sets = [set(answer.split(ANSWER_SEPARATOR)) for answer in (*self.truth, *self.guess)]
        flags = np.array([[name in held for name in labels] for held in sets])
        return flags[: len(self.ids)], flags[len(self.ids) :]

    def to_tsv(self) -> str:
        """The rows as a table, at most `MAX_ROWS` of them; white space in a cell becomes one space."""
        lines = ["\t".join(_COLUMNS)]
        for row in range(0, len(self.ids), -(-len(self.ids) // MAX_ROWS)):
            probability = "" if np.isnan(self.probability[row]) else f"{self.probability[row]:.6g}"
            cells = (self.ids[row], self.truth[row], self.guess[row], probability, self.lengths[row], self.num_cut[row])
            lines.append("\t".join(" ".join(str(cell).split()) for cell in cells))
        return "\n".join(lines) + "\n"

    @property
    def kept(self) -> KeptRows:
        """What a report says of the file that holds `to_tsv`."""
        text = self.to_tsv()
        return KeptRows(sha256=hashlib.sha256(text.encode()).hexdigest(), n=text.count("\n") - 1)

    @classmethod
    def read(cls, path: Path, kind: AnswerKind, kept: KeptRows) -> "Outcomes":
        """Read what `to_tsv` wrote.

        Raises:
            FormatError: The file is not the one that was written with the report.
        """
        hint = "copy the whole folder of the report again, or evaluate again"
        content = path.read_bytes() if path.stat().st_size <= _MAX_BYTES else b""
        if hashlib.sha256(content).hexdigest() != kept.sha256:
            raise FormatError("not the file that was written with the report", where=path, hint=hint)
        head, *rows = [line.split("\t") for line in content.decode(errors="replace").splitlines()] or [[]]
        if tuple(head) != _COLUMNS or not rows or len(rows) != kept.n or any(len(row) != len(_COLUMNS) for row in rows):
            raise FormatError("not a table of predictions", where=path, hint=hint)
        ids, truth, guess, probability, lengths, num_cut = zip(*rows, strict=True)
        try:
            found = cls(
                kind, ids, truth, guess,
                np.array([float(cell or "nan") for cell in probability]),
                np.array([int(cell) for cell in lengths]), np.array([int(cell) for cell in num_cut]),
            )  # fmt: skip
            for metric in ("ece", "mae"):  # which refuse what is no probability, and no number
                found.statistic(metric)
        except ValueError as error:
            raise FormatError(f"not a table of predictions: {error}", where=path, hint=hint) from None
        return found
