"""Whoever does the tasks, the bytes are the same; and a worker that is killed costs its task only."""

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from llama_gene.config import CorpusSettings
from llama_gene.corpus.build import build_corpus, choose_executor, do_tasks, finish_corpus
from llama_gene.corpus.executors import Executor, LocalProcesses, RayCluster, ThisProcess
from llama_gene.corpus.plan import Plan, freeze
from llama_gene.errors import FormatError, LlamaGeneError
from llama_gene.tokenizer import GeneTokenizer
from nano import dna, protein, tree

NAMES = ["a", "b", "c", "d"]


# What the workers below do; at the top of the module, so that other processes find them.


def note(folder: Path, name: str) -> None:
    """Write down that `name` is done, by whom, and how often."""
    with (folder / name).open("a") as file:
        file.write(f"{os.getpid()}\n")


def die_once(folder: Path, name: str) -> None:
    """The first worker that gets "b" dies of SIGKILL in the middle of it."""
    if name == "b" and not (folder / "died").exists():
        (folder / "died").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    note(folder, name)


def die(folder: Path, name: str) -> None:
    if name == "b":
        note(folder, "deaths")
        os.kill(os.getpid(), signal.SIGKILL)
    note(folder, name)


def refuse(folder: Path, name: str) -> None:
    if name == "b":
        raise FormatError("no such thing", where=folder / name, hint="make it")
    note(folder, name)


def crash(folder: Path, name: str) -> None:
    raise ZeroDivisionError(f"in {name}")


@pytest.fixture(params=["this", "local"])
def executor(request: pytest.FixtureRequest) -> Executor:
    return ThisProcess() if request.param == "this" else LocalProcesses(2)


def test_every_task_is_done_once(executor: Executor, tmp_path: Path) -> None:
    assert sorted(executor.run(partial(note, tmp_path), NAMES)) == NAMES
    assert [len((tmp_path / name).read_text().split()) for name in NAMES] == [1] * 4
    assert list(executor.run(partial(note, tmp_path), [])) == []


def test_an_error_of_the_user_comes_back_as_it_is(executor: Executor, tmp_path: Path) -> None:
    with pytest.raises(FormatError) as raised:
        list(executor.run(partial(refuse, tmp_path), NAMES))
    assert (raised.value.problem, raised.value.hint) == ("no such thing", "make it")
    assert str(raised.value) == f"{tmp_path / 'b'}: no such thing\n  make it"


def test_a_bug_says_where_it_is(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"(?s)task a\nTraceback .*in crash.*ZeroDivisionError: in a"):
        list(LocalProcesses(1).run(partial(crash, tmp_path), ["a"]))


def test_a_killed_worker_costs_its_task_only(tmp_path: Path) -> None:
    assert sorted(LocalProcesses(2).run(partial(die_once, tmp_path), NAMES)) == NAMES
    assert (tmp_path / "died").exists()
    assert [len((tmp_path / name).read_text().split()) for name in NAMES] == [1] * 4


def test_a_task_that_kills_every_worker_is_given_up(tmp_path: Path) -> None:
    with pytest.raises(LlamaGeneError, match=r"task b: 3 workers died at it, the last by SIGKILL\n  .*corpus\.workers"):
        list(LocalProcesses(2).run(partial(die, tmp_path), NAMES))
    assert len((tmp_path / "deaths").read_text().split()) == 3


# The corpus.


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    (folder / "bases.fa").write_text("".join(f">r{n}\n{dna(300, n % 70)}\n" for n in range(80)))
    rows = [f"p{n},{protein(30, n)}" for n in range(50)]
    (folder / "proteins.csv").write_text("\n".join(["id,sequence", *rows, "odd,MK7"]) + "\n")
    (folder / "words.txt").write_text("".join(f"The gene number {n} is open in the leaf.\n" for n in range(100)))
    return folder


def settings(**changes: Any) -> CorpusSettings:
    source = [
        {"name": "bases", "kind": "dna", "files": ["bases.fa"], "both_strands": True},
        {"name": "proteins", "kind": "protein", "files": ["proteins.csv"]},
        {"name": "words", "kind": "text", "files": ["words.txt"]},
    ]
    return CorpusSettings(**{"source": source, "window": 100, "min_length": 10, "task_size": 4000} | changes)


@pytest.fixture(scope="module")
def alone(root: Path, nano_tokenizer: GeneTokenizer, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The corpus as one process makes it."""
    output = tmp_path_factory.mktemp("alone") / "corpus"
    plan = freeze(settings(), root, nano_tokenizer, output, seed=7)
    assert isinstance(choose_executor(plan, settings()), ThisProcess)  # so little is not worth a second process
    build_corpus(plan, settings())
    return tree(output)


def test_local_processes_make_the_same_bytes(
    root: Path, alone: dict[str, bytes], nano_tokenizer: GeneTokenizer, tmp_path: Path
) -> None:
    two = settings(workers=2)
    plan = freeze(two, root, nano_tokenizer, tmp_path / "corpus", seed=7)
    assert choose_executor(plan, two) == LocalProcesses(2)
    build_corpus(plan, two)
    assert tree(tmp_path / "corpus") == alone


def test_a_killed_worker_does_not_change_the_bytes(
    root: Path, alone: dict[str, bytes], nano_tokenizer: GeneTokenizer, tmp_path: Path
) -> None:
    plan = freeze(settings(), root, nano_tokenizer, tmp_path / "corpus", seed=7)
    executor = LocalProcesses(2)
    work = partial(kill_while_writing, tmp_path / "corpus", tmp_path / "killed")
    finished = list(executor.run(work, [task.name for task in plan.tasks]))
    assert sorted(finished) == sorted(task.name for task in plan.tasks)
    assert (tmp_path / "killed").exists()
    assert list((tmp_path / "corpus" / "parts").glob(".*.part.*")) != []  # what it was writing
    finish_corpus(plan)
    assert tree(tmp_path / "corpus") == alone


def kill_while_writing(corpus: Path, killed: Path, name: str) -> None:
    """`do_task`, but the first process that has written the shard of "bases-0001" is killed before its marker."""
    from llama_gene.corpus import encode

    real = encode.write_sealed

    def write(path: Path, value: Any) -> None:
        if name == "bases-0001" and not killed.exists():
            killed.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        real(path, value)

    encode.write_sealed = write
    try:
        encode.do_task(corpus, name)
    finally:
        encode.write_sealed = real


BUILD = """
import sys
from pathlib import Path
from llama_gene.corpus.build import build_corpus
from llama_gene.corpus.plan import Plan

if __name__ == "__main__":
    plan = Plan.load(Path(sys.argv[1]))
    build_corpus(plan, plan.settings.model_copy(update={"workers": 2}))
"""


@pytest.mark.slow
def test_workers_go_with_their_parent_and_the_next_build_ends_in_the_same_bytes(
    root: Path, alone: dict[str, bytes], nano_tokenizer: GeneTokenizer, tmp_path: Path
) -> None:
    corpus = tmp_path / "corpus"
    plan = freeze(settings(), root, nano_tokenizer, corpus, seed=7)
    (tmp_path / "build.py").write_text(BUILD)
    command = [sys.executable, str(tmp_path / "build.py"), str(corpus)]
    with subprocess.Popen(command) as process:
        while not any(plan.is_done(task) for task in plan.tasks) and process.poll() is None:
            time.sleep(0.01)
        workers = psutil.Process(process.pid).children(recursive=True)
        process.kill()
    assert len(workers) >= 2
    _, alive = psutil.wait_procs(workers, timeout=20)
    assert alive == []
    subprocess.run(command, check=True)
    assert tree(corpus) == alone


def test_shares_of_a_plan_make_the_same_bytes(
    root: Path, alone: dict[str, bytes], nano_tokenizer: GeneTokenizer, tmp_path: Path
) -> None:
    freeze(settings(), root, nano_tokenizer, tmp_path / "corpus", seed=7)
    for place in (2, 0, 1):
        plan = Plan.load(tmp_path / "corpus")
        do_tasks(plan, plan.tasks[place::3], ThisProcess())
    finish_corpus(Plan.load(tmp_path / "corpus"))
    assert tree(tmp_path / "corpus") == alone


def test_without_ray_the_way_to_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(LlamaGeneError, match=r"needs the package ray\n  install it: pip install 'llama-gene\[ray\]'"):
        list(RayCluster().run(partial(note, tmp_path), NAMES))


@pytest.mark.slow
def test_a_ray_cluster_makes_the_same_bytes_though_a_worker_is_killed(
    root: Path, alone: dict[str, bytes], nano_tokenizer: GeneTokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))  # so that a worker finds this module
    plan = freeze(settings(), root, nano_tokenizer, tmp_path / "corpus", seed=7)
    work = partial(kill_while_writing, tmp_path / "corpus", tmp_path / "killed")
    finished = list(RayCluster(2).run(work, [task.name for task in plan.tasks]))
    assert sorted(finished) == sorted(task.name for task in plan.tasks)
    assert (tmp_path / "killed").exists()
    assert list((tmp_path / "corpus" / "parts").glob(".*.part.*")) != []
    finish_corpus(plan)
    assert tree(tmp_path / "corpus") == alone


@pytest.mark.slow
def test_errors_come_back_from_ray(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    with pytest.raises(FormatError, match="no such thing\n  make it"):
        list(RayCluster(1).run(partial(refuse, tmp_path), NAMES))
    with pytest.raises(LlamaGeneError, match=r"task b: 3 workers died at it"):
        list(RayCluster(1).run(partial(die, tmp_path), ["b"]))
