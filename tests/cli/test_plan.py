"""``model plan`` and ``run --dry-run``: what they print, and that they write nothing."""

from collections.abc import Callable
from pathlib import Path

import pytest

import tiny

from .conftest import Cli

MISSING = """
[[data.file]]
path = "far/genome.fa.gz"
origin = "somewhere far away"
size = 300
letters = 1000
"""


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    simulated = tiny.RECIPE[tiny.RECIPE.index("[simulate]") : tiny.RECIPE.index("[vocabulary.dna]")]
    text = tiny.RECIPE.replace(simulated, "").replace("corpus/dna/*.fa", "far/*.fa.gz")
    return tiny.write_recipe(tmp_path, text + MISSING)


def test_a_dry_run_names_what_is_not_there(cli: Cli, recipe: Path) -> None:
    found = cli("run", recipe, "--dry-run")
    assert found.code == 0, found
    assert "not there yet: 1 files, 300 B\n  from somewhere far away\n    far/genome.fa.gz" in found.out
    assert "warning: no file matches 'corpus/protein/*.fa'" in found.out
    assert list(recipe.parent.iterdir()) == [recipe]


def test_model_plan_prints_every_part(cli: Cli, recipe: Path) -> None:
    found = cli("model", "plan", recipe, "pretrain.train=lora+new-rows", "--gpu", "h200", "--gpus", "4")
    assert found.code == 0, found
    words = ["ZeRO-3", "adapters", "activations", "attention", "on 4 H200 at 40%"]
    assert [word for word in words if word not in found.out] == []
    assert list(recipe.parent.iterdir()) == [recipe]


def test_what_cannot_be_planned_is_refused(refused: Callable[..., list[str]], recipe: Path) -> None:
    refused("model", "plan", recipe, "--gpu", "abacus", parts=("no GPU is named 'abacus'", "known: A100-40GB"))
    refused("model", "plan", recipe, "--gpus", "0", parts=("plan.gpus",))
    refused("model", "plan", recipe, "model.base=./none", parts=("no model at './none'",))
