"""A model that some OpenAI-compatible server has: vLLM, llama.cpp, a company's, our own.

How probable an answer is, servers tell more or less well; the best way of a server is found by asking, and a report
says which it was:

- texts: the log-probability of every candidate's text after the prompt (``echo`` with ``logprobs``). Exact.
- first token: the most probable next tokens. Enough where no two candidates begin with the same letter.
- writing: the answer is written, and must be a candidate, all of it. No probabilities.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llama_gene.errors import ModelError
from llama_gene.inference.client import Client, Refused
from llama_gene.inference.judge import first_line, label_of, number_of
from llama_gene.inference.predictor import Prediction, predictions_of
from llama_gene.inference.probability import ProbabilityKind, probabilities_of
from llama_gene.inference.server import Scoring, Server
from llama_gene.tasks.registry import load_task
from llama_gene.tasks.style import Style, StyleName, centres
from llama_gene.tasks.task import ANSWER_SEPARATOR, Example, Task

NUM_AT_ONCE = 8  # requests under way
_MOST_TEXTS = 64  # candidates that are sent one by one; of more, as of a fine grid of numbers, the answer is written
_NUMBER_TOKENS = 16
_LEAST_LETTERS = 8  # of all sequences together, before a server that takes no less is given up on
_LEAST_SHARE = 1e-12  # of a candidate that begins others, once these are taken off
_SAID = {
    "texts": "log-probability of each answer's text",
    "first token": "the most probable first tokens",
    "writing": "answers written, and compared strictly; no probabilities",
}


class RemoteModel:
    """A model of a server, asked in a prompt style.

    Args:
        server: The model there.
        style: How it is asked.
        root: The data root, for tasks whose labels stand beside their tables.
    """

    def __init__(self, server: Server, style: StyleName, root: Path | None = None) -> None:
        self._server, self._style, self._root = server, style, root
        self.folder = server.client.address

    @classmethod
    def connect(cls, address: str, model: str | None, style: StyleName, root: Path | None = None) -> "RemoteModel":
        """Find a model on a server.

        Args:
            address: Where its API begins, as ``http://localhost:8000/v1``.
            model: The model's name there; None for the only one.
            style: How it is asked.
            root: The data root.

        Raises:
            SettingsError: No such address, or no such model.
            ModelError: The server does not answer, or wants another key.
        """
        return cls(Server.find(Client(address), model, chat=style == "chat"), style, root)

    @property
    def record(self) -> dict[str, Any]:
        """The model's name, and how it is asked."""
        spans = "typed spans" if self._typed else "bare"
        asked = {"prompt style": self._style, "sequences": spans, "scores": _SAID[self._server.scoring]}
        return {"base": f"{self._server.model} at {self.folder}", "asked": asked}

    @property
    def _typed(self) -> bool:
        return self._style == "llama-gene" and self._server.knows_spans

    def task(self, name: str) -> Task:
        """A built-in task, or the task of a file."""
        return load_task(name, self._root)

    def style(self) -> Style:
        """How tasks are put; a chat template is put around by the server."""
        return Style(self._style, self._typed)

    def prompt_hash(self, task: Task) -> str:
        """SHA-256 of what decides the prompts and the answers of `task`, as far as they are made here."""
        return self.style().fingerprint(task)

    def predict(
        self,
        task: Task,
        examples: Iterable[Example],
        *,
        question: str | None = None,
        batch_tokens: int = 16_384,  # noqa: ARG002 - the server makes its own batches
        on_done: Callable[[int], None] | None = None,
        kind: ProbabilityKind = "shared",
    ) -> Iterator[Prediction]:
        """Predictions in the order of the examples, eight requests at a time; see `Predictor.predict`.

        Raises:
            ModelError: The server does not answer, or takes no prompt, however short.
        """
        asker = _Asker(self._server, task, self.style(), question, kind)
        stream = iter(examples)
        pool = ThreadPoolExecutor(NUM_AT_ONCE)
        try:
            ahead = islice(stream, 4 * NUM_AT_ONCE)
            waiting = deque(pool.submit(asker.ask, example) for example in ahead)
            num_done = 0
            while waiting:
                yield waiting.popleft().result()
                num_done += 1
                if on_done is not None:
                    on_done(num_done)
                waiting.extend(pool.submit(asker.ask, example) for example in islice(stream, 1))
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


class _Asker:
    """Asks a server one task's examples; several threads may do so at once."""

    def __init__(self, server: Server, task: Task, style: Style, question: str | None, kind: ProbabilityKind) -> None:
        self._server, self._task, self._style, self._question, self._kind = server, task, style, question, kind
        self._scoring = _scoring_of(task, server.scoring) if task.candidates else "writing"
        self._most_letters: int | None = None

    def ask(self, example: Example) -> Prediction:
        """The answer to one example; its sequences are shortened until the server takes them."""
        whole = sum(map(len, example.sequences))
        kept = whole if self._most_letters is None else min(whole, self._most_letters)
        while True:
            sequences = centres(example.sequences, kept)
            prompt = self._style.prompt(self._task, sequences, self._question)
            try:
                return self._answer(example.id, prompt, whole - sum(map(len, sequences)))
            except Refused as refusal:
                kept = kept * 3 // 4
                if kept < _LEAST_LETTERS:
                    problem = f"the server refuses row {example.id!r}, however short: {refusal}"
                    raise ModelError(problem, where=self._server.client.address) from None
                self._most_letters = kept

    def _answer(self, name: str, prompt: str, num_cut: int) -> Prediction:
        if self._scoring == "writing":
            return self._written(name, prompt, num_cut)
        if self._scoring == "texts":
            scores, num_tokens = self._of_texts(prompt)
        else:
            found = self._of_first_token(prompt)
            if found is None:
                return Prediction(
                    name, first_line(next(iter(self._server.next_tokens(prompt)), "")), None, None, num_cut
                )
            scores, num_tokens = found, np.ones(len(found), dtype=np.int64)
        probabilities = probabilities_of(scores[None], num_tokens, self._kind)
        return next(predictions_of(self._task, [name], probabilities, [num_cut]))

    def _of_texts(self, prompt: str) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        answers = [self._style.answers(answer)[0] for answer in self._task.candidates]
        texts = [self._server.read(prompt + answer) for answer in answers]
        # A token may reach from the prompt into an answer: all are counted from where the first such one begins.
        start = min(text.start_beyond(len(prompt)) for text in texts)
        counted = [text.beyond(start) for text in texts]
        scores = np.array([score for score, _ in counted])
        return without_longer(answers, scores), np.array([num for _, num in counted])

    def _of_first_token(self, prompt: str) -> NDArray[np.float64] | None:
        """The score of each candidate by the next tokens it begins with; None if it begins with none of them."""
        tokens = self._server.next_tokens(prompt)
        starts = {token.strip(): logprob for token, logprob in tokens.items() if token.strip()}
        scores = np.full(len(self._task.candidates), -np.inf)
        for place, answer in enumerate(self._task.candidates):
            for start, logprob in starts.items():
                if answer.startswith(start):
                    scores[place] = np.logaddexp(scores[place], logprob)
        if not np.isfinite(scores).any():
            return None
        # What the server does not tell of is no more probable than the least it does.
        return np.where(np.isfinite(scores), scores, min(tokens.values()))

    def _written(self, name: str, prompt: str, num_cut: int) -> Prediction:
        task = self._task
        if task.kind == "regression":
            text = first_line(self._server.write(prompt, _NUMBER_TOKENS))
            return Prediction(name, text, number_of(text), None, num_cut)
        if task.kind == "classification":
            # A token is a letter or more.
            text = first_line(self._server.write(prompt, 2 + max(map(len, task.label_names))))
            return Prediction(name, label_of(task, text) or text, None, None, num_cut)
        most = task.max_answer_tokens or 2 * len(ANSWER_SEPARATOR.join(task.label_names))
        return Prediction(name, first_line(self._server.write(prompt, most)), None, None, num_cut)


def _scoring_of(task: Task, best: Scoring) -> Scoring:
    """How the candidates of a task can be scored where `best` is the best that the server does."""
    if best == "texts":
        return "texts" if len(task.candidates) <= _MOST_TEXTS else "writing"
    initials = {answer[0].casefold() for answer in task.candidates}
    told_apart = task.kind == "classification" and len(initials) == len(task.candidates)
    return "first token" if best == "first token" and told_apart else "writing"


def without_longer(answers: Sequence[str], scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scores of answers that end there: what a longer answer has of a shorter one's probability is taken off it."""
    ended = scores.copy()
    for place, answer in enumerate(answers):
        longer = [other for other, text in enumerate(answers) if text != answer and text.startswith(answer)]
        nearest = [
            one for one in longer if not any(answers[one].startswith(answers[two]) for two in longer if two != one)
        ]
        share = 1 - sum(float(np.exp(scores[one] - scores[place])) for one in nearest)
        ended[place] += np.log(max(share, _LEAST_SHARE))
    return ended
