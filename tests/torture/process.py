"""Commands in processes of their own, forked from one that has loaded the libraries: what starts in no time can be
killed, starved and damaged hundreds of times."""

import fcntl
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

LONGEST = 900.0  # seconds; whoever takes longer is taken for one that hangs


@dataclass(frozen=True)
class Ended:
    """How a command ended.

    Args:
        code: Its exit code; below 0 the signal that ended it.
        said: Its standard error.
        printed: Its standard output.
    """

    code: int
    said: str
    printed: str

    def fault(self) -> str | None:
        """Why this is no way to end for a mistake of a user or a machine; None for success and a clear error."""
        if self.code not in (0, 2):
            return f"exit code {self.code}"
        if "Traceback (most recent call last)" in self.said:
            return "a traceback"
        if self.code == 2 and not self.said.rpartition("\nllama-gene: ")[2].strip():
            return "an error that says nothing"
        return None


class Command:
    """A running ``llama-gene``.

    Args:
        words: Its arguments.
        prepare: Called in the new process, before the command; it may bound what the process may have.
    """

    def __init__(self, words: Sequence[str | Path], prepare: Callable[[], None] | None = None) -> None:
        self._said, self._printed = _Pipe(), _Pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid == 0:
            _become([str(word) for word in words], self._said.into, self._printed.into, prepare)
        os.close(self._said.into)
        os.close(self._printed.into)

    def kill(self) -> None:
        """Kill -9."""
        os.kill(self.pid, signal.SIGKILL)

    def is_running(self) -> bool:
        """Whether it has not ended yet."""
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None

    def wait(self, longest: float = LONGEST) -> Ended:
        """Wait for its end, which comes by force after `longest` seconds."""
        latest = time.monotonic() + longest
        while self.is_running():
            if time.monotonic() > latest:
                self.kill()
            time.sleep(0.002)
        _, status = os.waitpid(self.pid, 0)
        return Ended(os.waitstatus_to_exitcode(status), self._said.content(), self._printed.content())


def llama_gene(*words: str | Path, prepare: Callable[[], None] | None = None) -> Ended:
    """Run a command to its end."""
    return Command(words, prepare).wait()


def _become(words: list[str], said: int, printed: int, prepare: Callable[[], None] | None) -> None:
    """Be the command; never returns."""
    code = 1
    try:
        os.dup2(printed, 1)
        os.dup2(said, 2)
        # Those of pytest are elsewhere.
        sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)
        sys.argv = ["llama-gene", *words]
        if prepare is not None:
            prepare()
        from llama_gene.cli import main

        try:
            main()
            code = 0
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


class _Pipe:
    """What a process says, up to a megabyte; a bound on the size of files does not hold for a pipe."""

    def __init__(self) -> None:
        self._out, self.into = os.pipe()
        fcntl.fcntl(self.into, fcntl.F_SETPIPE_SZ, 1 << 20)

    def content(self) -> str:
        """All of it, once the process has ended."""
        with os.fdopen(self._out, "rb") as file:
            return file.read().decode(errors="replace")


def no_file_beyond(num_bytes: int) -> Callable[[], None]:
    """To prepare a command: no file of it may grow beyond `num_bytes`, as on a disk that is full."""

    def bound() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, num_bytes))

    return bound


def load_libraries() -> None:
    """Load what commands need, and nothing that starts a thread, which a fork would not take along."""
    import sklearn.linear_model  # noqa: F401
    import transformers.models.llama.modeling_llama  # noqa: F401

    import llama_gene.cli
    import llama_gene.evaluation.evaluate
    import llama_gene.finetune
    import llama_gene.pipeline
    import llama_gene.pretrain  # noqa: F401
