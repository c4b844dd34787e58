"""What README.md names is there, and every recipe of ours is one. Its commands: test_docs_blocks.py."""

import re
from importlib import resources
from pathlib import Path

import pytest

from llama_gene.config import load_recipe

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
RECIPES = sorted((ROOT / "recipes").glob("*.toml"))


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
