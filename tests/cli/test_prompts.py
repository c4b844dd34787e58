"""What a model is asked in training, in evaluation and by `predict` is the same, byte for byte."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llama_gene.corpus.pack import IGNORE, Row
from llama_gene.evaluation.evaluate import evaluate_task
from llama_gene.finetune import TaskRows, finetune, tune
from llama_gene.inference import local
from llama_gene.inference.engine import Engine
from llama_gene.tasks.rows import load_rows
from llama_gene.tasks.task import Task
from llama_gene.tokenizer import GeneTokenizer
from nano import PAIR, TASKS, dna, finetune_settings, protein

from .conftest import Cli

Prompts = dict[str, list[bytes]]

# As people have them: small letters, RNA, an ambiguity code, a stop, and one too long for a row.
GENES = [dna(20, 1), "acguuacgna", "ACGTNRYACG", dna(200, 2)]
PROTEINS = [protein(20, 1), "mkvllw", "MKXLV*", protein(200, 2)]
CELLS = {
    "conform": "0101",
    "pair": "0110",
    "strength": ["0.1", "-0.3", "1.2", "7"],
    "flags": ["0;1", "1;1", "0;0", "1;0"],
}


def write_table(task: Task, folder: Path) -> Path:
    path = folder / f"{task.name}.csv"
    header = "seq_id_a,seq_id_b,seq_type_a,seq_type_b,seq_a,seq_b,label" if task is PAIR else "sequence,label"
    with path.open("w", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(header.split(","))
        for place, (gene, sequence, cell) in enumerate(zip(GENES, PROTEINS, CELLS[task.name], strict=True)):
            pair = (f"a{place}", f"b{place}", "gene", "prot", gene, sequence, cell)
            table.writerow(pair if task is PAIR else (gene, cell))
    return path


def trained_on(row: Row, tokenizer: GeneTokenizer) -> list[bytes]:
    """The prompts in a packed row: of each document what stands before its first target."""
    ids, labels = row["input_ids"], row["labels"]
    prompts = []
    starts = [place for place, position in enumerate(row["position_ids"]) if position == 0]
    for start, stop in zip(starts, [*starts[1:], len(ids)], strict=True):
        targets = [place for place in range(start, stop) if labels[place] != IGNORE]
        if targets:  # what fills the row up has none
            prompts.append(tokenizer.decode(ids[start : targets[0]].tolist()).encode())
    return prompts


@pytest.fixture
def trained(nano_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, list[bytes]]:
    """A model tuned on the tables of all tasks, and every prompt that it was shown."""
    shown: list[bytes] = []
    tokenizer, real = GeneTokenizer.load(nano_folder), tune.train

    def spy(model: Any, rows: Any, *args: Any, **kwargs: Any) -> Any:
        shown.extend(prompt for index in range(len(rows)) for prompt in trained_on(rows[index], tokenizer))
        return real(model, rows, *args, **kwargs)

    monkeypatch.setattr(tune, "train", spy)
    tasks = [TaskRows(task, load_rows(task, write_table(task, tmp_path)), {}) for task in TASKS]
    finetune(nano_folder, tasks, finetune_settings(), tmp_path / "model", tmp_path / "checkpoints", seed=5)
    return tmp_path / "model", shown


def test_prompts_are_the_same_bytes_in_training_evaluation_and_prediction(
    trained: tuple[Path, list[bytes]],
    tmp_path: Path,
    cli: Cli,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder, shown = trained
    asked: list[bytes] = []

    def spied_on(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(first: Any, prompts: Any, *args: Any, **kwargs: Any) -> Any:
            asked.extend(tokenizer.decode(prompt).encode() for prompt in prompts)
            return real(first, prompts, *args, **kwargs)

        return call

    monkeypatch.setattr(local.CandidateScorer, "score", spied_on(local.CandidateScorer.score))
    monkeypatch.setattr(local, "generate_answers", spied_on(local.generate_answers))
    engine = Engine.load(folder)
    tokenizer = engine.tokenizer
    every: list[bytes] = []
    for task in TASKS:
        rows = load_rows(task, tmp_path / f"{task.name}.csv")
        evaluate_task(engine, engine.task(task.name), rows, None, split="dev", batch_tokens=10_000)
        evaluated = sorted(asked)
        asked.clear()
        outcome = cli("predict", tmp_path / f"{task.name}.csv", "--task", task.name, "--model", folder)
        assert outcome.code == 0, outcome
        assert sorted(asked) == evaluated
        assert len(evaluated) == len(GENES)
        every += evaluated
        asked.clear()
    assert set(shown) == set(every)  # the last step of a training is filled up with rows seen before
    assert len(set(every)) == len(TASKS) * len(GENES)
    assert b"Does it conform?\n<dna>ACGTTACGNA</dna>\nAnswer:" in every
