"""``evaluate --answers``."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Cli

CONFORM = "Does it conform? The result will be one of the following: Not Conform, Conform."


@pytest.fixture
def answers(tmp_path: Path) -> Path:
    rows = [
        {"instruction": CONFORM, "input": letter * 30, "output": output, "model_response": response}
        for letter, output, response in [("A", "Conform", "Not Conform"), ("C", "Not Conform", "Not Conform")]
    ]
    path = tmp_path / "answers.json"
    path.write_text(json.dumps(rows))
    return path


def test_both_rules_are_shown(cli: Cli, answers: Path, tmp_path: Path) -> None:
    outcome = cli("evaluate", "--answers", answers, "--output", tmp_path / "out")
    assert outcome.code == 0, outcome
    assert "accuracy 1.000 [1.000, 1.000] by the reference's substring rule, 0.500 [0.000, 1.000]" in outcome.out
    for name in ("report.html", "report.md"):
        text = (tmp_path / "out" / name).read_text()
        assert "differ on 1 of 2 rows" in text
    assert cli("report", "markdown", tmp_path / "out").out == (tmp_path / "out" / "report.md").read_text()
    again = shutil.copytree(tmp_path / "out", tmp_path / "again")
    assert "within error on 1" in " ".join(cli("report", "compare", tmp_path / "out", again).out.split())


def test_training_rows_as_instructions(cli: Cli, refused: Callable[..., list[str]], answers: Path) -> None:
    train = answers.with_name("train.jsonl")
    rows = [{"instruction": CONFORM, "input": pair * 15, "output": "Conform"} for pair in ("AC", "GT", "AG")]
    train.write_text("".join(json.dumps(row) + "\n" for row in rows))
    outcome = cli("evaluate", "--answers", answers, "--train", train, "--output", answers.with_name("out"))
    assert outcome.code == 0, outcome
    (result,) = json.loads(answers.with_name("out").joinpath("report.json").read_text())["results"]
    assert (result["n_train"], "k-mer" in result["baselines"]) == (3, True)
    train.write_text(json.dumps(rows[0] | {"instruction": "Something else?"}))
    refused("evaluate", "--answers", answers, "--train", train, parts=("train.jsonl: no row asks what was answered",))
    table = answers.with_name("train.csv")
    table.write_text("sequence,label\nACGT,1\n")
    parts = ("train.csv: a table of training rows, but not one built-in task", "tasks convert")
    refused("evaluate", "--answers", answers, "--train", table, parts=parts)


def test_one_of_a_model_and_answers(refused: Callable[..., list[str]], answers: Path) -> None:
    refused("evaluate", parts=("neither a model nor a file of answers", "--answers FILE"))
    refused("evaluate", "a-model", "--answers", answers, parts=("MODEL beside --answers",))
    refused("evaluate", "--task", "tf_0", "--answers", answers, parts=("--task beside --answers",))
    refused("evaluate", "--answers", answers.with_name("gone.json"), parts=("gone.json: no such file",))
