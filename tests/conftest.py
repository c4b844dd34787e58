"""Fixtures that tests of several stages share: the nano models of ``nano.py``, and one tiny run from end to end."""

from pathlib import Path

import pytest

import tiny
from nano import nano_folder, nano_tokenizer, plain_folder, stories, stories_genes, tuned_folder, untied_folder

__all__ = ["nano_folder", "nano_tokenizer", "plain_folder", "stories", "stories_genes", "tuned_folder", "untied_folder"]


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run of the tiny recipe, made once; not to be changed: copy it first."""
    folder = tmp_path_factory.mktemp("tiny")
    done = tiny.llama_gene("run", tiny.write_recipe(folder), f"output={folder / 'run'}")
    assert done.returncode == 0, done.stderr
    return folder / "run"
