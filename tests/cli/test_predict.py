"""``predict``, and the shell around it: killed and started again, in every format, calibrated, held back."""

import csv
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as parquet
import pytest

import tiny
from llama_gene.inference.temperature import keep_temperature

from .conftest import Cli

# Blocks of five rows, and a stop in front of the third of them.
PAUSED = """
import sys, time
from llama_gene.inference import resume, stream

stream.BLOCK = 5
append, num = resume.GrowingFile.append, 0


def pause(self, text, num_rows):
    global num
    num += 1
    if num == 3:
        print("paused", flush=True)
        time.sleep(600)
    append(self, text, num_rows)


if "--pause" in sys.argv:
    sys.argv.remove("--pause")
    resume.GrowingFile.append = pause
from llama_gene.cli import main
main()
"""


@pytest.mark.parametrize(
    "suffix",
    ["tsv", pytest.param("csv", marks=pytest.mark.slow), pytest.param("jsonl", marks=pytest.mark.slow), "parquet"],
)
def test_a_killed_run_goes_on_to_the_same_bytes(
    suffix: str, model: Path, dev: Callable[[str], Path], tmp_path: Path
) -> None:
    def command(output: Path, *more: str) -> list[str]:
        words = ["predict", str(dev("sim_promoter")), "--task", "sim_promoter", "--model", str(model)]
        return [sys.executable, "-c", PAUSED, *words, "--output", str(output), *more]

    killed, whole = tmp_path / f"killed.{suffix}", tmp_path / f"whole.{suffix}"
    with subprocess.Popen(
        command(killed, "--pause"), env=tiny.environment(), stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "paused\n"
        finally:
            process.kill()
    assert process.returncode == -signal.SIGKILL
    assert not killed.exists()
    for output in (killed, whole):
        done = subprocess.run(
            command(output), env=tiny.environment(), capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stderr
        assert ("20 predictions, 10 of them from the run before" in done.stderr) == (output == killed)
    assert killed.read_bytes() == whole.read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {killed.name, whole.name}


def test_every_format_says_the_same(cli: Cli, model: Path, dev: Callable[[str], Path], tmp_path: Path) -> None:
    for suffix in ("tsv", "csv", "jsonl", "parquet"):
        words = ("predict", dev("sim_promoter"), "--task", "sim_promoter", "--model", model)
        assert cli(*words, "--output", tmp_path / f"out.{suffix}").code == 0
    tsv = list(csv.DictReader((tmp_path / "out.tsv").open(), delimiter="\t"))
    assert list(csv.DictReader((tmp_path / "out.csv").open())) == tsv
    objects = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert parquet.read_table(tmp_path / "out.parquet").to_pylist() == objects
    names = ("probability", "p(no)", "p(yes)")
    rounded = [row | {name: f"{row[name]:.4f}" for name in names} for row in objects]
    assert rounded == tsv
    assert len(tsv) == 20


def test_parquet_goes_in_as_well(cli: Cli, model: Path, promoters: list[str], tmp_path: Path) -> None:
    import pyarrow

    ids = [f"s{number}" for number in range(len(promoters))]
    parquet.write_table(pyarrow.table({"id": ids, "sequence": promoters}), tmp_path / "a.parquet")
    (tmp_path / "a.fa").write_text(
        "".join(f">{name}\n{letters}\n" for name, letters in zip(ids, promoters, strict=True))
    )
    words = ("--task", "sim_promoter", "--model", model)
    assert cli("predict", tmp_path / "a.parquet", *words).out == cli("predict", tmp_path / "a.fa", *words).out


def test_calibrated_and_held_back(cli: Cli, model: Path, dev: Callable[[str], Path], tmp_path: Path) -> None:
    own = tiny.copy_run(model, tmp_path / "model")
    words = ("predict", dev("sim_promoter"), "--task", "sim_promoter", "--model", own, "--format", "jsonl")

    def rows(*more: str | Path) -> list[dict[str, float]]:
        return [json.loads(line) for line in cli(*words, *more).out.splitlines()]

    plain = rows()
    keep_temperature(own, "sim_promoter", 0.5, "20 rows of dev")
    for before, after in zip(plain, rows(), strict=True):
        odds = before["p(yes)"] / before["p(no)"]
        assert after["p(yes)"] == pytest.approx(odds**2 / (1 + odds**2), abs=1e-5)
        assert after["label"] == before["label"]
    # Between two rows: what is told is rounded, so a row's own probability may lie above what it was.
    middle = sum(sorted({row["probability"] for row in rows()})[9:11]) / 2
    held = rows("--abstain-below", str(middle))
    assert [row["label"] is None for row in held] == [row["probability"] < middle for row in held]
    assert 0 < sum(row["label"] is None for row in held) < 20


def test_evaluate_keeps_the_temperature_that_predict_takes(
    cli: Cli, model: Path, dev: Callable[[str], Path], tmp_path: Path
) -> None:
    own = tiny.copy_run(model, tmp_path / "model")
    ask = ("predict", dev("sim_promoter"), "--task", "sim_promoter", "--model", own)
    words = ("evaluate", own, "--task", "sim_promoter", "--data", dev("sim_promoter"))
    done = cli(*words, "--keep-temperature", "--output", tmp_path / "report")
    assert done.code == 0, done
    assert "kept in" in done.out
    kept = cli(*ask).out
    (own / "calibration.json").unlink()
    assert cli(*ask, "--calibration", tmp_path / "report").out == kept
    assert cli(*ask).out != kept
    regression = ("evaluate", own, "--task", "sim_promoter_strength", "--data", dev("sim_promoter_strength"))
    assert "--keep-temperature: there is none" in cli(*regression, "--keep-temperature").err


def test_two_copies_of_the_model_answer_as_one(cli: Cli, model: Path, dev: Callable[[str], Path]) -> None:
    words = ("predict", dev("sim_promoter"), "--task", "sim_promoter", "--model", model)
    assert cli(*words, "--devices", "cpu,cpu").out == cli(*words).out
    assert "no device 'cuda:7'" in cli(*words, "--devices", "cuda:7").err


def test_sequences_that_are_too_long_are_counted(cli: Cli, model: Path, tmp_path: Path) -> None:
    (tmp_path / "a.fa").write_text(">a\nACGTTGCA\n>b\n" + "ACGTTGCA" * 1000 + "\n")
    said = cli("predict", tmp_path / "a.fa", "--task", "sim_promoter", "--model", model)
    assert "2 predictions, 1 with sequences too long for the model, of which it saw a part" in said.err
