"""Explanations that wait: which letters decided an answer, one at a time, between the batches of others."""

from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from llama_gene.inference.attribution import Attribution
from llama_gene.serve.backend import Backend
from llama_gene.tasks.task import Example, Task


@dataclass(slots=True, eq=False)
class ExplainJob:
    """One request.

    Args:
        task: The task.
        example: Its row.
        label: The label explained; the model's answer if None.

    Attributes:
        answer: Gets the explanation; cancelling it takes the job back.
    """

    task: Task
    example: Example
    label: str | None
    answer: Future[Attribution] = field(default_factory=Future)


class Explaining:
    """Jobs that wait for an explanation.

    Args:
        backend: What answers.
        letters: Most letters of a sequence that are explained.
        batch_tokens: Prompt tokens in a batch.
    """

    def __init__(self, backend: Backend, letters: int, batch_tokens: int) -> None:
        self._backend, self._letters, self._batch_tokens = backend, letters, batch_tokens
        self._jobs: deque[ExplainJob] = deque()
        self._num_asked = 0

    def __len__(self) -> int:
        return len(self._jobs) + self._num_asked

    def take(self, jobs: Sequence[ExplainJob]) -> None:
        """Put jobs at the end of the queue."""
        self._jobs += jobs

    def step(self) -> None:
        """Answer one job; does nothing where nobody waits."""
        while self._jobs and self._jobs[0].answer.cancelled():
            self._jobs.popleft()
        if not self._jobs:
            return
        job = self._jobs.popleft()
        self._num_asked = 1
        try:
            found = self._backend.explain(job.task, job.example, job.label, self._letters, self._batch_tokens)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the answer of who asked, not our end
            if job.answer.set_running_or_notify_cancel():
                job.answer.set_exception(error)
        else:
            if job.answer.set_running_or_notify_cancel():
                job.answer.set_result(found)
        finally:
            self._num_asked = 0
