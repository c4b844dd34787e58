"""Fixtures that tests of several stages share: the nano models of ``nano.py``, and one tiny run from end to end."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

import tiny
from nano import nano_folder, nano_tokenizer, plain_folder, stories, stories_genes, tuned_folder, untied_folder

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from inference.stand_in import StandIn
    from llama_gene.inference.stock import StockModel

__all__ = ["nano_folder", "nano_tokenizer", "plain_folder", "stories", "stories_genes", "tuned_folder", "untied_folder"]


# How long an example takes says what else the machine does.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """The folder of a finished run of the tiny recipe, made once; not to be changed: copy it first."""
    folder = tmp_path_factory.getbasetemp()
    if hasattr(request.config, "workerinput"):  # one for all processes of pytest-xdist
        folder = folder.parent
    with (folder / "tiny.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        run = folder / "tiny" / "run"
        if not run.parent.exists():
            run.parent.mkdir()
            done = tiny.llama_gene("run", tiny.write_recipe(run.parent), f"output={run}")
            assert done.returncode == 0, done.stderr
        assert (run / "report").exists(), "the tiny run failed in another process"
    return run


@pytest.fixture
def stand_in(local: "StockModel", monkeypatch: pytest.MonkeyPatch) -> "StandIn":
    """An OpenAI-compatible server that answers as the model `local` of the module, once it runs."""
    from inference.stand_in import StandIn
    from llama_gene.inference.client import KEY_VARIABLES

    for name in KEY_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    return StandIn(local)


@pytest.fixture
def address(stand_in: "StandIn") -> Iterator[str]:
    """Where it runs."""
    with stand_in.running() as found:
        yield found


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    """Chromium; of a module alone, since no other event loop can run in this thread while it is open."""
    from playwright.sync_api import sync_playwright

    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        pytest.skip("no chromium on this machine: apt install chromium")
    with sync_playwright() as playwright:
        # The sandbox does not start for root, as which tests run in containers.
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        found = playwright.chromium.launch(executable_path=chromium, args=arguments)
        yield found
        found.close()
