"""Makes docs/scale.md, what the paper's run and one a thousand times larger would take: ``python docsite/scale.py``.

Memory, FLOPs, tokens and disk are those of ``model plan`` and ``corpus build --dry-run``. What these leave to the
machine they run on - time for the corpus - is counted here from rates that small runs gave (docs/lab-notes.md).
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from jinja2 import Environment, StrictUndefined

from llama_gene.config import Recipe, load_recipe
from llama_gene.model.gpu import GIB
from llama_gene.model.plan import TrainingPlan
from llama_gene.pipeline.forecast import Forecast, forecast

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "scale.md"
TEMPLATE = Path(__file__).with_name("scale.md.jinja")
CASES = {"the paper": ("paper-dna", "paper-gene"), "a thousand times": ("thousandfold",)}

# Measured by small runs on one core; the page says where.
SEQUENCES: Final = 11.3e6  # letters a second, FASTA to shards
TEXT: Final = 1.7e6  # bytes a second, the whole tokenizer on text without tags
HASHING: Final = 333e6  # bytes a second, SHA-256
DOCUMENT: Final = 50  # bytes that the end of a build holds for each document
# Assumed: nothing here measured them.
PROTEIN, PAPER = 350, 40_000  # letters of a document
CORES, NODE_GB = 64, 512  # of a node
DISK = 2e9  # bytes a second to a shared file system, from one process
GPU_LIFE = 50_000  # hours between two failures of one GPU


@dataclass(frozen=True)
class Case:
    """One or more recipes that follow each other, as one run."""

    name: str
    recipes: tuple[Recipe, ...]
    forecasts: tuple[Forecast, ...]

    def letters(self, *kinds: str) -> float:
        """Letters of all sources of these kinds."""
        return sum(one.letters for found in self.forecasts for one in found.sources if one.kind in kinds)

    @property
    def tokens(self) -> float:
        """Tokens of the corpora."""
        return sum(one.tokens for found in self.forecasts for one in found.sources)

    @property
    def packed(self) -> float:
        """Bytes of the source files as they lie there; a file that two recipes read counts once."""
        return sum({file.path: file.size for found in self.forecasts for file in found.missing}.values())

    @property
    def documents(self) -> float:
        """Documents of the corpora."""
        windows = {recipe.corpus.window for recipe in self.recipes if recipe.corpus}
        return self.letters("dna") / min(windows) + self.letters("protein") / PROTEIN + self.letters("text") / PAPER

    @property
    def core_hours(self) -> float:
        """Of one core, to encode everything."""
        return (self.letters("dna", "protein") / SEQUENCES + self.letters("text") / TEXT) / 3600

    def disk(self, *stages: str) -> float:
        """Bytes that these stages leave."""
        return sum(stage.disk for found in self.forecasts for stage in found.stages if stage.name in stages)

    @property
    def plans(self) -> list[TrainingPlan]:
        """Every training."""
        return [stage.training for found in self.forecasts for stage in found.stages if stage.training]

    @property
    def hours(self) -> float:
        """Of all trainings, at the recipes' utilisation."""
        return sum(plan.hours for plan in self.plans)

    @property
    def main(self) -> TrainingPlan:
        """The longest training."""
        return max(self.plans, key=lambda plan: plan.hours)

    @property
    def checkpoint(self) -> float:
        """Bytes of one checkpoint: a parameter that trains, and its two moments, in fp32."""
        return 12.0 * self.main.trainable.total

    @property
    def memory(self) -> dict[str, float]:
        """GiB on each GPU of the longest training, by strategy."""
        return {name: sum(parts.values()) / GIB for name, parts in self.main.memory.items()}

    @property
    def finish(self) -> float:
        """Bytes that the end of a build holds on one machine."""
        return self.documents * DOCUMENT

    @property
    def writing(self) -> float:
        """Hours to write a checkpoint from one process."""
        return self.checkpoint / DISK / 3600

    @property
    def hashing(self) -> float:
        """Hours to hash all sources in one process."""
        return self.packed / HASHING / 3600

    @property
    def reading(self) -> float:
        """Bytes of rows that all GPUs together read in a second."""
        return 4 * self.main.tokens / self.main.hours / 3600

    @property
    def failures(self) -> float:
        """GPUs that fail in all that time."""
        return self.hours * self.main.num_gpus / GPU_LIFE


def load() -> list[Case]:
    """The cases, planned; recipes name each other from the root of the repository."""
    before = Path.cwd()
    os.chdir(ROOT)
    try:
        return [
            Case(name, recipes, tuple(map(forecast, recipes)))
            for name, names in CASES.items()
            for recipes in [tuple(load_recipe(Path("recipes") / f"{one}.toml") for one in names)]
        ]
    finally:
        os.chdir(before)


def bytes_of(size: float) -> str:
    """A number of bytes.

    >>> bytes_of(48e12), bytes_of(1.5e9)
    ('48 TB', '1.5 GB')
    """
    units = ((1e15, "PB"), (1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (0, "B"))
    limit, unit = next((limit, unit) for limit, unit in units if size >= limit)
    return f"{size / (limit or 1):.3g} {unit}"


def count(number: float) -> str:
    """A large number in words."""
    units = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (0, ""))
    limit, unit = next((limit, unit) for limit, unit in units if number >= limit)
    return f"{number / (limit or 1):.3g} {unit}".strip()


def hours(time: float) -> str:
    """A time in hours, in words.

    >>> hours(0.002), hours(0.5), hours(30), hours(24 * 400)
    ('7 s', '30 min', '30 h', '400 days')
    """
    if time < 1 / 60:
        return f"{time * 3600:.0f} s"
    return f"{time * 60:.0f} min" if time < 1 else f"{time:.0f} h" if time < 72 else f"{time / 24:,.0f} days"


def _model(case: Case) -> str:
    plan = case.main
    return f"{plan.num_parameters / 1e9:.1f} G parameters, {plan.share:.0%} train"


ROWS: Final[tuple[tuple[str, Callable[[Case], str]], ...]] = (
    ("model", _model),
    ("GPUs", lambda c: f"{c.main.num_gpus} x {c.main.gpu.name}"),
    ("data: DNA, protein, English", lambda c: ", ".join(bytes_of(c.letters(k)) for k in ("dna", "protein", "text"))),
    ("tokens of it", lambda c: count(c.tokens)),
    ("**storage**: sources, packed", lambda c: bytes_of(c.packed)),
    ("shards", lambda c: bytes_of(c.disk("corpus"))),
    ("models and checkpoints", lambda c: bytes_of(c.disk("model", "pretrain", "finetune"))),
    ("**corpus**: hashing the sources, one process", lambda c: hours(c.hashing)),
    ("encoding, core-hours", lambda c: count(c.core_hours)),
    (f"nodes of {CORES} cores, to encode in a day", lambda c: f"{max(1, c.core_hours / CORES / 24):.0f}"),
    ("documents", lambda c: count(c.documents)),
    ("memory of `corpus finish`, one machine", lambda c: bytes_of(c.finish)),
    ("**pre-training**: steps", lambda c: f"{c.main.num_steps:,}"),
    ("GiB on each GPU", lambda c: ", ".join(f"{name} {size:.0f}" for name, size in c.memory.items())),
    ("strategies that fit", lambda c: ", ".join(c.main.fits()) or "none"),
    ("**time** of all trainings, at 40 % of the peak", lambda c: hours(c.hours)),
    ("at 20 %", lambda c: hours(2 * c.hours)),
    ("a checkpoint", lambda c: bytes_of(c.checkpoint)),
    ("to write it, from one process", lambda c: hours(c.writing)),
    ("rows read while training", lambda c: f"{bytes_of(c.reading)}/s"),
    ("GPUs that fail meanwhile", lambda c: f"{c.failures:.2f}" if c.failures < 1 else f"{c.failures:.0f}"),
)


def page(cases: list[Case]) -> str:
    """The whole page: the template with the numbers in it."""
    environment = Environment(undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False)
    environment.filters |= {"bytes": bytes_of, "hours": hours}
    table = ["| | " + " | ".join(case.name for case in cases) + " |", "|---|" + "---|" * len(cases)]
    table += [f"| {name} | " + " | ".join(make(case) for case in cases) + " |" for name, make in ROWS]
    constants = {name: value for name, value in globals().items() if name.isupper()}
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    return template.render(constants, paper=cases[0], large=cases[1], table="\n".join(table))


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(load()), encoding="utf-8")


if __name__ == "__main__":
    main()
