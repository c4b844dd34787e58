"""Where no model is named, the quickstart's is asked, then the one in the package."""

from pathlib import Path

import pytest

from llama_gene.errors import ModelError
from llama_gene.model import default
from llama_gene.model.default import QUICKSTART_MODEL, default_model


def folder_of_a_model(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").touch()
    return folder


def test_the_quickstart_comes_before_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(default, "SHIPPED_MODEL", tmp_path / "package" / "mini")
    with pytest.raises(ModelError, match=r"no model was named.*\n.*--model FOLDER.*llama-gene quickstart"):
        default_model()
    shipped = folder_of_a_model(tmp_path / "package" / "mini")
    assert default_model() == shipped
    folder_of_a_model(tmp_path / QUICKSTART_MODEL)
    assert default_model() == QUICKSTART_MODEL
    (shipped / "tasks").mkdir()
    (shipped / "tasks" / "promoters.toml").touch()
    assert default_model("promoters") == shipped
    assert default_model("enhancers") == QUICKSTART_MODEL
