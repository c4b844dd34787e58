"""The model in the package: it answers right after an installation, and holds its scores on rows it has not seen."""

import os
from pathlib import Path

import pytest

from llama_gene.errors import ModelError
from llama_gene.files import read_json
from llama_gene.inference.engine import Engine
from llama_gene.model.default import SHIPPED_MODEL
from llama_gene.model.export import CODE, export
from llama_gene.model.push import exported_files
from llama_gene.tasks.convert import find_split
from llama_gene.tasks.rows import load_rows

DATA = Path(os.environ.get("LLAMA_GENE_DATA", Path(__file__).parents[2] / "shared" / "data"))
# The tasks at which it is better than guessing: the share of 120 rows of the dev split that it must get right, three
# standard errors below what it did.
HELD = {
    "EMP_H3": 0.68,
    "EMP_H4": 0.68,
    "central_dogma": 0.94,
    "ec_main_class": 0.62,
    "metal_ion_binding": 0.68,
    "mouse_0": 0.74,
    "mouse_3": 0.66,
    "neuropeptide_cleavage": 0.86,
    "peer_subloc_binary": 0.76,
    "ppi_yeast_string": 0.71,
    "prom_300_all": 0.82,
    "prom_300_tata": 0.82,
    "prom_core_all": 0.84,
    "prom_core_tata": 0.8,
    "rna_protein_RPI1807": 0.91,
    "scop_class": 0.62,
    "signalp_binary": 0.91,
    "splice_reconstructed": 0.7,
    "tf_0": 0.67,
    "tf_1": 0.63,
    "tf_2": 0.66,
    "tf_3": 0.63,
}


@pytest.fixture(scope="module")
def shipped() -> Engine:
    return Engine.load(SHIPPED_MODEL)


def test_it_is_small_and_says_what_it_is() -> None:
    assert (SHIPPED_MODEL / "model.safetensors").stat().st_size < 16 * 2**20
    card = (SHIPPED_MODEL / "README.md").read_text(encoding="utf-8")
    tasks = read_json(SHIPPED_MODEL / "llama_gene.json")["tasks"]
    assert len(tasks) == 33
    assert set(HELD) < set(tasks)
    assert all(card.count(f"| {task} |") == 2 for task in tasks)  # with its data, and with its score


def test_an_export_brings_its_code_and_opens_in_stock_transformers(tmp_path: Path) -> None:
    check = export(SHIPPED_MODEL, tmp_path / "mini")
    assert check.difference <= 1e-4
    assert (tmp_path / "mini" / CODE.name).read_bytes() == CODE.read_bytes()
    assert "trust_remote_code=True" in (tmp_path / "mini" / "README.md").read_text(encoding="utf-8")
    assert CODE.name in {path.name for path in exported_files(tmp_path / "mini")}
    (tmp_path / "mini" / CODE.name).write_text("print('not ours')\n")
    with pytest.raises(ModelError, match=r"modeling_gene\.py is no part of an export"):
        exported_files(tmp_path / "mini")
    # Ours opens it without running what the folder brings.
    assert Engine.load(tmp_path / "mini").task_names == Engine.load(SHIPPED_MODEL).task_names


@pytest.mark.parametrize("name", HELD)
def test_it_holds_its_scores(shipped: Engine, name: str) -> None:
    if not DATA.is_dir():
        pytest.skip(f"no {DATA}: set LLAMA_GENE_DATA to the folder of the real data")
    task = shipped.task(name)
    rows = load_rows(task, find_split(task, DATA, "dev")).drawn(120)
    answers = [prediction.answer for prediction in shipped.predict(task, rows)]
    right = sum(answer == row.answer for answer, row in zip(answers, rows, strict=True))
    assert right / len(rows) >= HELD[name]
