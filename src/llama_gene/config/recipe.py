"""A whole recipe, read from TOML and overrides."""

import tomllib
from pathlib import Path
from typing import Any, Self

from pydantic import Field, model_validator

from llama_gene.config.corpus import CorpusSettings
from llama_gene.config.data import DataSettings, SimulateSettings
from llama_gene.config.evaluation import EvaluationSettings
from llama_gene.config.model import ModelSettings
from llama_gene.config.problems import validate
from llama_gene.config.section import Settings
from llama_gene.config.training import PretrainSettings
from llama_gene.config.tuning import FinetuneSettings, TasksSettings
from llama_gene.config.vocabulary import VocabularySettings
from llama_gene.errors import SettingsError


class PlanSettings(Settings):
    """The machine that a plan counts with; a run takes what is there."""

    gpu: str = Field("A100-80GB", description="a GPU by name; model plan lists those it knows")
    gpus: int = Field(1, ge=1, description="how many of them train together")
    utilisation: float = Field(0.4, gt=0, le=1, description="the share of the GPU's peak that a training reaches")


class Recipe(Settings):
    """A whole run."""

    name: str = Field(pattern=r"^[A-Za-z0-9_.-]+$", description="of the run, its folder and its report")
    seed: int = Field(17, ge=0, description="decides every draw: one seed, one model")
    output: Path | None = Field(None, description="the run's folder; runs/NAME if not given")
    data: DataSettings = DataSettings()
    simulate: SimulateSettings | None = None
    vocabulary: VocabularySettings = VocabularySettings()
    model: ModelSettings = ModelSettings()
    corpus: CorpusSettings | None = None
    pretrain: PretrainSettings | None = None
    tasks: TasksSettings | None = None
    finetune: FinetuneSettings | None = None
    evaluation: EvaluationSettings = EvaluationSettings()
    plan: PlanSettings = PlanSettings()

    @model_validator(mode="after")
    def _stages_have_what_they_need(self) -> Self:
        if self.pretrain and not self.corpus:
            raise ValueError("[pretrain] needs a [corpus] to train on")
        if self.finetune and not self.tasks:
            raise ValueError("[finetune] needs [tasks] to tune on")
        if self.model.base == "scratch" and not (self.corpus and any(s.kind == "text" for s in self.corpus.source)):
            raise ValueError('base = "scratch" learns its English tokenizer from a [[corpus.source]] of kind "text"')
        if self.vocabulary.scheme == "shared" and self.model.base == "scratch":
            raise ValueError(
                'scheme = "shared" appends to a SentencePiece base, and base = "scratch" is byte-level: set model.base '
                'to the folder of a LLaMA 1 or 2, or take scheme = "typed"'
            )
        if self.model.base == "scratch" and not self.vocabulary.kinds:
            raise ValueError("[vocabulary.dna] or [vocabulary.protein] is needed: what is the model to learn?")
        return self

    @property
    def folder(self) -> Path:
        """The run's folder."""
        return self.output or Path("runs") / self.name

    @property
    def data_root(self) -> Path:
        """The folder that paths in the recipe are relative to."""
        return self.folder / "data" if self.simulate else self.data.root


def load_recipe(path: Path, overrides: list[str] | None = None) -> Recipe:
    """Read a recipe and apply ``section.key=value`` overrides.

    Raises:
        SettingsError: The file is missing or no TOML, a key is unknown (with the nearest right one), or a value does
            not hold.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SettingsError("no such recipe", where=path) from None
    except (OSError, ValueError, RecursionError) as error:  # also numbers of thousands of digits, and such depths
        raise SettingsError(f"not a TOML recipe: {error}", where=path) from None
    for override in overrides or []:
        _override(values, override)
    return validate(Recipe, values, where=str(path))


def _override(values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise SettingsError(f"not an override: {override!r}", hint="write it as section.key=value")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        value = text  # a bare word or path needs no quotes on a command line
    *sections, last = key.split(".")
    for section in sections:
        values = values.setdefault(section, {})
        if not isinstance(values, dict):
            raise SettingsError(f"{override!r}: {section!r} is not a section", hint="edit the recipe for lists")
    values[last] = value
