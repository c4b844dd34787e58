"""The rows a model is scored on, and those its baselines are trained on."""

from pathlib import Path
from typing import Any

import pytest

from llama_gene.evaluation.chosen import choose_rows
from llama_gene.files import hash_file
from llama_gene.tasks.task import Task
from nano import CONFORM

TRAIN, DEV = "sequence,label\nACGT,0\nTTTT,1\nACGT,1\n", "sequence,label\nGGGG,1\n"


class Tuned:
    """What is asked of a predictor here: its task, and the record of an exported model, which names no folder."""

    def __init__(self, sha256: str) -> None:
        told = {"path": "train.csv", "sha256": sha256, "cap": None, "seed": 1}
        self.record = {"tasks": {"conform": {**told, "bad_letters": "refuse", "contradictions": "drop"}}}

    def task(self, _: str) -> Task:
        return CONFORM


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "tasks" / "conform"
    folder.mkdir(parents=True)
    (folder / "train.csv").write_text(TRAIN)
    (folder / "dev.csv").write_text(DEV)
    return tmp_path


def test_the_training_rows_of_an_exported_model_are_found_under_the_root(root: Path) -> None:
    tuned: Any = Tuned(hash_file(root / "tasks" / "conform" / "train.csv"))
    chosen = choose_rows(tuned, "conform", root=root)
    assert [row.sequences for row in chosen.test] == [("GGGG",)]
    assert chosen.train is not None
    assert [row.sequences for row in chosen.train] == [("TTTT",)]  # drawn as they were then: contradictions are dropped


def test_other_rows_under_the_root_are_not_what_it_was_tuned_on(root: Path) -> None:
    tuned: Any = Tuned("0" * 64)
    assert choose_rows(tuned, "conform", root=root).train is None
