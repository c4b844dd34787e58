"""The model in the package: it answers right after an installation, and holds its scores on rows it has not seen."""

import os
from pathlib import Path

import pytest

from llama_gene.files import read_json
from llama_gene.inference.engine import Engine
from llama_gene.model.default import SHIPPED_MODEL
from llama_gene.tasks.convert import find_split
from llama_gene.tasks.rows import load_rows

DATA = Path(os.environ.get("LLAMA_GENE_DATA", Path(__file__).parents[2] / "shared" / "data"))
# Rows of each dev split, and the share of them that it must get right: three standard errors below what it did.
HELD = {
    "prom_300_all": 0.84,
    "prom_300_tata": 0.58,
    "prom_core_all": 0.73,
    "prom_core_tata": 0.76,
    "signalp_binary": 0.95,
}


@pytest.fixture(scope="module")
def shipped() -> Engine:
    return Engine.load(SHIPPED_MODEL)


def test_it_is_small_and_says_what_it_is() -> None:
    assert (SHIPPED_MODEL / "model.safetensors").stat().st_size < 16 * 2**20
    card = (SHIPPED_MODEL / "README.md").read_text(encoding="utf-8")
    assert all(f"| {task} |" in card for task in HELD)
    assert sorted(read_json(SHIPPED_MODEL / "llama_gene.json")["tasks"]) == sorted(HELD)


@pytest.mark.parametrize("name", HELD)
def test_it_holds_its_scores(shipped: Engine, name: str) -> None:
    if not DATA.is_dir():
        pytest.skip(f"no {DATA}: set LLAMA_GENE_DATA to the folder of the real data")
    task = shipped.task(name)
    rows = load_rows(task, find_split(task, DATA, "dev")).drawn(300)
    answers = [prediction.answer for prediction in shipped.predict(task, rows)]
    right = sum(answer == row.answer for answer, row in zip(answers, rows, strict=True))
    assert right / len(rows) >= HELD[name]
