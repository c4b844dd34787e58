"""``corpus build``, and the same corpus by ``plan``, ``work`` and ``finish``; what ``show`` says of it."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import tiny

from .conftest import Cli

Refused = Callable[..., list[str]]


def corpus_of(run: Path) -> dict[str, bytes]:
    files = {name: content.replace(bytes(run), b"RUN") for name, content in tiny.files_of(run / "corpus").items()}
    # Its seal is of the places themselves.
    return files | {"places.json": re.sub(rb'"seal": "\w+"', b"", files["places.json"])}


def test_plan_work_and_finish_make_what_build_makes(cli: Cli, tiny_run: Path, tmp_path: Path) -> None:
    run = tiny.copy_run(tiny_run, tmp_path / "run")
    shutil.rmtree(run / "corpus")
    planned = cli("corpus", "plan", tiny.write_recipe(tmp_path), f"output={run}")
    assert planned.code == 0, planned
    assert f"llama-gene corpus work {run / 'corpus'}" in planned.out
    assert sorted(path.name for path in (run / "corpus").iterdir()) == ["places.json", "plan.json"]
    assert "1 tasks are done here, and 1 of 3 in all" in cli("corpus", "work", run / "corpus", "--share", "2/3").out
    unfinished = cli("corpus", "finish", run / "corpus")
    assert unfinished.code == 2
    assert f"this part of the corpus is missing\n  do it: llama-gene corpus work {run / 'corpus'}" in unfinished.err
    assert "3 of 3 in all" in cli("corpus", "work", run / "corpus", "--workers", 1).out
    assert "genome (dna), weight 2" in " ".join(cli("corpus", "finish", run / "corpus").out.split())
    assert corpus_of(run) == corpus_of(tiny_run)
    # The run takes it as it is.
    built = cli("corpus", "build", tmp_path / "tiny.toml", f"output={run}")
    assert built.code == 0
    assert corpus_of(run) == corpus_of(tiny_run)


def test_show_tells_the_shares_the_epochs_and_what_was_left_out(cli: Cli, tiny_run: Path, tmp_path: Path) -> None:
    run = tiny.copy_run(tiny_run, tmp_path / "run")
    tiny.go_on(run, "corpus.decontaminate.dna_k=20", "corpus.weights={dna=1,protein=2,text=1}", until="corpus")
    plan = json.loads((run / "corpus" / "plan.json").read_text())
    assert plan["held_out"]["dna"]["files"] == 6  # dev and test of the three simulated tasks
    shown = " ".join(cli("corpus", "show", run / "corpus").out.split())
    for part in ("6,000 tokens to train on", "proteins (protein), weight 1, 50.0% of the tokens", "epochs", "held out"):
        assert part in shown
    assert "warning: source" not in shown
    shown = " ".join(cli("corpus", "show", run / "corpus", "--tokens", 50_000_000).out.split())
    assert "warning: source 'genome' is repeated" in shown
    assert "times: lower its weight, add to it, or train on fewer tokens" in shown


def test_a_run_warns_of_sources_that_are_repeated_too_often(
    tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tiny.copy_run(tiny_run, tmp_path / "run")
    tiny.go_on(run, "corpus.window=150", "pretrain.tokens=9_000_000", until="corpus")
    assert "  warning: source 'genome' is repeated" in capsys.readouterr().err


@pytest.mark.parametrize("share", ["2/2", "1", "a/b", "-1/2"])
def test_a_share_that_is_none(refused: Refused, tmp_path: Path, share: str) -> None:
    refused("corpus", "work", tmp_path, f"--share={share}", parts=(f"not a share: '{share}'", "--share I/N"))


@pytest.mark.parametrize("command", ["work", "finish"])
def test_a_folder_without_a_plan(refused: Refused, tmp_path: Path, command: str) -> None:
    refused("corpus", command, tmp_path, parts=("no plan of a corpus in it", "llama-gene corpus plan RECIPE"))
