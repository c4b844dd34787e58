"""`benchmarks/vocabulary.py` on a few kB: every row is there, and the tools agree. Nothing here looks at a time."""

import json
import random
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from llama_gene.sequences.alphabet import ALPHABETS, Kind
from llama_gene.sequences.read import read_records

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
RIVALS = [name for name in ("sentencepiece", "tokenizers", "tiktoken") if find_spec(name)]
TEXTS = ("600 bp DNA lines", "one DNA line", "protein lines")
LETTERS = 60_000

Rows = list[dict[str, Any]]
Run = Callable[..., tuple[Rows, str]]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some kB of sequences in the layout of the real ones: short words over and over, with an N here and there."""
    folder, rng = tmp_path_factory.mktemp("data"), random.Random(0)
    for kind, length, number in (("dna", 4000, 3), ("protein", 300, 40)):
        letters = ALPHABETS[kind].letters
        words = ["".join(rng.choices(letters, k=rng.randrange(2, 9))) for _ in range(60)]
        (folder / "corpus" / kind).mkdir(parents=True)
        with (folder / "corpus" / kind / "real.fa").open("w") as stream:
            for name in range(number):
                text = "".join(rng.choices(words, k=length // 5))
                stream.write(f">{name}\n{text[:50]}{'N' if kind == 'dna' else 'X'}{text[50:]}\n")
    return folder


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Runs a part of the benchmark, all in one work folder: its rows, and what it printed."""
    work = tmp_path_factory.mktemp("work")

    def run_part(part: str, *more: str) -> tuple[Rows, str]:
        output = work / "numbers.json"
        scale = ("--quick", "--runs", "1", "--megabytes", str(LETTERS / 1e6), "--size", "300")
        where = ("--data", str(data), "--work", str(work), "--output", str(output))
        command = [sys.executable, str(BENCHMARKS / "vocabulary.py"), part, *scale, *where, *more]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        numbers = json.loads(output.read_text())
        assert numbers["machine"]["cores"] >= 1
        rows: Rows = numbers[part]["rows"]
        assert done.stdout.count("\n|") == len(rows) + 2
        return rows, done.stdout

    return run_part


def test_encoding_gives_the_same_ids_with_every_tool(run: Run) -> None:
    rows, _ = run("encode")
    tools = ["llama-gene", "sentencepiece", "tokenizers", "tiktoken"]
    assert [(row["text"], row["tool"]) for row in rows] == [(text, tool) for text in TEXTS for tool in tools]
    for row in rows:
        there = row["tool"] in RIVALS or row["tool"] == "llama-gene"
        assert row["same ids"] is (True if there else None), row
        assert not there or 0 < row["tokens"] < row["MB"] * 1e6


def test_a_tool_that_takes_too_long_is_ended_and_said_to(run: Run) -> None:
    rows, shown = run("encode", "--limit", "0.001")
    for row in rows:
        if row["tool"] in RIVALS:
            assert row["CPU s, best"] == "over 0.001 s"
            assert row["tokens"] is None
    assert "over 0.001 s" in shown


def test_training_has_a_row_for_each_tool_and_the_merges_of_tokenizers(run: Run) -> None:
    rows, _ = run("train")
    assert [row["tool"] for row in rows] == ["llama-gene", "sentencepiece", "llama-gene", "tokenizers"]
    merges = [row["merges"] for row in rows]
    assert merges[:2] == [296, 296]
    assert merges[2] == merges[3]
    assert [row["same merges"] for row in rows] == [None, None, None, True]
    assert all(row["peak MB"] > row["idle peak MB"] / 2 > 0 for row in rows)


@pytest.mark.slow
def test_the_scale_goes_from_a_tenth_to_ten_times_the_text(run: Run) -> None:
    rows, _ = run("scale")
    assert [row["text"] for row in rows] == ["dna"] * 3 + ["protein"] * 3
    sizes = [row["MB"] * 1e6 / LETTERS for row in rows]
    assert sizes == pytest.approx([0.1, 1, 10] * 2, rel=0.05)
    assert [row["exponent since the row above"] is None for row in rows] == [True, False, False] * 2


@pytest.mark.slow
def test_one_thread_and_two_do_the_same(run: Run) -> None:
    rows, _ = run("threads")
    names = ["train, dna", "encode, 600 bp", "encode, one", "train, protein", "encode, protein"]
    assert all(row["work"].startswith(name) for row, name in zip(rows, names, strict=True))
    assert all(row["same result"] and row["speed-up"] > 0 for row in rows)


@pytest.mark.parametrize("kind", ["dna", "protein"])
def test_the_simulated_text_is_seeded_and_like_the_real_one(kind: Kind, data: Path, tmp_path: Path) -> None:
    def make(name: str) -> list[str]:
        script, output = BENCHMARKS / "vocabulary_corpus.py", tmp_path / name
        subprocess.run([sys.executable, script, "corpus", kind, str(LETTERS), data, output], check=True)
        return [record.sequence for record in read_records(output, kind)]

    records = make("one.fa")
    assert make("two.fa") == records
    assert sum(map(len, records)) == LETTERS
    assert set("".join(records)) == set(ALPHABETS[kind].letters)
    real = "".join(record.sequence for record in read_records(data / "corpus" / kind / "real.fa", kind))
    simulated = "".join(records)[len(real) :]
    for letter in ALPHABETS[kind].letters:
        assert simulated.count(letter) / len(simulated) == pytest.approx(real.count(letter) / len(real), abs=0.05)
