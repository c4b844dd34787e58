"""A table that no definition knows becomes a task, a model, a report and predictions, by the README's four commands."""

import csv
import random
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from llama_gene.files import read_json
from nano import dna, protein

from .conftest import Cli

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
NUM_ROWS, NUM_NEW = 60, 5
# The quickstart is minutes long; so much smaller it is the same path in seconds.
SMALLER = (
    "simulate.num_train=20", "simulate.num_dev=10", "model.size=gene-nano", "model.context=192",
    "model.text_vocabulary=300", "pretrain.tokens=2000", "pretrain.block_size=128", "pretrain.batch_size=2",
    "pretrain.precision=fp32", "finetune.block_size=192", "finetune.epochs=1", "finetune.precision=fp32",
    "evaluation.wording_rows=5",
)  # fmt: skip
PLACES = ("cell wall", "cytosol", "golgi", "membrane", "nucleus", "nucleus, inner", "vacuole")  # a name begins another


def motifs(draw: random.Random, row: int) -> tuple[str, ...]:
    """Binary, one sequence."""
    return f"e{row}", dna(20, row) + ("TATAAAAG" if row % 2 else "GCGCGCGC"), str(row % 2)


def places(draw: random.Random, row: int) -> tuple[str, ...]:
    """Seven classes, one sequence."""
    return f"p{row}", protein(30, row), PLACES[row % 7]


def bindings(draw: random.Random, row: int) -> tuple[str, ...]:
    """Regression, a pair."""
    return f"b{row}", dna(30, row), protein(30, row), f"{draw.uniform(0, 4):.2f}"


Row = Callable[[random.Random, int], tuple[str, ...]]
SETS: dict[str, tuple[str, Row]] = {
    "motifs": ("name,piece,active", motifs),
    "places": ("name,residues,where", places),
    "bindings": ("name,site,factor,kd", bindings),
}


def four_commands(name: str, question: str) -> list[list[str]]:
    """The block of the README that begins with `tasks new`, as words, for a table of another name."""
    (block,) = re.findall(r"^```sh\n(llama-gene tasks new .*?)^```", README, re.MULTILINE | re.DOTALL)
    (table,) = re.findall(r"tasks new (\w+)\.csv", block)
    (asked,) = re.findall(r'--question "(.*)"', block)
    lines = block.replace(table, name).replace(asked, question).splitlines()
    return [shlex.split(line)[1:] for line in lines]


@pytest.mark.parametrize("name", SETS)
def test_the_four_commands(name: str, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    header, make = SETS[name]
    draw = random.Random(1)
    rows = [make(draw, row) for row in range(NUM_ROWS + NUM_NEW)]
    for path, some, last in ((f"{name}.csv", rows[:NUM_ROWS], None), ("new.csv", rows[NUM_ROWS:], -1)):
        with Path(path).open("w", newline="") as stream:
            csv.writer(stream).writerows([header.split(",")[:last], *(row[:last] for row in some)])
    commands = four_commands(name, "What do you see here?")
    assert [words[:2][words[0] == "tasks"] for words in commands] == ["new", "quickstart", "evaluate", "predict"]
    said = [cli(*words, *(SMALLER if words[0] == "quickstart" else ())) for words in commands]
    assert [one.code for one in said] == [0, 0, 0, 0], said
    (result,) = read_json(Path("runs") / name / "evaluation" / "report.json")["results"]
    assert result["n_test"] == 6
    assert result["baselines"]
    lines = said[-1].out.splitlines()
    predicted = [dict(zip(lines[0].split("\t"), line.split("\t"), strict=True)) for line in lines[1:]]
    assert [row["id"] for row in predicted] == [row[0] for row in rows[NUM_ROWS:]]
    if name == "bindings":
        assert all(-0.5 < float(row["value"]) < 4.5 for row in predicted)
    else:
        names = {"motifs": ("no", "yes"), "places": PLACES}[name]
        assert {row["label"] for row in predicted} <= set(names)
        for row in predicted:
            assert sum(float(row[f"p({answer})"]) for answer in names) == pytest.approx(1, abs=1e-3)
