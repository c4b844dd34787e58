"""An engine: a loaded model that answers the tasks it was tuned on."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from llama_gene.errors import TaskError
from llama_gene.inference.generate import generate_answers
from llama_gene.inference.score import build_trie, score_candidates
from llama_gene.model.folder import load_folder
from llama_gene.tasks.registry import load_task
from llama_gene.tasks.task import Example, Task
from llama_gene.tasks.template import Encoded, PromptEncoder, prompt_hash
from llama_gene.tokenizer import GeneTokenizer
from llama_gene.tokenizer.chat import ChatFrame, read_chat_frame

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_CHUNK = 2048  # examples sorted by length together: enough for even batches, bounded in memory


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a model answers to one example.

    Attributes:
        id: The example's.
        answer: The label name, the number or the text. A number is the expectation over all numbers of the task's grid.
        value: The number of a regression.
        probabilities: float for each candidate, in the order of ``task.candidates``; None where text was generated.
        num_cut: Tokens of the sequences that were left out to fit.
    """

    id: str
    answer: str
    value: float | None
    probabilities: tuple[float, ...] | None
    num_cut: int

    @property
    def probability(self) -> float | None:
        """The probability of the most probable candidate."""
        return None if self.probabilities is None else max(self.probabilities)


class Engine:
    """A model, its tokenizer and its tasks.

    Args:
        model: The model; it is put into evaluation mode.
        tokenizer: Its tokenizer.
        record: Its record, with the prompt hash of every task under ``tasks``.
        folder: Where it was loaded from.
    """

    def __init__(
        self, model: "PreTrainedModel", tokenizer: GeneTokenizer, record: dict[str, Any], folder: Path
    ) -> None:
        import torch

        self.model = model.to("cuda" if torch.cuda.is_available() else "cpu").eval()
        self.tokenizer, self.record, self.folder = tokenizer, record, folder

    @classmethod
    def load(cls, folder: Path) -> "Engine":
        """Load a model folder of ours."""
        return cls(*load_folder(folder), folder)

    @property
    def task_names(self) -> list[str]:
        """The tasks that the model was tuned on."""
        return sorted(self.record.get("tasks", {}))

    def task(self, name: str) -> Task:
        """The task as the model was tuned on it.

        Raises:
            TaskError: The model was not tuned on it, or the task's prompt was changed since.
        """
        known = self.record.get("tasks", {})
        if name not in known:
            hint = f"it knows: {', '.join(self.task_names) or 'none; tune it first'}"
            raise TaskError(f"the model was not tuned on task {name!r}", where=self.folder, hint=hint)
        task = load_task(self.folder / "tasks" / f"{name}.toml")
        if prompt_hash(task) != known[name]["prompt_hash"]:
            hint = "restore the model's tasks folder, or tune the model again"
            raise TaskError(
                f"the prompt of task {name!r} is not the one the model was tuned with", where=self.folder, hint=hint
            )
        return task

    def encoder(self, task: Task, question: str | None = None) -> PromptEncoder:
        """The prompts of `task`, framed, as long and shortened as in tuning.

        Args:
            task: One of the model's tasks.
            question: Other words for its question.

        Raises:
            TaskError: The model was tuned inside a chat template, which was changed since.
        """
        made = self.record["prompts"]
        return PromptEncoder(
            task,
            self.tokenizer,
            made["max_tokens"],
            made["shorten"],
            chat=self._chat,
            questions=[] if question is None else [question],
        )

    @cached_property
    def _chat(self) -> ChatFrame | None:
        wanted = self.record["prompts"].get("chat")
        if wanted is None:
            return None
        frame = read_chat_frame(self.folder)
        if frame is None or frame.fingerprint != wanted:
            hint = "restore the model's chat template, or tune the model again"
            raise TaskError("the chat template is not the one the model was tuned with", where=self.folder, hint=hint)
        return frame

    def predict(
        self,
        task: Task,
        examples: Iterable[Example],
        *,
        question: str | None = None,
        batch_tokens: int = 16_384,
        on_done: Callable[[int], None] | None = None,
    ) -> Iterator[Prediction]:
        """Predictions in the order of the examples, in bounded memory.

        Args:
            task: One of the model's tasks.
            examples: Any number of them; answers are not looked at.
            question: Other words for the task's question.
            batch_tokens: Prompt tokens in a batch, padding included.
            on_done: Told the number of examples done so far.
        """
        encoder = self.encoder(task, question)
        stream, num_done = iter(examples), 0
        while chunk := list(islice(stream, _CHUNK)):
            unlabelled = [Example(example.id, example.sequences) for example in chunk]
            encoded = encoder.encode(unlabelled)
            order = sorted(range(len(chunk)), key=lambda row: len(encoded[row].prompt), reverse=True)
            answers: list[Prediction | None] = [None] * len(chunk)
            for batch in _batches(order, encoded, batch_tokens):
                ids, prompts = [chunk[row].id for row in batch], [encoded[row] for row in batch]
                for row, answer in zip(batch, self._answer(encoder, ids, prompts), strict=True):
                    answers[row] = answer
                num_done += len(batch)
                if on_done is not None:
                    on_done(num_done)
            yield from (answer for answer in answers if answer is not None)

    def _answer(self, encoder: PromptEncoder, ids: list[str], batch: list[Encoded]) -> Iterator[Prediction]:
        task, prompts = encoder.task, [encoded.prompt for encoded in batch]
        if not task.candidates:
            tokens = self.tokenizer
            (end,) = encoder.end_ids
            written = generate_answers(self.model, prompts, encoder.reserve, eos_id=end, pad_id=tokens.pad_id)
            for name, encoded, text in zip(ids, batch, written, strict=True):
                yield Prediction(name, tokens.decode(text).strip(), None, None, encoded.num_cut)
            return
        scores = score_candidates(self.model, prompts, build_trie(encoder.candidate_ids), self.tokenizer.pad_id)
        weights = np.exp(scores - scores.max(axis=1, keepdims=True))
        probabilities = weights / weights.sum(axis=1, keepdims=True)
        grid = np.array([float(answer) for answer in task.candidates]) if task.kind == "regression" else None
        for name, encoded, row in zip(ids, batch, probabilities, strict=True):
            value = None if grid is None else float(row @ grid)
            answer = task.candidates[int(row.argmax())] if value is None else f"{value:.{(task.decimals or 0) + 2}f}"
            yield Prediction(name, answer, value, tuple(row.tolist()), encoded.num_cut)


def _batches(order: Sequence[int], encoded: Sequence[Encoded], batch_tokens: int) -> Iterator[list[int]]:
    """Rows in batches of at most `batch_tokens`, padding included; `order` runs from long to short."""
    start = 0
    while start < len(order):
        size = max(1, batch_tokens // len(encoded[order[start]].prompt))
        yield list(order[start : start + size])
        start += size
