"""Every block of code in the README and the docs holds: commands parse, settings validate, Python runs."""

import re
import shlex
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import reference
from llama_gene.config import Recipe, validate
from llama_gene.tasks.registry import load_task
from notebooks import to_markdown

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
NOTEBOOKS = sorted((ROOT / "docs").rglob("*.ipynb"))
RUN_OVERRIDES = {"run", "quickstart", "pretrain", "finetune", "corpus build", "corpus plan"}

# The least that a recipe needs; the settings of a block stand in the place of these.
LEAST = """
name = "least"
[vocabulary.dna]
size = 4
files = ["*.fa"]
[[corpus.source]]
name = "genome"
kind = "dna"
files = ["*.fa"]
[[corpus.source]]
name = "proteins"
kind = "protein"
files = ["*.fa"]
[[corpus.source]]
name = "english"
kind = "text"
files = ["*.txt"]
[tasks]
use = ["tf_0"]
"""

# A flat file for the script of docs/full-size.md.
ENTRY = """ID   A_ECOLI                 Reviewed;           5 AA.
AC   P00001;
DE   RecName: Full=Thing;
OS   Escherichia coli.
CC   -!- FUNCTION: Binds zinc. {ECO:0000269|PubMed:1}.
SQ   SEQUENCE   5 AA;  500 MW;  0 CRC64;
     MKVLA
//
"""


@dataclass(frozen=True)
class Block:
    """One fenced block of a page."""

    page: str
    number: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.number}"


def blocks_of(name: str, markdown: str) -> list[Block]:
    found = re.findall(r"^```(\w+)[^\n]*\n(.*?)^```", markdown, re.MULTILINE | re.DOTALL)
    return [Block(name, number, language, text) for number, (language, text) in enumerate(found, 1)]


BLOCKS = [
    *(block for path in PAGES for block in blocks_of(str(path.relative_to(ROOT)), path.read_text(encoding="utf-8"))),
    *(block for path in NOTEBOOKS for block in blocks_of(path.name, to_markdown(path)) if block.language == "sh"),
]
SHELL = [block for block in BLOCKS if block.language in {"sh", "bash", "shell", "console"}]
TOML = [block for block in BLOCKS if block.language == "toml"]
PYTHON = [block for block in BLOCKS if block.language == "python"]
ELSEWHERE = {"docs/serving.md"}  # asks a server: tests/serve/test_completions.py


def commands_of(block: Block) -> list[list[str]]:
    """Each command of ours in a shell block, as words; torchrun and srun may stand before it."""
    text, found = block.text.replace("\\\n", " "), []
    for name, first in re.findall(r"^for (\w+) in (\w+)", text, re.MULTILINE):
        text = text.replace(f"${name}", first)
    # Where its output goes is nothing that a command is told.
    for line in re.sub(r"\s\d?>(?:&\d|\s*\S+)", "", text).splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        command: list[str] = []
        words = iter([*lexer, ";"])
        for word in words:
            if word == "<":
                next(words)
            elif set(word) <= set("|&;()"):
                found.append(command)
                command = []
            else:
                command.append(word)
    return [words[words.index("llama-gene") :] for words in found if "llama-gene" in words]


def test_there_are_blocks_of_every_kind() -> None:
    assert min(len(SHELL), len(TOML), len(PYTHON)) > 5
    assert sum(len(commands_of(block)) for block in SHELL) > 60
    assert {block.language for block in BLOCKS} <= {"sh", "bash", "python", "toml", "text"}


@pytest.mark.parametrize("block", [block for block in SHELL if commands_of(block)], ids=str)
def test_commands_parse(block: Block) -> None:
    known, keys = dict(reference.commands()), {key for key, _, _ in reference.recipe_keys()}
    for _, *words in commands_of(block):
        num = 2 if " ".join(words[:2]) in known else 1
        name, rest = " ".join(words[:num]), words[num:]
        # Options, required ones and types are checked; nothing is run.
        known[name].make_context(name, list(rest)) if rest != ["--help"] else None
        for word in rest:
            if word.startswith("recipes/"):
                assert (ROOT / word).is_file(), word
            if name in RUN_OVERRIDES and "=" in word and not word.startswith("--"):
                key = word.partition("=")[0]
                assert key in keys or any(key.startswith(f"{one}.") for one in keys), word


@pytest.mark.parametrize("block", TOML, ids=str)
def test_settings_hold(block: Block, tmp_path: Path) -> None:
    values = tomllib.loads(block.text)
    if "question" in values:
        (tmp_path / "task.toml").write_text(block.text)
        assert load_task(tmp_path / "task.toml").name == values["name"]
        return
    whole = tomllib.loads(LEAST) | {"model": {"base": "some/base"}}
    recipe = validate(Recipe, merged(whole, values), where=str(block))
    assert recipe.model_dump() != validate(Recipe, whole, where="least").model_dump()


def merged(whole: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    """`part` in `whole`: tables are put together, everything else is replaced."""
    inner = {key: merged(whole[key], value) for key, value in part.items() if isinstance(whole.get(key), dict)}
    return whole | part | inner


@pytest.mark.parametrize("block", [block for block in PYTHON if block.page not in ELSEWHERE], ids=str)
def test_python_runs(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "entries.dat").write_text(ENTRY)
    monkeypatch.setattr(sys, "argv", ["script.py", "entries.dat"])
    exec(compile(block.text, str(block), "exec"), {"__name__": "__main__"})
