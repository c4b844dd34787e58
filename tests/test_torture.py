"""The short form of ``make torture``: some of each kind of fault, on the tiny run that other tests share."""

import random
import shutil
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

import tiny
from torture import corruption, packed, places
from torture.process import LONGEST, Command, Ended, llama_gene, no_file_beyond
from torture.world import World, half_written


@pytest.fixture(scope="module")
def world(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The tiny run, and a copy of it to be damaged; a run reads its own folder's name nowhere that is used here."""
    world = World(tmp_path_factory.mktemp("torture"))
    tiny.write_recipe(world.home)
    for name in ("run", "whole"):
        tiny.copy_run(tiny_run, world.home / name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TOKENIZERS_PARALLELISM", "false")
        yield world


READ_WITHOUT_TRAINING = ("model: weights", "model: record", "tokenizer", "stored report", "recipe", "task file")


@pytest.mark.parametrize("name", READ_WITHOUT_TRAINING)
def test_damage_is_told_or_does_no_harm(name: str, world: World) -> None:
    (artefact,) = [one for one in corruption.ARTEFACTS if one.name == name]
    shutil.copy(world.recipe, world.home / "whole")
    found = list(corruption.cases(world, artefact, {"bit flip": 1, "truncated": 1}, seed=3))
    assert [(case.detail, case.fault, case.said) for case in found if case.fault] == []
    assert len(found) == 2


def test_a_changed_bit_of_the_weights_is_found(world: World) -> None:
    world.restore("whole")
    weights = world.run / "model" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-100] ^= 1
    weights.write_bytes(content)
    artefact = next(one for one in corruption.ARTEFACTS if one.name == "model: weights")
    ended = llama_gene(*artefact.command(world))
    assert (ended.code, ended.fault()) == (2, None)
    assert "model.safetensors: not the file that this model was saved with" in ended.said
    assert not (world.run / "out.tsv").exists()


@pytest.mark.parametrize("name", ["predict", "evaluate", "vocabulary train"])
def test_a_full_disk_and_a_file_in_the_way(name: str, world: World) -> None:
    world.restore("whole")
    blocked = world.home / "blocked"
    blocked.write_text("in the way")
    small = world.home / "small"
    small.mkdir(exist_ok=True)
    for output, prepare in ((blocked, None), (small, no_file_beyond(100))):
        ended = llama_gene(*places.commands(world, output)[name], prepare=prepare)
        assert (ended.code, ended.fault()) == (2, None), ended.said
    assert [path for path in small.rglob("*") if path.is_file() and not path.name.startswith(".")] == []
    assert half_written(world.home) == []


def test_packed_files_that_end_too_early(world: World) -> None:
    world.restore("whole")
    found = list(islice(packed.cuts(world, 2), random.Random(1).randrange(3), None, 9))
    assert len(found) >= 6
    assert [cut for cut in found if cut.fault] == []


def test_what_counts_as_a_fault() -> None:
    assert Ended(0, "", "").fault() is None
    assert Ended(2, "llama-gene: a.fa: the file is empty", "").fault() is None
    assert Ended(1, "llama-gene: this is a bug of ours", "").fault() == "exit code 1"
    assert Ended(-9, "", "").fault() == "exit code -9"
    assert Ended(2, "Traceback (most recent call last):", "").fault() == "a traceback"
    assert Command(["doctor", "--help"]).wait(LONGEST).code == 0
