"""A run that is killed in every one of its stages, and started again, ends as one that was left alone."""

import json
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import tiny
from llama_gene.training.curves import PAGE

# Where a stage is stopped to be killed: at the rename that would finish what it is writing. What it has finished
# before (the DNA of the vocabulary, a part of the corpus, a checkpoint, a task's scores) must be of use afterwards.
PLACES = {
    "simulate": r"/run/data$",
    "vocabulary": r"part\.vocabulary/protein$",
    "model": r"/run/base$",
    "corpus": r"/corpus/parts/proteins-0000$",
    "pretrain": r"/work/pretrain/\w+/checkpoint-8$",
    "finetune": r"/work/finetune/\w+/checkpoint-6$",
    "evaluate": r"/work/evaluate/\w+/sim_promoter_strength\.json$",
}
FINISHED_BEFORE = {
    "corpus": "corpus/parts/genome-0000/done.json",
    "pretrain": "work/pretrain/*/checkpoint-4/complete.json",
    "finetune": "work/finetune/*/checkpoint-3/complete.json",
    "evaluate": "work/evaluate/*/sim_promoter.json",
}
PAUSED = """
import re, sys, time
from pathlib import Path

place = re.compile(sys.argv.pop(1))
replace = Path.replace


def pause(self, target):
    if place.search(Path(target).as_posix()):
        print("paused", flush=True)
        time.sleep(600)
    return replace(self, target)


Path.replace = pause
from llama_gene.cli import main
main()
"""


def run_and_kill(recipe: Path, folder: Path, stage: str) -> None:
    """Start the run, and kill -9 it in the middle of `stage`."""
    command = [sys.executable, "-c", PAUSED, PLACES[stage], "run", str(recipe), f"output={folder}"]
    with subprocess.Popen(
        command, env=tiny.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            reached = process.stdout.readline()
        finally:
            process.kill()
        said = process.stderr.read()
    assert reached == "paused\n", f"{stage} was not reached:\n{said}"
    assert process.returncode == -signal.SIGKILL
    working = [line for line in said.splitlines() if line.endswith("...")]
    assert working[-1].endswith(f"{stage} ..."), said


def contents(run: Path, part: str) -> dict[str, bytes]:
    """The files of a part of a run, without its place, its time and speed, and the seals of what says those."""
    files = {name: content.replace(bytes(run), b"RUN") for name, content in tiny.files_of(run / part).items()}
    files.pop(PAGE, None)
    times = rb'"seal": "[0-9a-f]+"|"seconds": [0-9.]+|"tokens_per_second": \[[^]]*\]'
    return {name: re.sub(times, b"", content) for name, content in files.items()}


def make_time(pattern: str, folder: Path) -> int:
    (path,) = folder.glob(pattern)
    return path.stat().st_mtime_ns


@pytest.fixture(scope="module")
def killed_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was killed once in each stage, each time started again, and at last left to finish."""
    home = tmp_path_factory.mktemp("killed")
    folder, recipe = home / "run", tiny.write_recipe(home)
    for number, stage in enumerate(tiny.STAGES):
        run_and_kill(recipe, folder, stage)
        done = {path.stem for path in (folder / "stages").glob("[a-z]*.json")}
        assert done == set(tiny.STAGES[:number])
        assert tiny.drafts_in(folder) or stage in {"pretrain", "finetune"}  # checkpoints have a draft of their own
        if stage in FINISHED_BEFORE:
            assert list(folder.glob(FINISHED_BEFORE[stage])), f"{stage} had finished nothing"
        if stage == "corpus":
            encoded = make_time(FINISHED_BEFORE["corpus"], folder)
    finished = tiny.llama_gene("run", recipe, f"output={folder}")
    assert finished.returncode == 0, finished.stderr
    assert finished.stderr.count("done before") == len(tiny.STAGES) - 1
    assert make_time(FINISHED_BEFORE["corpus"], folder) == encoded, "a finished part of the corpus was encoded again"
    return folder


@pytest.mark.parametrize("part", ["data", "vocabulary", "base", "corpus", "pretrained", "model"])
def test_a_killed_run_makes_the_same_files(part: str, killed_run: Path, tiny_run: Path) -> None:
    killed, whole = contents(killed_run, part), contents(tiny_run, part)
    assert killed.keys() == whole.keys()
    assert [name for name in whole if killed[name] != whole[name]] == []


def test_a_killed_run_ends_with_the_same_scores(killed_run: Path, tiny_run: Path) -> None:
    killed, whole = (json.loads((run / "report" / "report.json").read_text()) for run in (killed_run, tiny_run))
    assert len(whole["results"]) == len(tiny.TASKS)
    assert killed["results"] == whole["results"]
    assert killed["bits_per_letter"] == whole["bits_per_letter"]
    assert killed["curves"] == whole["curves"]


def test_a_killed_run_leaves_nothing_behind(killed_run: Path, tiny_run: Path) -> None:
    assert tiny.drafts_in(killed_run) == []
    killed, whole = (
        {name for name in tiny.files_of(run) if not name.startswith("logs/") or name.endswith(PAGE)}
        for run in (killed_run, tiny_run)
    )
    assert killed == whole


MANY_CHECKPOINTS = ("pretrain.tokens=40_000", "pretrain.checkpoint_every=1")  # 78 steps


def newest_step(run: Path) -> int:
    names = [path.name for path in run.glob("work/pretrain/*/checkpoint-*")]
    return max((int(name.rpartition("-")[2]) for name in names), default=0)


def kill_at_random(words: list[str], run: Path, draw: random.Random) -> int:
    """Start the training, and kill -9 it anywhere in a step, some steps on; the step of the newest checkpoint then."""
    goal = newest_step(run) + draw.randint(0, 4)  # 0: before it has done anything
    code = "from llama_gene.cli import main; main()"
    with subprocess.Popen([sys.executable, "-c", code, *words], env=tiny.environment()) as process:
        while newest_step(run) < goal:
            assert process.poll() is None
            time.sleep(0.005)
        time.sleep(draw.random() / 10)
        assert process.poll() is None, "it was done before it was killed"
        process.kill()
    return newest_step(run)


@pytest.mark.parametrize("num_kills", [3, pytest.param(10, marks=pytest.mark.slow)])
def test_a_training_killed_at_random_moments_ends_in_the_same_bits(
    num_kills: int, tiny_run: Path, tmp_path: Path
) -> None:
    recipe = tiny.write_recipe(tmp_path)
    whole, killed = (tiny.copy_run(tiny_run, tmp_path / name) for name in ("whole", "killed"))
    draw = random.Random(num_kills)
    words = ["pretrain", str(recipe), f"output={killed}", *MANY_CHECKPOINTS]
    steps = [kill_at_random(words, killed, draw) for _ in range(num_kills)]
    assert 0 < steps[-1] < 78
    for run in (killed, whole):
        done = tiny.llama_gene("pretrain", recipe, f"output={run}", *MANY_CHECKPOINTS)
        assert done.returncode == 0, done.stderr
    weights = [(run / "pretrained" / "model.safetensors").read_bytes() for run in (killed, whole)]
    assert weights[0] == weights[1]
    assert weights[0] != (tiny_run / "pretrained" / "model.safetensors").read_bytes()
