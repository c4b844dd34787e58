"""Answers of a model in this process, whoever makes its prompts."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from llama_gene.errors import TaskError
from llama_gene.inference.generate import generate_answers
from llama_gene.inference.predictor import Prediction, predictions_of
from llama_gene.inference.probability import ProbabilityKind, probabilities_of
from llama_gene.inference.readout import Readout
from llama_gene.inference.score import CandidateScorer
from llama_gene.inference.trie import build_trie
from llama_gene.tasks.task import Example, Task
from llama_gene.tasks.template import Encoded

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_CHUNK = 2048  # examples sorted by length together: enough for even batches, bounded in memory


class Encoder(Protocol):
    """Examples of one task to ids.

    Attributes:
        task: The task.
        reserve: Tokens that are kept free for the answer.
        end_ids: What ends an answer.
    """

    task: Task
    reserve: int
    end_ids: list[int]

    @property
    def candidate_ids(self) -> list[list[int]]:
        """The ids of every candidate answer, each with what ends it."""

    def encode(self, examples: Sequence[Example]) -> list[Encoded]:
        """The ids of each example."""


class LocalModel(ABC):
    """A model in this process.

    Args:
        model: The model; it is put on the GPU, if there is one, and into evaluation mode.
        record: What is known of it.
        folder: Where it was loaded from.
        pad_id: What fills up shorter rows.
    """

    def __init__(self, model: "PreTrainedModel", record: dict[str, Any], folder: Path, pad_id: int) -> None:
        import torch

        self.model = model.to("cuda" if torch.cuda.is_available() else "cpu").eval()
        self.record, self.folder, self._pad_id = record, folder, pad_id

    @abstractmethod
    def encoder(self, task: Task, question: str | None = None) -> Encoder:
        """The prompts of `task`, perhaps with other words for its question."""

    @abstractmethod
    def decode(self, ids: Sequence[int]) -> str:
        """The text of an answer."""

    @cached_property
    def readout(self) -> Readout:
        """The model as it is scored and as it writes."""
        return Readout(self.model, self._pad_id)

    def predict(
        self,
        task: Task,
        examples: Iterable[Example],
        *,
        question: str | None = None,
        batch_tokens: int = 16_384,
        on_done: Callable[[int], None] | None = None,
        kind: ProbabilityKind = "shared",
    ) -> Iterator[Prediction]:
        """Predictions in the order of the examples, in bounded memory; what is given is said in `Predictor.predict`.

        Raises:
            TaskError: The tokenizer cannot tell two answers apart.
        """
        encoder = self.encoder(task, question)
        scorer = self._scorer(encoder, kind) if task.candidates else None
        stream, num_done = iter(examples), 0
        while chunk := list(islice(stream, _CHUNK)):
            unlabelled = [Example(example.id, example.sequences) for example in chunk]
            encoded = encoder.encode(unlabelled)
            order = sorted(range(len(chunk)), key=lambda row: len(encoded[row].prompt), reverse=True)
            prefix = None if scorer is None else scorer.read_prefix([row.prompt for row in encoded])
            answers: list[Prediction | None] = [None] * len(chunk)
            for batch in _batches(order, encoded, batch_tokens):
                ids, rows = [chunk[row].id for row in batch], [encoded[row] for row in batch]
                if scorer is None:
                    found = self._written(encoder, ids, rows)
                else:
                    scores = scorer.score([row.prompt for row in rows], prefix)
                    probabilities = probabilities_of(scores, scorer.trie.num_tokens, kind)
                    found = predictions_of(task, ids, probabilities, [row.num_cut for row in rows])
                for row, answer in zip(batch, found, strict=True):
                    answers[row] = answer
                num_done += len(batch)
                if on_done is not None:
                    on_done(num_done)
            yield from (answer for answer in answers if answer is not None)

    def _scorer(self, encoder: Encoder, kind: ProbabilityKind) -> CandidateScorer:
        require_distinct(encoder.task, encoder.candidate_ids, self.folder)
        return CandidateScorer(self.readout, build_trie(encoder.candidate_ids), absolute=kind != "shared")

    def _written(self, encoder: Encoder, ids: list[str], batch: list[Encoded]) -> Iterator[Prediction]:
        (end,) = encoder.end_ids
        written = generate_answers(self.readout, [row.prompt for row in batch], encoder.reserve, eos_id=end)
        for name, encoded, text in zip(ids, batch, written, strict=True):
            yield Prediction(name, self.decode(text).strip(), None, None, encoded.num_cut)


def require_distinct(task: Task, candidates: Sequence[Sequence[int]], where: Path) -> None:
    """Check that a tokenizer can tell all answers of `task` apart.

    Raises:
        TaskError: It cannot.
    """
    seen: dict[tuple[int, ...], str] = {}
    for answer, ids in zip(task.candidates, candidates, strict=True):
        other = seen.setdefault(tuple(ids), answer)
        if other != answer:
            problem = f"the model's tokenizer has the same tokens for {other!r} and {answer!r}"
            raise TaskError(problem, where=where, hint=f"give the answers of task {task.name!r} other names")


def _batches(order: Sequence[int], encoded: Sequence[Encoded], batch_tokens: int) -> Iterator[list[int]]:
    """Rows in batches of at most `batch_tokens`, padding included; `order` runs from long to short."""
    start = 0
    while start < len(order):
        size = max(1, batch_tokens // len(encoded[order[start]].prompt))
        yield list(order[start : start + size])
        start += size
