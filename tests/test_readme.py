"""What README.md and docs/using.md tell people to type, can be typed."""

import re
import shlex
import sys
from importlib import resources
from pathlib import Path

import pytest

from llama_gene.cli import main
from llama_gene.config import load_recipe

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
USING = (ROOT / "docs" / "using.md").read_text(encoding="utf-8")
RECIPES = sorted((ROOT / "recipes").glob("*.toml"))


def commands() -> list[str]:
    """Each command of ours in a shell block, on one line."""
    blocks = re.findall(r"^```(?:sh|bash|shell|console)\n(.*?)^```", README + USING, re.MULTILINE | re.DOTALL)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    found = [part.strip().removeprefix("$ ") for line in lines for part in re.split(r"&&|\|", line.partition(" #")[0])]
    return [line for line in dict.fromkeys(found) if line.startswith("llama-gene ")]


@pytest.mark.parametrize(
    "command", commands() or [pytest.param("", marks=pytest.mark.skip("README has no command yet"))]
)
def test_a_command_of_the_readme_parses(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [word for word in shlex.split(command) if word not in {">", "<"}]
    # With --help an unknown command still is an error, and nothing is run; of options, each must stand in the help.
    monkeypatch.setattr(sys, "argv", [*words, "--help"])
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("TERMINAL_WIDTH", "200")
    with pytest.raises(SystemExit) as stopped:
        main()
    printed = capsys.readouterr()
    assert not stopped.value.code, printed.err
    known = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", printed.out))
    assert {word.partition("=")[0] for word in words if word.startswith("--")} - known == set()


@pytest.mark.parametrize(
    "path", sorted(set(re.findall(r"(?:recipes|docs|benchmarks)/[\w./-]+\.(?:toml|md|py)", README)))
)
def test_a_file_that_the_readme_names_exists(path: str) -> None:
    if path == "docs/results.md" and not (ROOT / path).exists():
        pytest.skip("the real run has not written its results yet")
    assert (ROOT / path).is_file()


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.name)
def test_a_recipe_is_valid(recipe: Path) -> None:
    assert load_recipe(recipe).name == recipe.stem


def test_the_quickstart_recipe_is_valid() -> None:
    with resources.as_file(resources.files("llama_gene") / "quickstart.toml") as recipe:
        loaded = load_recipe(recipe)
    assert loaded.simulate is not None
    assert loaded.evaluation.baselines
