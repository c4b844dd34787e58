"""Places that one cannot write to: a disk that is full, and folders that are read-only."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from torture.process import Ended, llama_gene, no_file_beyond
from torture.world import World, contents, half_written

Fault = str | None


@dataclass(frozen=True)
class Refusal:
    """A command that had no place to write to.

    Args:
        command: Its name.
        place: What was done.
        ended: How it ended, in words.
        fault: What is wrong with that; None if nothing is.
    """

    command: str
    place: str
    ended: str
    fault: Fault


@contextmanager
def small_disk(place: Path, num_bytes: int) -> Iterator[None]:
    """A file system of `num_bytes` at `place`.

    Raises:
        PermissionError: This machine lets nobody mount one.
    """
    place.mkdir(exist_ok=True)
    with _mounted("tmpfs", ["-t", "tmpfs", "-o", f"size={num_bytes}", "none"], place):
        yield


@contextmanager
def read_only(place: Path) -> Iterator[None]:
    """`place`, mounted on itself for reading alone: the permissions of a folder do not bind root.

    Raises:
        PermissionError: This machine lets nobody mount.
    """
    with _mounted("read-only", ["--bind", str(place)], place):
        subprocess.run(["mount", "-o", "remount,ro,bind", place], check=True, capture_output=True)
        yield


@contextmanager
def _mounted(what: str, options: list[str], place: Path) -> Iterator[None]:
    try:
        subprocess.run(["mount", *options, place], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        raise PermissionError(f"no {what} mount on this machine") from None
    try:
        yield
    finally:
        subprocess.run(["umount", place], check=True, capture_output=True)


def run_on_a_full_disk(world: World, num_bytes: int, *, mount: bool) -> Refusal:
    """Run the recipe up to its tuning where there is no room, give it room, and run it again.

    Args:
        world: Where; the run there begins anew.
        num_bytes: The room: of all of it on a small disk, else of each file.
        mount: Whether a small disk is mounted.
    """
    world.remove("run")
    if mount:
        with small_disk(world.run, num_bytes):
            ended = llama_gene(*world.command("run", "--until", "finetune"))
            stages, fault = _stopped(ended, world)
            subprocess.run(["mount", "-o", "remount,size=100m", world.run], check=True, capture_output=True)
            again = llama_gene(*world.command("run", "--until", "finetune"))
            fault = fault or _same(again, world)
    else:
        ended = llama_gene(*world.command("run", "--until", "finetune"), prepare=no_file_beyond(num_bytes))
        stages, fault = _stopped(ended, world)
        again = llama_gene(*world.command("run", "--until", "finetune"))
        fault = fault or _same(again, world)
    place = f"a disk of {num_bytes / 1e6:.1f} MB" if mount else f"no file beyond {num_bytes / 1e6:.2f} MB"
    return Refusal("finetune", place, f"told in {stages}; with room, the same files", fault)


def _stopped(ended: Ended, world: World) -> tuple[str, Fault]:
    working = [line.split()[1] for line in ended.said.splitlines() if line.endswith("...")]
    fault = ended.fault() or (None if ended.code == 2 else "it ended as if nothing had been")
    if fault is None and "no space left" not in ended.said:
        fault = f"not said: no space ({ended.said.strip().splitlines()[-1]})"
    drafts = half_written(world.run)
    return (working[-1] if working else "the start"), fault or (f"left behind: {drafts[0]}" if drafts else None)


def _same(ended: Ended, world: World) -> Fault:
    if ended.code:
        return f"with room it ended in {ended.code}: {ended.said}"
    run, alone = contents(world.run), contents(world.home / "alone")
    differing = [name for name in run if run[name] != alone.get(name)]
    return f"another {differing[0]}" if differing else None


def commands(world: World, output: Path) -> dict[str, list[str | Path]]:
    """Commands that write to `output`, of what is in the whole run."""
    run, rows = world.run, world.run / "data" / "tasks" / "sim_promoter"
    genome = run / "data" / "corpus" / "dna" / "genome.fa"
    asked: list[str | Path] = ["--task", "sim_promoter"]
    return {
        "predict": ["predict", rows / "test.csv", *asked, "--model", run / "model", "--output", output / "out.tsv"],
        "predict --explain": [
            "predict", rows / "dev.csv", *asked, "--model", run / "model", "--explain", output / "why",
            "--explain-records", "1", "--explain-letters", "20",
        ],
        "evaluate": ["evaluate", run / "model", *asked, "--data", rows / "dev.csv", "--output", output / "scores"],
        "vocabulary train": [
            "vocabulary", "train", genome, "--kind", "dna", "--size", "4000", "--output", output / "dna",
        ],
        "vocabulary report": ["vocabulary", "report", run / "vocabulary/dna", "--output", output / "report.html"],
        "score": ["score", rows / "dev.csv", "--model", run / "model", "--output", output / "scores.tsv"],
        "embed": ["embed", rows / "dev.csv", "--model", run / "model", "--output", output / "rows.npy"],
        "split": ["split", rows / "train.csv", "--column", "sequence:dna", "--output", output / "split"],
        "run": ["run", world.recipe, f"output={output / 'run'}"],
    }  # fmt: skip


def refusals(world: World, output: Path, what: str, prepare: Callable[[], None] | None = None) -> Iterator[Refusal]:
    """Ask every command to write to a place that does not take it: only an error will do, and no file of it."""
    for name, words in commands(world, output).items():
        before = sorted(output.rglob("*")) if output.is_dir() else []
        ended = llama_gene(*words, prepare=prepare)
        fault = ended.fault() or (None if ended.code == 2 else "it ended as if nothing had been")
        after = sorted(output.rglob("*")) if output.is_dir() else []
        left = [path.name for path in after if path not in before and path.is_file() and not path.name.startswith(".")]
        if fault is None and left and name != "run":
            fault = f"left behind: {left[0]}"
        yield Refusal(name, what, "told", fault and f"{fault}: {ended.said.strip()[-300:]}")
        if output.is_dir() and prepare is not None:
            shutil.rmtree(output)
            output.mkdir()
