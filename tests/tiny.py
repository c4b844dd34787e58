"""A recipe so small that a whole run takes seconds, and ways to run it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from llama_gene.config import load_recipe
from llama_gene.pipeline import Run

STAGES = ("simulate", "vocabulary", "model", "corpus", "pretrain", "finetune", "evaluate")
TASKS = ("sim_promoter", "sim_promoter_strength", "sim_central_dogma")

RECIPE = """
name = "tiny"
seed = 5

[simulate]
num_train = 60
num_dev = 20

[vocabulary.dna]
size = 8
files = ["corpus/dna/*.fa"]
sample = 20_000

[vocabulary.protein]
size = 22
files = ["corpus/protein/*.fa"]
sample = 20_000

[model]
base = "scratch"
size = "nano"
text_vocabulary = 300
context = 256

[corpus]
window = 200

[[corpus.source]]
name = "genome"
kind = "dna"
files = ["corpus/dna/*.fa"]
weight = 2

[[corpus.source]]
name = "proteins"
kind = "protein"
files = ["corpus/protein/*.fa"]

[[corpus.source]]
name = "english"
kind = "text"
files = ["corpus/english/*.txt"]

[pretrain]
tokens = 6000
block_size = 128
batch_size = 4
checkpoint_every = 4

[tasks]
use = [
    "tasks/sim_promoter/task.toml",
    "tasks/sim_promoter_strength/task.toml",
    "tasks/sim_central_dogma/task.toml",
]

[finetune]
block_size = 256
batch_size = 8
checkpoint_every = 3
"""


def write_recipe(folder: Path, text: str = RECIPE) -> Path:
    """The recipe as a file in `folder`."""
    path = folder / "tiny.toml"
    path.write_text(text)
    return path


def environment() -> dict[str, str]:
    """One thread and no accelerator, so that equal runs end in equal bytes on any machine."""
    return os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1"}


def llama_gene(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own."""
    code = "from llama_gene.cli import main; main()"
    command = [sys.executable, "-c", code, *map(str, words)]
    return subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=300, check=False)


def copy_run(run: Path, folder: Path) -> Path:
    """A copy of a run's folder that may be changed; times of files are kept."""
    return Path(shutil.copytree(run, folder))


def go_on(folder: Path, *overrides: str, until: str | None = None, recipe: str = RECIPE) -> list[str]:
    """Run the recipe in `folder`, in this process; returns the stages that did work."""
    said: list[str] = []
    path = write_recipe(folder.parent, recipe)
    Run(load_recipe(path, [f"output={folder}", *overrides])).execute(said.append, until=until)
    return [line.split()[1] for line in said if line.endswith("...")]


def files_of(folder: Path) -> dict[str, bytes]:
    """Every file under `folder` with its content."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def drafts_in(folder: Path) -> list[Path]:
    """What an unfinished write has left."""
    return list(folder.rglob(".*.part.*"))
