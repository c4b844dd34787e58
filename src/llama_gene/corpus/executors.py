"""Who does the tasks of a plan: this process, processes of this machine, or a Ray cluster.

All do the same: call ``work(name)`` for each name, in any order, and say when each is finished. What a task makes is
written by the task itself, so nothing but names goes back and forth; and since a task is a pure function with an atomic
result, the bytes are the same whoever does it, and a worker that dies costs no more than the task it was at.
"""

import os
import signal
import threading
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import connection, get_context, parent_process
from multiprocessing.context import SpawnProcess
from typing import Any, Protocol

from llama_gene.errors import LlamaGeneError

Work = Callable[[str], None]

_MOST_DEATHS = 3  # of workers at one task, before it is given up


class Executor(Protocol):
    """Does tasks."""

    def run(self, work: Work, names: Sequence[str]) -> Iterator[str]:
        """Call ``work(name)`` for each name; yields each name as it is finished.

        Raises:
            LlamaGeneError: A task raised it, or its workers died again and again. What is finished stays finished.
        """
        ...


@dataclass(frozen=True)
class ThisProcess:
    """One task after the other, here."""

    def run(self, work: Work, names: Sequence[str]) -> Iterator[str]:
        """See `Executor.run`."""
        for name in names:
            work(name)
            yield name


@dataclass(frozen=True)
class LocalProcesses:
    """Processes of this machine; one that dies (out of memory, killed) is replaced, and its task is done again.

    Args:
        num: How many at a time.
    """

    num: int

    def run(self, work: Work, names: Sequence[str]) -> Iterator[str]:
        """See `Executor.run`."""
        waiting = list(reversed(names))
        deaths: Counter[str] = Counter()
        workers = [_Worker(work) for _ in range(min(self.num, len(names)))]
        try:
            busy = {}
            for worker in workers:
                busy[worker.give(waiting.pop())] = worker
            while busy:
                for pipe in connection.wait(list(busy)):
                    worker = busy.pop(pipe)
                    name = worker.name
                    if worker.finish():
                        yield name
                    else:
                        deaths[name] += 1
                        if deaths[name] == _MOST_DEATHS:
                            raise _given_up(name, worker.how_it_died())
                        waiting.append(name)
                        worker.stop()
                        workers.remove(worker)
                        worker = _Worker(work)
                        workers.append(worker)
                    if waiting:
                        busy[worker.give(waiting.pop())] = worker
        finally:
            for worker in workers:
                worker.stop()


class _Worker:
    """A process that does one task at a time."""

    def __init__(self, work: Work) -> None:
        # Not forked: the native core and the tokenizers have threads of their own, which a fork would tear apart.
        context = get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process: SpawnProcess = context.Process(target=_serve, args=(theirs, work), daemon=True)
        self._process.start()
        theirs.close()
        self.name = ""

    def give(self, name: str) -> Any:
        """Give it a task; returns what to wait for."""
        self.name = name
        with suppress(BrokenPipeError):  # if it has died meanwhile, reading will say so
            self._pipe.send(name)
        return self._pipe

    def finish(self) -> bool:
        """Whether it has done its task, and not died; what the task raised is raised."""
        try:
            error = self._pipe.recv()
        except (EOFError, ConnectionResetError):
            self._process.join()
            return False
        if error is not None:
            raise error
        return True

    def how_it_died(self) -> str:
        """The signal or the exit code."""
        code = self._process.exitcode or 0
        return signal.Signals(-code).name if code < 0 else f"exit code {code}"

    def stop(self) -> None:
        """End it, and what there is of it."""
        self._process.terminate()
        self._process.join()
        self._pipe.close()


def _serve(pipe: connection.Connection, work: Work) -> None:
    """What a worker does: a task at a time, until it is told to stop or its parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, which stops its workers
    threading.Thread(target=_end_with_parent, daemon=True).start()
    while True:
        try:
            name = pipe.recv()
        except EOFError:
            return
        try:
            work(name)
        except LlamaGeneError as error:
            pipe.send(error)
        except Exception as error:  # noqa: BLE001 - whatever it is, the parent has to say it
            pipe.send(RuntimeError(f"task {name}\n{''.join(traceback.format_exception(error))}"))
        else:
            pipe.send(None)


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _given_up(name: str, how: str) -> LlamaGeneError:
    hint = "a worker that takes too much memory is killed by the system: give fewer at a time (corpus.workers)"
    return LlamaGeneError(f"task {name}: {_MOST_DEATHS} workers died at it, the last by {how}", hint=hint)


@dataclass(frozen=True)
class RayCluster:
    """The cluster that ``RAY_ADDRESS`` names or `ray start` has started here; else one of this machine alone.

    All its machines must see the corpus, the data and the tokenizer under the same paths.

    Args:
        num: Tasks at a time on a cluster that is started here; None for all cores.
    """

    num: int | None = None

    def run(self, work: Work, names: Sequence[str]) -> Iterator[str]:
        """See `Executor.run`."""
        ray = _import_ray()
        started = not ray.is_initialized()
        if started:
            options = {} if self.num is None or os.environ.get("RAY_ADDRESS") else {"num_cpus": self.num}
            ray.init(include_dashboard=False, log_to_driver=False, logging_level="ERROR", **options)
        try:
            yield from _run_on_ray(ray, work, names)
        finally:
            if started:
                ray.shutdown()


def _run_on_ray(ray: Any, work: Work, names: Sequence[str]) -> Iterator[str]:
    def call(name: str) -> str:
        work(name)
        return name

    # Ray itself does a task again whose worker died.
    remote = ray.remote(num_cpus=1, max_retries=_MOST_DEATHS - 1)(call)
    running = {remote.remote(name): name for name in names}
    while running:
        done, _ = ray.wait(list(running))
        for reference in done:
            name = running.pop(reference)
            try:
                ray.get(reference)
            except ray.exceptions.RayTaskError as error:
                raise error.cause from None
            except (ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError) as error:
                raise _given_up(name, type(error).__name__) from None
            yield name


def _import_ray() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError:
        hint = "install it: pip install 'llama-gene[ray]', or set corpus.executor=local"
        raise LlamaGeneError('corpus.executor = "ray" needs the package ray', hint=hint) from None
    return ray
