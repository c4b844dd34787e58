"""The command, called in this process, and what it takes: a tuned model, tables, sequences."""

import csv
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from llama_gene.cli import main


@dataclass(frozen=True)
class Outcome:
    """What a command came to."""

    code: int
    out: str
    err: str

    @property
    def message(self) -> list[str]:
        """The lines of the error at the end of standard error."""
        _, found, text = self.err.rpartition("llama-gene: ")
        assert found, self.err
        return text.strip().splitlines()


Cli = Callable[..., Outcome]


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    def call(*words: str | Path) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["llama-gene", *map(str, words)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            main()
        printed = capsys.readouterr()
        return Outcome(int(stopped.value.code or 0), printed.out, printed.err)

    return call


@pytest.fixture
def refused(cli: Cli, tmp_path: Path) -> Callable[..., list[str]]:
    """Call with words that cannot work: exit code 2, a message of one or two lines with `parts`, nothing written."""

    def call(*words: str | Path, parts: tuple[str, ...]) -> list[str]:
        before = sorted(tmp_path.rglob("*"))
        outcome = cli(*words)
        assert outcome.code == 2, outcome
        assert "Traceback" not in outcome.err
        assert len(outcome.message) <= 2, outcome.message
        text = "\n".join(outcome.message)
        assert [part for part in parts if part not in text] == [], text
        assert sorted(tmp_path.rglob("*")) == before
        return outcome.message

    return call


@pytest.fixture(scope="session")
def model(tiny_run: Path) -> Path:
    """A model tuned on a promoter task, its strength (a regression), and pairs of gene and protein."""
    return tiny_run / "model"


@pytest.fixture(scope="session")
def dev(tiny_run: Path) -> Callable[[str], Path]:
    """The dev table of a task."""
    return lambda task: tiny_run / "data" / "tasks" / task / "dev.csv"


@pytest.fixture(scope="session")
def promoters(dev: Callable[[str], Path]) -> list[str]:
    """Twenty sequences."""
    with dev("sim_promoter").open(newline="") as table:
        return [row["sequence"] for row in csv.DictReader(table)]


@pytest.fixture(scope="session")
def dna_vocabulary(tiny_run: Path) -> Path:
    return tiny_run / "vocabulary" / "dna"
