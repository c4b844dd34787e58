"""Texts that are being written: requests join the running batch, and leave it, between two tokens."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from llama_gene.errors import LlamaGeneError
from llama_gene.inference.decode import Row, RunningBatch, Sampling
from llama_gene.inference.stream import is_out_of_memory
from llama_gene.serve.errors import RefusalError

Finish = Literal["stop", "length"]


@dataclass(frozen=True, slots=True)
class Written:
    """What came of one step.

    Args:
        text: New text, at least one whole character; the last piece may be empty.
        tokens: Tokens so far.
        logprobs: (text of a token, its log-probability in nats) of each token since the last piece, if told.
        finish: Why the text ends here; None if it goes on.
    """

    text: str
    tokens: int
    logprobs: tuple[tuple[str, float], ...] = ()
    finish: Finish | None = None


@dataclass(slots=True, eq=False)
class WriteJob:
    """One text to write.

    Args:
        prompt: Its ids.
        max_tokens: At most so many tokens.
        ends: Tokens that end it.
        stop: Texts that end it; what ends it is not part of it.
        sampling: How tokens are drawn.
        on_piece: Told each piece, and at the end nothing more; or the error that ends it. Called by the worker.
        tell_tokens: Whether each token is told, with its log-probability.

    Attributes:
        cancelled: Set by whoever asked, if they are gone.
        num_new: Tokens written so far.
    """

    prompt: Sequence[int]
    max_tokens: int
    ends: frozenset[int]
    stop: tuple[str, ...]
    sampling: Sampling
    on_piece: Callable[[Written | Exception], None]
    tell_tokens: bool = False
    cancelled: bool = False
    num_new: int = 0
    ids: list[int] = field(default_factory=list)
    shown: int = 0
    unsaid: list[tuple[str, float]] = field(default_factory=list)


class Writer(Protocol):
    """Writes texts; called by one thread only."""

    def __len__(self) -> int:
        """Texts that were taken and have not ended."""

    @property
    def idle(self) -> bool:
        """Whether there is nothing for `step` to do now."""

    def take(self, jobs: Sequence[WriteJob]) -> None:
        """Put jobs at the end of the queue."""

    def step(self) -> None:
        """Do a small part of what there is to do."""


class Writing:
    """Jobs that wait for their first token, and the batch of those that are being written.

    Args:
        new_batch: Makes an empty batch.
        decode: The text of ids.
        most: Most texts at the same time.
        batch_tokens: Most tokens of all of them together, padding and what may still come included.
    """

    def __init__(
        self,
        new_batch: Callable[[], RunningBatch],
        decode: Callable[[Sequence[int]], str],
        most: int,
        batch_tokens: int,
    ) -> None:
        self._new_batch, self._decode, self._most, self._batch_tokens = new_batch, decode, most, batch_tokens
        self._batch = new_batch()
        self._waiting: deque[WriteJob] = deque()
        self._running: list[WriteJob] = []

    def __len__(self) -> int:
        return len(self._waiting) + len(self._running)

    @property
    def idle(self) -> bool:
        """Whether no text waits or is being written."""
        return not len(self)

    def take(self, jobs: Sequence[WriteJob]) -> None:
        """Put jobs at the end of the queue."""
        self._waiting += jobs

    def step(self) -> None:
        """One more token for every text; does nothing where there are none."""
        try:
            self._admit()
            if not self._running:
                return
            self._batch.draw()
            going = [self._say(job, row) for job, row in zip(self._running, self._batch.rows, strict=True)]
            self._running = [job for job, goes_on in zip(self._running, going, strict=True) if goes_on]
            self._batch.advance(going)
        except Exception as error:  # noqa: BLE001 - whatever it is, it ends these texts, not the server
            self._fail(error)

    def _admit(self) -> None:
        """Let those that wait join, the first first, as long as there is room."""
        new: list[WriteJob] = []
        while self._waiting and len(self._running) + len(new) < self._most and self._batch.mergeable:
            job = self._waiting[0]
            if job.cancelled:
                self._waiting.popleft()
                continue
            together = [*self._running, *new, job]
            width = max(len(one.prompt) + one.max_tokens for one in together)
            if len(together) > 1 and width * len(together) > self._batch_tokens:
                break
            new.append(self._waiting.popleft())
        if new:
            self._running += new
            self._batch.add([Row(job.prompt, job.sampling) for job in new])

    def _say(self, job: WriteJob, row: Row) -> bool:
        """Take the token that was drawn; returns whether the text goes on."""
        if job.cancelled:
            return False
        ended = row.token in job.ends
        if not ended:
            job.ids.append(row.token)
            job.num_new += 1
            if job.tell_tokens:
                job.unsaid.append((self._decode([row.token]), row.logprob))
        text = self._decode(job.ids)
        stops = [place for place in (text.find(stop) for stop in job.stop) if place >= 0]
        finish: Finish | None = "stop" if ended or stops else "length" if len(job.ids) >= job.max_tokens else None
        if stops:
            text = text[: min(stops)]
        # Half a character, or the beginning of what would end the text, is kept back until it is known.
        whole = len(text) if finish else len(text) - _held_back(text, job.stop)
        if finish or whole > job.shown:
            job.on_piece(Written(text[job.shown : whole], len(job.ids), tuple(job.unsaid), finish))
            job.shown = max(whole, job.shown)
            job.unsaid.clear()
        return finish is None

    def _fail(self, error: Exception) -> None:
        if not isinstance(error, LlamaGeneError) and is_out_of_memory(error):
            hint = "ask for fewer tokens, or again later"
            error = RefusalError(503, "out of memory while writing", hint=hint, code="out_of_memory", retry_after=1)
        failed, self._running = self._running, []
        self._batch = self._new_batch()
        for job in failed:
            job.on_piece(error)


def _held_back(text: str, stops: Sequence[str]) -> int:
    r"""Characters at the end of `text` that may still become something else.

    >>> _held_back("TATA EN", ["END"]), _held_back("TATA", ["END"]), _held_back("a\ufffd", [])
    (2, 0, 1)
    """
    if text.endswith("\ufffd"):
        return len(text) - len(text.rstrip("\ufffd"))
    longest = 0
    for stop in stops:
        for length in range(min(len(stop) - 1, len(text)), longest, -1):
            if text.endswith(stop[:length]):
                longest = length
                break
    return longest
