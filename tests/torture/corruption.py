"""Damaged bytes in every kind of artefact, and the command that reads it."""

import json
import os
import random
import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from llama_gene.files import unseal
from torture.damage import KINDS
from torture.process import Ended, llama_gene
from torture.world import World, contents, half_written

TASK = "sim_promoter"


@dataclass(frozen=True)
class Artefact:
    """A kind of artefact.

    Args:
        name: What it is called.
        files: Its files, as patterns in the run's folder, with blanks between them.
        words: The command that reads them; ``{run}``, ``{home}`` and ``{task}`` stand for folders.
        made: What it makes, in the home; empty if it only prints.
        start: Which state the run is in before.
        gone: What of it is taken away first, so that there is something to do.
        free: Whether people write it or may leave it out: then another valid content is another wish, and no damage.
    """

    name: str
    files: str
    words: str
    made: str = ""
    start: str = "whole"
    gone: tuple[str, ...] = ()
    free: bool = False

    def command(self, world: World) -> list[str]:
        """Its command in a world."""
        task = world.run / "data" / "tasks" / TASK
        return [word.format(run=world.run, home=world.home, task=task) for word in self.words.split()]


_RUN = "run {home}/tiny.toml output={run}"
_PRETRAIN = "pretrain {home}/tiny.toml output={run}"
_NO_PRETRAINED = ("pretrained", "stages/pretrain.json")
_NO_CORPUS = ("stages/corpus.json", "corpus/manifest.json")
_NO_REPORT = ("report", "stages/evaluate.json")
# Of more rows than are asked at a time, so that some are kept when it is stopped.
_PREDICT = f"predict {{task}}/test.csv --task {TASK} --model {{run}}/model --output {{run}}/out.tsv"
_SCORE = f"--task {TASK} --data {{task}}/dev.csv --output {{home}}/scores"

ARTEFACTS = (
    Artefact("shard: ids", "corpus/parts/*/documents.ids", _PRETRAIN, "run/pretrained", gone=_NO_PRETRAINED),
    Artefact(
        "shard: ends, places, hashes, draws, records", "corpus/parts/*/documents.[!i]*",
        _PRETRAIN, "run/pretrained", gone=_NO_PRETRAINED,
    ),
    Artefact("shard: splits", "corpus/splits/*", _PRETRAIN, "run/pretrained", gone=_NO_PRETRAINED),
    Artefact(
        "shard of an unfinished corpus", "corpus/parts/*/documents.*",
        _PRETRAIN, "run/pretrained", gone=(*_NO_PRETRAINED, *_NO_CORPUS),
    ),
    Artefact("manifest", "corpus/manifest.json", _PRETRAIN, "run/pretrained", gone=_NO_PRETRAINED),
    Artefact(
        "plan of a corpus", "corpus/plan.json corpus/places.json corpus/parts/*/done.json",
        f"{_RUN} --until corpus", "run/corpus", gone=_NO_CORPUS,
    ),
    Artefact("checkpoint", "work/pretrain/*/checkpoint-8/*", _PRETRAIN, "run/pretrained", "stopped in pretrain"),
    Artefact("stamps of stages", "stages/*.json recipe.json", f"{_RUN} --until corpus", "run/corpus"),
    Artefact("kept scores", "work/evaluate/*/*", _RUN, "run/report", "stopped in evaluate"),
    Artefact("kept baselines", "baselines/*.json", _RUN, "run/report", gone=_NO_REPORT),
    Artefact("model: weights", "model/model.safetensors", _PREDICT, "run/out.tsv"),
    Artefact("model: configuration", "model/config.json model/generation_config.json", _PREDICT, "run/out.tsv"),
    Artefact("model: record", "model/llama_gene.json", _PREDICT, "run/out.tsv"),
    Artefact("model: task", f"model/tasks/{TASK}.toml", _PREDICT, "run/out.tsv"),
    Artefact("calibration", "model/calibration.json", _PREDICT, "run/out.tsv", free=True),
    Artefact("tokenizer", "model/tokenizer.json model/tokenizer_config.json", _PREDICT, "run/out.tsv"),
    Artefact(
        "base of a stage", "pretrained/config.json pretrained/*token* pretrained/llama* pretrained/*.safetensors",
        "finetune {home}/tiny.toml output={run}", "run/model", gone=("model", "stages/finetune.json"),
    ),
    Artefact("predictions, half done", ".out.tsv.*", _PREDICT, "run/out.tsv", "stopped in predict"),
    Artefact(
        "vocabulary", "vocabulary/*/*.json", f"{_RUN} --until model", "run/base", gone=("base", "stages/model.json")
    ),
    Artefact(
        "a stranger's model", "stranger/*",
        "evaluate {run}/stranger --task {task}/task.toml --data {task}/dev.csv --output {home}/scores", free=True,
    ),
    Artefact("stored report", "report/report.json", "report markdown {run}/report"),
    Artefact(
        "stored predictions", "report/predictions/*.tsv",
        "report compare {run}/report {run}/again --output {home}/comparison", "comparison", free=True,
    ),
    Artefact("recipe", "tiny.toml", "run {run}/tiny.toml output={run} --dry-run", free=True),
    Artefact("task file", f"data/tasks/{TASK}/task.toml", "tasks check {task}/task.toml {task}/dev.csv", free=True),
    Artefact("labelled table", f"data/tasks/{TASK}/dev.csv", f"evaluate {{run}}/model {_SCORE}", free=True),
    Artefact(
        "answers of another program", "answers.json",
        "evaluate --answers {run}/answers.json --output {home}/scores", free=True,
    ),
)  # fmt: skip


ENDS = ("the right result", "a clear error", "another valid content")


@dataclass(frozen=True)
class Case:
    """One damage and how it ended.

    Args:
        artefact: The artefact.
        damage: The kind of damage.
        detail: The file, and what was done to it.
        ended: One of `ENDS`, or "another result".
        fault: What is wrong with that; None if nothing is.
        said: What the command said.
    """

    artefact: str
    damage: str
    detail: str
    ended: str
    fault: str | None
    said: str


def cases(world: World, artefact: Artefact, rounds: dict[str, int], seed: int = 0) -> Iterator[Case]:
    """Damage an artefact, and have it read.

    Args:
        world: Where, in its states.
        artefact: What.
        rounds: How often for each kind of damage.
        seed: Decides where the damage is.
    """
    words = artefact.command(world)
    _prepare(world, artefact)
    wanted = llama_gene(*words)
    assert wanted.code == 0, wanted.said
    right = _result(world, artefact, wanted)
    draw = random.Random(f"{artefact.name} {seed}")
    for kind, times in rounds.items():
        for _ in range(times):
            _prepare(world, artefact)
            path = draw.choice([path for pattern in artefact.files.split() for path in sorted(world.run.glob(pattern))])
            done = KINDS[kind](path, draw)
            if not done:
                continue
            ended = llama_gene(*words)
            how, fault = _judge(world, artefact, ended, right)
            yield Case(artefact.name, kind, f"{path.relative_to(world.run)}: {done}", how, fault, ended.said)


def _prepare(world: World, artefact: Artefact) -> None:
    world.restore(artefact.start)
    for path in (*(world.run / name for name in artefact.gone), world.home / "scores", world.home / "comparison"):
        _remove(path)


def _remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def _result(world: World, artefact: Artefact, ended: Ended) -> object:
    return contents(world.home / artefact.made) if artefact.made else ended.printed


def _judge(world: World, artefact: Artefact, ended: Ended, right: object) -> tuple[str, str | None]:
    fault = ended.fault()
    drafts = half_written(world.home)
    if fault is None and drafts:
        fault = f"left behind: {drafts[0]}"
    if ended.code:
        made = world.home / artefact.made
        if fault is None and artefact.made and artefact.name not in _GROWING and made.exists():
            fault = f"{artefact.made} is there, though the command failed"
        return "a clear error", fault
    if _result(world, artefact, ended) == right:
        return "the right result", fault
    if artefact.free:
        return "another valid content", fault
    return "another result", fault or "a wrong result, and nobody is told"


# A corpus grows task by task under its own name, and is one only once it has a manifest.
_GROWING = {"plan of a corpus", "stamps of stages"}


def make_states(world: World) -> None:
    """The states that artefacts are damaged in: the finished run, and runs that were stopped."""
    model = world.run / "model"
    ended = llama_gene(
        "evaluate", model, "--task", TASK, "--data", world.run / f"data/tasks/{TASK}/dev.csv", "--keep-temperature"
    )
    assert ended.code == 0, ended.said
    shutil.copy(world.recipe, world.run)
    (world.run / "stranger").mkdir()
    for path in (world.run / "base").iterdir():
        if path.name != "llama_gene.json":
            shutil.copy(path, world.run / "stranger")
    shutil.copytree(world.run / "report", world.run / "again")
    report = world.run / "again" / "report.json"
    report.write_text(json.dumps({**unseal(json.loads(report.read_text()), report), "title": "again"}))
    question = {"instruction": "Is it a promoter? Answer with Promoter or Non-promoter.", "output": "Promoter"}
    rows = [question | {"input": "ACGT" * number, "model_response": "Promoter"} for number in range(3, 9)]
    (world.run / "answers.json").write_text(json.dumps(rows))
    world.keep("whole")
    stops = {
        "pretrain": (_NO_PRETRAINED, _PRETRAIN, _stop_after("llama_gene.training.trainer", "finish_checkpoint", 2)),
        "evaluate": (_NO_REPORT, _RUN, _stop_after("llama_gene.pipeline.tuning", "write_text", 2)),
        "predict": ((), _PREDICT, _stop_after("llama_gene.inference.resume", "write_sealed", 1)),
    }
    for stage, (gone, words, stop) in stops.items():
        world.restore("whole")
        for name in gone:
            _remove(world.run / name)
        ended = llama_gene(*Artefact("", "", words).command(world), prepare=stop)
        assert ended.code == -signal.SIGKILL, ended.said
        world.keep(f"stopped in {stage}")
    world.restore("whole")


def _stop_after(module: str, name: str, times: int) -> Callable[[], None]:
    """To prepare a command: it is killed once `name` has returned so many times."""

    def prepare() -> None:
        import importlib

        found = importlib.import_module(module)
        real, calls = getattr(found, name), iter(range(times - 1))

        def call(*args: object, **kwargs: object) -> None:
            real(*args, **kwargs)
            if next(calls, None) is None:
                os.kill(os.getpid(), signal.SIGKILL)

        setattr(found, name, call)

    return prepare
