"""The finished tiny run, and copies of it to be damaged."""

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import tiny
from llama_gene.training.curves import PAGE
from torture.process import llama_gene

# What a run says of its own time and speed, and the seals of what says so.
_TIMES = re.compile(
    rb'"seal": "[0-9a-f]+"|"seconds": [0-9.]+|"tokens_per_second": \[[^]]*\]'
    rb'|\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d\+00:00)?|minutes(?:": "|: |</dt><dd>)[0-9.]+'
)


@dataclass(frozen=True)
class World:
    """A folder with the recipe and the tiny run in it.

    Args:
        home: The folder.
    """

    home: Path

    @property
    def recipe(self) -> Path:
        """The recipe's file."""
        return self.home / "tiny.toml"

    @property
    def run(self) -> Path:
        """The folder that every command works in: names of folders decide fingerprints."""
        return self.home / "run"

    def command(self, name: str, *words: str) -> tuple[str, ...]:
        """A command that works on the recipe in the run's folder."""
        return (name, str(self.recipe), f"output={self.run}", *words)

    def remove(self, name: str) -> None:
        """Take a folder away, if it is there."""
        shutil.rmtree(self.home / name, ignore_errors=True)

    def keep(self, name: str) -> Path:
        """Put the run aside."""
        return Path(shutil.copytree(self.run, self.home / name))

    def restore(self, name: str) -> None:
        """Make the run what was put aside."""
        self.remove("run")
        shutil.copytree(self.home / name, self.run)


def make_world(home: Path) -> World:
    """Run the tiny recipe, and keep it as it is: "alone"."""
    world = World(home)
    tiny.write_recipe(home)
    ended = llama_gene(*world.command("run"))
    assert ended.code == 0, ended.said
    world.keep("alone")
    return world


def contents(folder: Path) -> dict[str, bytes]:
    """The files of a run or a part of it, without what says when and how fast they were made."""
    files = tiny.files_of(folder) if folder.is_dir() else {folder.name: folder.read_bytes()}
    told = ("logs/", ".lock", "stages/files.json")
    return {
        name: _TIMES.sub(b"", content)
        for name, content in files.items()
        if not name.startswith(told) and Path(name).name != PAGE
    }


def half_written(folder: Path) -> list[str]:
    """Drafts that a command has left behind."""
    return [str(path.relative_to(folder)) for path in tiny.drafts_in(folder)]
