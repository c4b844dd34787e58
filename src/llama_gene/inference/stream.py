"""Any number of examples through a model, block by block: in order, in bounded memory, on one device or several.

A block is answered as a whole and alone, so that its answers do not depend on where a killed run went on.
"""

import multiprocessing
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from itertools import islice
from pathlib import Path
from typing import Any, Protocol, TypeVar

from llama_gene.errors import LlamaGeneError, SettingsError
from llama_gene.inference.engine import Engine
from llama_gene.inference.predictor import Prediction
from llama_gene.tasks.task import Example, Task

T = TypeVar("T")

BLOCK = 2048  # examples: enough for even batches

_NO_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")


class Ask(Protocol):
    """What answers blocks of examples, in their order."""

    def __call__(self, blocks: Iterable[list[Example]]) -> Iterator[list[Prediction]]:
        """The predictions of each block."""


def blocks_of(examples: Iterable[Example], skip: int = 0) -> Iterator[list[Example]]:
    """The examples behind the first `skip`, by the block."""
    stream = iter(examples)
    for _ in islice(stream, skip):
        pass
    while block := list(islice(stream, BLOCK)):
        yield block


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device, or the machine, had no memory left for a batch."""
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(words in str(error).lower() for words in _NO_MEMORY)
    )


class BatchSize:
    """How many tokens are read at a time; half as many from there on, wherever memory does not suffice.

    Args:
        tokens: In a batch, to begin with.
        say: Told when a batch is halved.
    """

    def __init__(self, tokens: int, say: Callable[[str], None]) -> None:
        self.tokens, self._say = tokens, say

    def run(self, work: Callable[[int], T]) -> T:
        """What `work` makes of a number of tokens that fits.

        Raises:
            LlamaGeneError: Memory does not suffice for a single prompt.
        """
        while True:
            try:
                return work(self.tokens)
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
            if self.tokens <= 1:
                hint = "free some memory, or ask a smaller model"
                raise LlamaGeneError("not enough memory for a single prompt", hint=hint)
            # The longest prompt may have fewer tokens than half: then the next halving comes at once.
            self.tokens //= 2
            self._say(f"out of memory: going on with {self.tokens:,} tokens a batch")


class Asker:
    """Asks one engine one task.

    Args:
        engine: The model.
        task: One of its tasks.
        batch_tokens: Prompt tokens in a batch.
        say: Told when a batch is halved.
    """

    def __init__(self, engine: Engine, task: Task, batch_tokens: int, say: Callable[[str], None]) -> None:
        self._engine, self._task, self._size = engine, task, BatchSize(batch_tokens, say)

    def __call__(self, blocks: Iterable[list[Example]]) -> Iterator[list[Prediction]]:
        """The predictions of each block."""
        return map(self.ask, blocks)

    def ask(self, block: list[Example]) -> list[Prediction]:
        """The predictions of one block."""
        return self._size.run(lambda tokens: list(self._engine.predict(self._task, block, batch_tokens=tokens)))


def say(line: str) -> None:
    """A line for people, beside the results."""
    print(line, file=sys.stderr, flush=True)


_asker: Asker | None = None  # of a worker process: what one task needs is loaded once


def _load_worker(folder: Path, task: str, batch_tokens: int, devices: "multiprocessing.Queue[str]") -> None:
    global _asker  # a process pool has no other place for what its workers keep
    engine = Engine.load(folder)
    engine.model.to(devices.get())
    _asker = Asker(engine, engine.task(task), batch_tokens, say)


def _ask_worker(block: list[Example]) -> list[Prediction]:
    assert _asker is not None
    return _asker.ask(block)


class DataParallel(AbstractContextManager["DataParallel"]):
    """A copy of the model on each of several devices; each block goes to one that is free.

    Args:
        folder: The model folder.
        task: The task's name.
        devices: Where the copies are, as torch names them: ``cuda:0``; ``cpu`` may be named several times.
        batch_tokens: Prompt tokens in a batch.
    """

    def __init__(self, folder: Path, task: str, devices: Sequence[str], batch_tokens: int) -> None:
        context: Any = multiprocessing.get_context("spawn")  # a process that forks cannot use CUDA
        names = context.Queue()
        for device in devices:
            names.put(device)
        self._stack = ExitStack()
        self._num_ahead = 2 * len(devices)
        self._pool = self._stack.enter_context(
            ProcessPoolExecutor(
                len(devices), context, initializer=_load_worker, initargs=(folder, task, batch_tokens, names)
            )
        )

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)
        self._stack.close()

    def __call__(self, blocks: Iterable[list[Example]]) -> Iterator[list[Prediction]]:
        """The predictions of each block, in order; some blocks are read ahead."""
        waiting: deque[Future[list[Prediction]]] = deque()
        for block in blocks:
            waiting.append(self._pool.submit(_ask_worker, block))
            if len(waiting) > self._num_ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def check_devices(names: Sequence[str]) -> None:
    """Check that torch knows these devices, and that they are there.

    Raises:
        SettingsError: One of them is not.
    """
    import torch

    there = ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
    for name in names:
        if name not in there:
            raise SettingsError(f"no device {name!r}", hint=f"this machine has: {', '.join(there)}")
