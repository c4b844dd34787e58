"""``predict --scan``, ``generate``, ``score``, ``embed`` and ``chat`` from the shell, on the tuned nano model."""

import io
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as parquet
import pytest

import llama_gene
from nano import dna

from .conftest import Cli

LETTERS = [dna(length, length) for length in (30, 12, 45)]


@pytest.fixture
def reads(tmp_path: Path) -> Path:
    path = tmp_path / "reads.fa"
    path.write_text("".join(f">r{place}\n{letters}\n" for place, letters in enumerate(LETTERS)))
    return path


def test_generate(cli: Cli, tuned_folder: Path, tmp_path: Path) -> None:
    words = ("generate", "ACG", "--kind", "dna", "--model", tuned_folder, "--num", 2, "--max-letters", 20, "--seed", 1)
    found = cli(*words)
    assert found.code == 0, found
    header, first, _, second = found.out.splitlines()
    assert header == f">generated_1 length={len(first)}"
    assert first.startswith("ACG")
    assert [first, second] == llama_gene.load(tuned_folder).generate("ACG", kind="dna", num=2, max_letters=20, seed=1)
    assert cli(*words, "--output", tmp_path / "out.fa").code == 0
    assert (tmp_path / "out.fa").read_text() == found.out
    text = cli("generate", "The gene", "--model", tuned_folder, "--temperature", 0, "--max-tokens", 5)
    assert text.code == 0
    assert text.out == "The gene" + "".join(llama_gene.load(tuned_folder).write("The gene", max_tokens=5)) + "\n"
    assert "--kind 'rna'" in cli("generate", "ACG", "--kind", "rna", "--model", tuned_folder).err


def test_score(cli: Cli, tuned_folder: Path, reads: Path, tmp_path: Path) -> None:
    found = cli("score", reads, "--model", tuned_folder)
    assert found.code == 0, found
    assert "bits per letter; letters drawn evenly take 2.000\nworse than that" in found.err
    header, *rows = [line.split("\t") for line in found.out.splitlines()]
    assert header == ["id", "letters", "tokens", "log_likelihood", "bits_per_letter"]
    expected = llama_gene.load(tuned_folder).score(LETTERS)
    assert [(row[0], int(row[1])) for row in rows] == [("r0", 30), ("r1", 12), ("r2", 45)]
    assert [float(row[4]) for row in rows] == pytest.approx([one.bits_per_letter for one in expected], abs=1e-4)
    (tmp_path / "a.vcf").write_text(f"#CHROM\tPOS\tID\tREF\tALT\nr0\t3\tv\t{LETTERS[0][2]}\tN\n")
    found = cli("score", tmp_path / "a.vcf", "--reference", reads, "--model", tuned_folder, "--flank", 10)
    assert found.code == 0, found
    cells = found.out.splitlines()[1].split("\t")
    one, other = llama_gene.load(tuned_folder).score([LETTERS[0][:13], LETTERS[0][:2] + "N" + LETTERS[0][3:13]])
    assert float(cells[7]) == pytest.approx(other.log_likelihood - one.log_likelihood, abs=1e-3)
    (tmp_path / "a.vcf").write_text("#CHROM\tPOS\tID\tREF\tALT\nr0\t3\tv\tNN\tN\n")
    said = cli("score", tmp_path / "a.vcf", "--reference", reads, "--model", tuned_folder)
    assert said.code == 2
    assert said.message[0].startswith(f"{tmp_path / 'a.vcf'}:2: REF 'NN', but the reference has")


def test_embed(cli: Cli, tuned_folder: Path, reads: Path, tmp_path: Path) -> None:
    model = llama_gene.load(tuned_folder)
    assert cli("embed", reads, "--model", tuned_folder, "--output", tmp_path / "a.npy").code == 0
    assert np.load(tmp_path / "a.npy") == pytest.approx(model.embed(LETTERS), abs=1e-5)
    assert (tmp_path / "a.ids.txt").read_text() == "r0\nr1\nr2\n"
    words = ("embed", reads, "--model", tuned_folder, "--layer", 1, "--output", tmp_path / "a.parquet")
    assert cli(*words).code == 0
    rows = parquet.read_table(tmp_path / "a.parquet").to_pylist()
    assert [row["id"] for row in rows] == ["r0", "r1", "r2"]
    assert np.array([row["embedding"] for row in rows]) == pytest.approx(model.embed(LETTERS, layer=1), abs=1e-5)
    assert cli(*words, "--pool", "none").code == 0
    rows = parquet.read_table(tmp_path / "a.parquet").to_pylist()
    assert "".join(row["letters"] for row in rows) == "".join(LETTERS)
    assert [row["start"] for row in rows if row["id"] == "r0"][:2] == [0, len(rows[0]["letters"])]
    for more, problem in (
        (("--pool", "none", "--output", tmp_path / "b.npy"), "sequences differ in length"),
        (("--output", tmp_path / "b.csv"), "the name of the file says no format"),
        (("--pool", "max", "--output", tmp_path / "b.npy"), "one of: mean, last, none"),
        (("--kind", "rna", "--output", tmp_path / "b.npy"), "the model cannot spell rna"),
    ):
        said = cli("embed", reads, "--model", tuned_folder, *more)
        assert said.code == 2
        assert problem in said.err
    assert not list(tmp_path.glob("*b.*"))


def test_scan(cli: Cli, tuned_folder: Path, reads: Path, tmp_path: Path) -> None:
    words = ("predict", reads, "--task", "conform", "--model", tuned_folder, "--scan", "--window", 10, "--step", 5)
    found = cli(*words)
    assert found.code == 0, found
    lines = [line.split("\t") for line in found.out.splitlines()]
    assert [line[:3] for line in lines if line[5] == "+"][:6] == [
        ["r0", str(start), str(start + 10)] for start in (0, 5, 10, 15, 20)
    ] + [["r1", "0", "10"]]
    (one,) = llama_gene.load(tuned_folder).predict("conform", [LETTERS[0][:10]])
    assert one.probabilities is not None
    assert float(lines[0][6]) == pytest.approx(one.probabilities[1], abs=1e-5)
    assert cli(*words, "--output", tmp_path / "a.bedgraph").code == 0
    assert {path.name for path in tmp_path.glob("a.*")} == {"a.plus.bedgraph", "a.minus.bedgraph"}
    assert cli(*words, "--forward-only", "--output", tmp_path / "b.bw").code == 0
    assert (tmp_path / "b.bw").is_file()
    assert "no format of a scan" in cli(*words, "--output", tmp_path / "a.csv").err


def talk(cli: Cli, folder: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> tuple[list[str], str]:
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))
    outcome = cli("chat", "--model", folder, "--max-tokens", 5)
    assert outcome.code == 0, outcome
    return outcome.out.splitlines(), outcome.err


def test_chat(cli: Cli, tuned_folder: Path, reads: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, err = talk(
        cli, tuned_folder, monkeypatch,
        f"Does it conform? {LETTERS[0]}\n/load {reads}\n/nothing\n/load none.fa\n/tasks\n/history\n/quit\nlost\n",
    )  # fmt: skip
    (expected,) = llama_gene.load(tuned_folder).predict("conform", [LETTERS[0]])
    assert out[0] == expected.answer
    assert out[1] == f"(task conform, probability {expected.probability:.3f})"
    assert out[2] == "3 dna sequences loaded"
    assert "conform: Does it conform? (dna)" in out
    assert "pair: Does A code for B? (dna + protein)" in out
    assert out[-2:] == [f"> Does it conform? {LETTERS[0]}", expected.answer]
    assert "'/nothing' is no command" in err
    assert "none.fa: no such file" in err
    assert "lost" not in "".join(out)


def test_chat_takes_pasted_fasta_to_an_empty_line(
    cli: Cli, tuned_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, _ = talk(cli, tuned_folder, monkeypatch, f">a\n{LETTERS[0]}\n\nDoes it conform?\nTell me a story\n>b\nACGT\n")
    assert sum(line.startswith("(task conform, probability") for line in out) == 1
    assert sum(line.startswith("(no task of this model was clearly meant") for line in out) == 3
