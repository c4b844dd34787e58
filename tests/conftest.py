"""One tiny run from end to end, made once for all tests that need a finished one."""

from pathlib import Path

import pytest
import tiny


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run of the tiny recipe; not to be changed: copy it first."""
    folder = tmp_path_factory.mktemp("tiny")
    done = tiny.llama_gene("run", tiny.write_recipe(folder), f"output={folder / 'run'}")
    assert done.returncode == 0, done.stderr
    return folder / "run"
