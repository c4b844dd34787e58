"""Progress: a line now and then in a log, with a time left that knows what was done before."""

import io
import sys

import pytest

from llama_gene import progress as module
from llama_gene.progress import progress


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, in a list so that a test can set it."""
    now = [1000.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


@pytest.mark.parametrize(
    ("total", "before", "line"),
    [
        (200, 0, "  train  60%, 40 s left  loss 2.000\n"),
        (200, 100, "  train  60%, 4 min 0 s left  loss 2.000\n"),
        (200, 120, "  train  60%  loss 2.000\n"),
        (None, 0, "  train 120  loss 2.000\n"),
    ],
)
def test_a_line_every_half_minute(
    clock: list[float], capsys: pytest.CaptureFixture[str], total: float | None, before: float, line: str
) -> None:
    with progress("train", total, before) as report:
        clock[0] += 29
        report(90, "loss 3.000")
        clock[0] += 31
        report(120, "loss 2.000")
        report(121, "loss 1.000")
    assert capsys.readouterr().err == line


def test_what_prepares_the_work_does_not_count_as_slow(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with progress("train", 200) as report:
        clock[0] += 1000
        report(0, "measured")
        clock[0] += 40
        report(100)
    assert capsys.readouterr().err.splitlines() == ["  train   0%  measured", "  train  50%, 40 s left"]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_bar_of_a_terminal_has_room_for_the_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    note = "loss 2.019  7,432 tokens/s  DNA 1.93 protein 4.17 English 2.10"
    with progress("pretrain", 200, 50) as report:
        report(120, note)
    assert note in terminal.getvalue()
    assert "60%" in terminal.getvalue()
