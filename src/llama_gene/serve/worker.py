"""One thread owns the model. Requests come in over a bounded queue; every one of them gets an answer."""

import threading
from collections.abc import Callable

from llama_gene.serve.backend import Backend
from llama_gene.serve.errors import RefusalError
from llama_gene.serve.explaining import Explaining, ExplainJob
from llama_gene.serve.predicting import Predicting, PredictJob
from llama_gene.serve.settings import Limits
from llama_gene.serve.writing import WriteJob

Job = PredictJob | WriteJob | ExplainJob

_POLL_SECONDS = 0.05


class Worker:
    """The thread, and what waits for it.

    In turn it answers one batch of predictions, writes one token of every running text and makes one explanation, so
    that no kind of request waits for another to be done.

    Args:
        backend: What answers.
        limits: How much may wait, and how much is computed together.
        on_batch: Told the number of rows of each batch of predictions.
    """

    def __init__(self, backend: Backend, limits: Limits, on_batch: Callable[[int], None] = lambda _: None) -> None:
        self._limits = limits
        self._predicting = Predicting(backend, limits.batch_tokens, on_batch)
        self._writing = backend.writer(limits.writing, limits.batch_tokens)
        self._explaining = Explaining(backend, limits.explained, limits.batch_tokens)
        self._new: list[Job] = []
        self._changed = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="model", daemon=True)
        self._thread.start()

    @property
    def num_waiting(self) -> int:
        """Requests that were taken and are not answered yet."""
        return len(self._new) + len(self._predicting) + len(self._writing) + len(self._explaining)

    @property
    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def submit(self, *jobs: Job) -> None:
        """Take jobs, all or none; they will be answered.

        Raises:
            RefusalError: 429 if too many wait, 503 if the server stops.
        """
        with self._changed:
            if self._stopping or not self.is_alive:
                raise RefusalError(503, "the server is stopping", hint="ask again later", retry_after=5)
            if self.num_waiting + len(jobs) > self._limits.waiting:
                problem = f"{self.num_waiting} requests wait already, and at most {self._limits.waiting} may"
                raise RefusalError(429, problem, hint="ask again later", code="queue_full", retry_after=1)
            explanations = sum(isinstance(job, ExplainJob) for job in [*self._new, *jobs])
            if explanations and explanations + len(self._explaining) > self._limits.explaining:
                problem = f"{self._limits.explaining} explanations are asked for already, and no more may be"
                raise RefusalError(429, problem, hint="ask again later", code="queue_full", retry_after=2)
            self._new += jobs
            self._changed.notify()

    def stop(self, seconds: float) -> bool:
        """Take nothing more, and wait until what was taken is answered; returns whether it was."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while True:
            with self._changed:
                while self._writing.idle and not (self._new or len(self._predicting) or len(self._explaining)):
                    if self._stopping and not self.num_waiting:
                        return
                    # Texts that are written elsewhere end without a word to us.
                    self._changed.wait(_POLL_SECONDS if self._stopping else None)
                new, self._new = self._new, []
                self._predicting.take([job for job in new if isinstance(job, PredictJob)])
                self._writing.take([job for job in new if isinstance(job, WriteJob)])
                self._explaining.take([job for job in new if isinstance(job, ExplainJob)])
            self._predicting.step()
            self._writing.step()
            self._explaining.step()
