"""The tutorials: notebooks that were run, and that run again. Their commands are parsed in test_docs_blocks.py."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("nbclient", reason="the tutorials take: pip install 'llama-gene[docs]'")

import tutorials

NOTEBOOKS = sorted(tutorials.FOLDER.glob("*.ipynb"))


def code_cells(path: Path) -> list[dict[str, Any]]:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in cells if cell["cell_type"] == "code"]


def test_there_are_five() -> None:
    assert len(NOTEBOOKS) == 5


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_tutorial_holds_what_it_printed(path: Path) -> None:
    cells = code_cells(path)
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    for cell in cells:
        if cell["source"][0].startswith("%%bash"):
            assert cell["outputs"], cell["source"]
    assert [output for cell in cells for output in cell["outputs"] if output["output_type"] == "error"] == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_tutorial_shows_nothing_of_the_machine_it_was_run_on(path: Path) -> None:
    assert re.findall(r"/(?:tmp|home|root|work|usr|Users)/[\w.-]*", path.read_text(encoding="utf-8")) == []


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_tutorial_runs(path: Path, tmp_path: Path) -> None:
    run = tutorials.execute(path, tmp_path)
    before = code_cells(path)
    after = [cell for cell in run.cells if cell.cell_type == "code"]
    assert [bool(cell.outputs) for cell in after] == [bool(cell["outputs"]) for cell in before]
