"""Start the processes of a training on this machine; they end together, and one word says why.

Not by torch's own launcher: it answers Ctrl-C, a killed process and a user's mistake with pages of its log, and leaves
its processes behind where it is killed itself.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from llama_gene.errors import EXIT_BAD_INPUT, EXIT_CRASH, EXIT_INTERRUPTED, LlamaGeneError
from llama_gene.training.parallel import rank

_WORD = "LLAMA_GENE_LAST_WORD"  # names the file in which a member says why it failed
_POLL_S = 0.05
_GRACE_S = 3.0  # a member that fails for the loss of another one must not be blamed
_TAIL_LINES = 20


@contextmanager
def member() -> Iterator[None]:
    """Be one of the processes that `launch` starts: end when it ends, and leave it a word on what went wrong."""
    threading.Thread(target=_end_with_the_launcher, daemon=True).start()
    _take_gpu()
    try:
        yield
    except LlamaGeneError as error:
        word: dict[str, Any] = {"problem": error.problem, "where": error.where, "hint": error.hint}
    except BaseException:  # noqa: BLE001 - it is handed over whole
        word = {"traceback": traceback.format_exc()}
    else:
        word = {}
    if word:
        Path(os.environ[_WORD]).write_text(json.dumps(word), encoding="utf-8")
    leave(EXIT_BAD_INPUT if "problem" in word else EXIT_CRASH if word else 0)


@contextmanager
def joined() -> Iterator[None]:
    """Be one of the processes that torchrun has started; the process ends with the block.

    What all of them find out is said by the first. Others wait before they speak, and are ended meanwhile.
    """
    _take_gpu()
    code = 0
    try:
        yield
    except LlamaGeneError as error:
        time.sleep(_GRACE_S if rank() else 0)
        print(f"llama-gene: {error}", file=sys.stderr)
        code = EXIT_BAD_INPUT
    except KeyboardInterrupt:
        code = EXIT_INTERRUPTED
    except BaseException:  # noqa: BLE001 - it may come of another's end
        time.sleep(_GRACE_S)
        traceback.print_exc()
        code = EXIT_CRASH
    finally:
        leave(code)


def _take_gpu() -> None:
    """Take the GPU with this process's number."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))


def leave(code: int) -> NoReturn:
    """End a process of a group at once: winding the group up may wait for processes that are gone, or for itself."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _end_with_the_launcher() -> None:
    os.read(sys.stdin.fileno(), 1)  # nothing comes: it ends with the process that holds the other end
    os._exit(EXIT_CRASH)


def launch(command: Sequence[str], num_processes: int) -> None:
    """Run `command` as processes that train as one, each as a `member`; only the first is heard.

    Raises:
        LlamaGeneError: What a member raised; or one was killed.
        RuntimeError: A member crashed: its traceback.
    """
    from torch.distributed import TCPStore  # type: ignore[attr-defined]

    # Held here, where the port is free for sure: the members meet in it.
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    with tempfile.TemporaryDirectory(prefix="llama-gene-") as folder:
        members = [_start(command, number, num_processes, store.port, Path(folder)) for number in range(num_processes)]
        try:
            failed = _wait(members, Path(folder))
        finally:
            for process in members:
                process.kill()
            for process in members:
                process.wait()
        if failed is not None:
            _raise(failed, members[failed].returncode, num_processes, Path(folder))


def _start(command: Sequence[str], number: int, size: int, port: int, folder: Path) -> subprocess.Popen[bytes]:
    from llama_gene.vocabulary.bpe import num_cpus

    environment = os.environ | {
        "RANK": str(number),
        "LOCAL_RANK": str(number),
        "WORLD_SIZE": str(size),
        "LOCAL_WORLD_SIZE": str(size),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "TORCHELASTIC_USE_AGENT_STORE": "True",
        "TORCHELASTIC_RESTART_COUNT": "0",
        _WORD: str(folder / f"{number}.json"),
    }
    environment.setdefault("OMP_NUM_THREADS", str(max(1, num_cpus() // size)))
    with (folder / f"{number}.log").open("wb") as log:
        said = None if number == 0 else log
        # Out of the terminal's group: Ctrl-C is for the launcher, which then ends all.
        return subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=said, stderr=said, process_group=0
        )


def _wait(members: Sequence[subprocess.Popen[bytes]], folder: Path) -> int | None:
    """Wait for all, or for one to fail; the number of the one to blame."""
    first_failure = None
    while True:
        codes = [process.poll() for process in members]
        failed = [number for number, code in enumerate(codes) if code]
        if not failed and None not in codes:
            return None
        # A mistake or a fault that is understood says most; then that one was killed; a crash may come of either.
        for number in failed:
            if codes[number] == EXIT_BAD_INPUT:
                return number
        for number in failed:
            if not (folder / f"{number}.json").exists():
                return number
        if failed:
            first_failure = first_failure or time.monotonic()
            if time.monotonic() - first_failure > _GRACE_S or None not in codes:
                return failed[0]
        time.sleep(_POLL_S)


def _raise(number: int, code: int, size: int, folder: Path) -> None:
    who = f"process {number} of the {size} that train together"
    path = folder / f"{number}.json"
    if not path.exists():
        log = (folder / f"{number}.log").read_text(encoding="utf-8", errors="replace").splitlines()[-_TAIL_LINES:]
        problem = "\n".join([f"{who} was killed (signal {-code})" if code < 0 else f"{who} ended with {code}", *log])
        hint = "if memory was short, lower batch_size or processes; the same command goes on from the last checkpoint"
        raise LlamaGeneError(problem, hint=hint)
    word = json.loads(path.read_text(encoding="utf-8"))
    if "traceback" in word:
        raise RuntimeError(f"{who} failed:\n{word['traceback']}")
    raise LlamaGeneError(word["problem"], where=word["where"], hint=word["hint"])
