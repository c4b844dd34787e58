"""``report show``, ``report markdown`` and ``report compare``."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Cli

ROOT = Path(__file__).parents[2]


@pytest.fixture
def runs(tiny_run: Path, tmp_path: Path) -> list[Path]:
    """The report of one run, twice."""
    return [shutil.copytree(tiny_run / "report", tmp_path / name) for name in "ab"]


def test_show(cli: Cli, runs: list[Path], tiny_run: Path) -> None:
    outcomes = [cli("report", "show", place) for place in (runs[0], runs[0] / "report.json", tiny_run)]
    for outcome in outcomes:
        assert outcome.code == 0, outcome
        assert "sim_central_dogma" in outcome.out
    assert f"the whole report: {runs[0] / 'report.html'}" in outcomes[0].out


def test_markdown_is_what_a_run_writes(cli: Cli, runs: list[Path], tmp_path: Path) -> None:
    written = (runs[0] / "report.md").read_text()
    assert cli("report", "markdown", runs[0]).out == written
    assert cli("report", "markdown", runs[0], "--output", tmp_path / "results.md").code == 0
    assert (tmp_path / "results.md").read_text() == written


def test_the_results_page_is_made_from_its_json(cli: Cli) -> None:
    source = ROOT / "docs" / "results.json"
    if not source.exists():
        pytest.skip("docs/results.json was not checked in yet")
    assert cli("report", "markdown", source).out == (ROOT / "docs" / "results.md").read_text()


def test_compare(cli: Cli, runs: list[Path], tmp_path: Path) -> None:
    outcome = cli("report", "compare", *runs, "--output", tmp_path / "out")
    assert outcome.code == 0, outcome
    assert "within error on 3" in " ".join(outcome.out.split())
    found = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert found["models"] == [str(run) for run in runs]
    assert found["tasks"][0]["contrasts"][1]["p"] == 1
    averaged = cli("report", "compare", *runs, "--average")
    assert "2 seeds" in averaged.out


def test_a_temperature_of_another_report(
    cli: Cli,
    refused: Callable[..., list[str]],
    runs: list[Path],
    model: Path,
    dev: Callable[[str], Path],
    tmp_path: Path,
) -> None:
    words = ("evaluate", model, "--task", "sim_promoter", "--data", dev("sim_promoter"))
    assert cli(*words, "--calibration", runs[0], "--output", tmp_path / "out").code == 0
    (result,) = json.loads((tmp_path / "out" / "report.json").read_text())["results"]
    assert result["calibration"]["fitted_on"] == "20 rows of dev"
    words = ("evaluate", model, "--task", "sim_promoter_strength")
    refused(*words, "--calibration", runs[0], parts=("report.json: no temperature of task 'sim_promoter_strength'",))


def test_what_is_no_report(refused: Callable[..., list[str]], runs: list[Path], tmp_path: Path) -> None:
    for words in (("show",), ("markdown",), ("compare", runs[0])):
        refused("report", *words, tmp_path / "none", parts=("none: no report here", "evaluate --output FOLDER"))
    refused("report", "compare", runs[0], parts=("one report cannot be compared",))
    path = runs[1] / "report.json"
    values = json.loads(path.read_text())
    path.write_text(json.dumps(values | {"format": 9}))
    refused("report", "compare", *runs, parts=(f"{path}: a report of format 9", "this version reads format"))
    path.write_bytes(b"\xff")
    refused("report", "show", runs[1], parts=(f"{path}: not a report",))
