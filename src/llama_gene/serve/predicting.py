"""Predictions that wait: batches are formed by task and by tokens, across requests."""

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from llama_gene.inference.engine import Prediction
from llama_gene.serve.backend import Backend
from llama_gene.tasks.task import Example, Task


@dataclass(slots=True, eq=False)
class PredictJob:
    """One request.

    Args:
        task: The task.
        examples: Its rows.

    Attributes:
        answer: Gets the predictions, in order; cancelling it takes the job back.
        done: Those made so far.
    """

    task: Task
    examples: Sequence[Example]
    answer: Future[list[Prediction]] = field(default_factory=Future)
    done: list[Prediction] = field(default_factory=list)


class Predicting:
    """Jobs that wait for predictions, and the next batch of them.

    A batch has rows of one task, from as many jobs as fit. A job with more rows than a batch holds goes to the end of
    the queue after each, so that nobody waits for a thousand rows of somebody else.

    Args:
        backend: What answers.
        batch_tokens: Prompt tokens in a batch.
        on_batch: Told the number of rows of each batch.
    """

    def __init__(self, backend: Backend, batch_tokens: int, on_batch: Callable[[int], None]) -> None:
        self._backend, self._batch_tokens, self._on_batch = backend, batch_tokens, on_batch
        self._jobs: deque[PredictJob] = deque()
        self._num_in_batch = 0

    def __len__(self) -> int:
        return len(self._jobs) + self._num_in_batch

    def take(self, jobs: Sequence[PredictJob]) -> None:
        """Put jobs at the end of the queue."""
        self._jobs += jobs

    def step(self) -> None:
        """Answer one batch; does nothing where nobody waits."""
        parts = self._form()
        if not parts:
            return
        task = parts[0][0].task
        rows = [example for _, part in parts for example in part]
        self._on_batch(len(rows))
        self._num_in_batch = len(parts)
        try:
            found = self._backend.predict(task, rows, self._batch_tokens)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the answer of those who asked, not our end
            self._answer_apart(parts, error)
            return
        finally:
            self._num_in_batch = 0
        start = 0
        for job, part in parts:
            self._give(job, found[start : start + len(part)])
            start += len(part)

    def _form(self) -> list[tuple[PredictJob, Sequence[Example]]]:
        """The next rows of one task, and whose they are."""
        parts: list[tuple[PredictJob, Sequence[Example]]] = []
        task: Task | None = None
        left, others = self._batch_tokens, deque[PredictJob]()
        while self._jobs:
            job = self._jobs.popleft()
            if job.answer.cancelled():
                continue
            if task is not None and (job.task.name != task.name or left <= 0):
                others.append(job)
                continue
            task, start = job.task, len(job.done)
            stop = start
            while stop < len(job.examples):
                cost = self._backend.num_tokens(task, job.examples[stop])
                if cost > left and (parts or stop > start):
                    break
                left -= cost
                stop += 1
            if stop > start:
                parts.append((job, job.examples[start:stop]))
            else:
                left = 0
                others.append(job)
        self._jobs = others
        return parts

    def _give(self, job: PredictJob, found: Sequence[Prediction]) -> None:
        job.done += found
        if len(job.done) < len(job.examples):
            self._jobs.append(job)
        elif job.answer.set_running_or_notify_cancel():
            job.answer.set_result(job.done)

    def _answer_apart(self, parts: Sequence[tuple[PredictJob, Sequence[Example]]], error: Exception) -> None:
        """Something in the batch fails: that must not become the answer of its neighbours."""
        for job, part in parts:
            try:
                if len(parts) == 1:
                    raise error
                found = self._backend.predict(job.task, part, self._batch_tokens)
            except Exception as own:  # noqa: BLE001 - as above
                if job.answer.set_running_or_notify_cancel():
                    job.answer.set_exception(own)
            else:
                self._give(job, found)
