"""A recipe: TOML and ``section.key=value`` overrides become typed settings, validated once.

Paths in a recipe are relative to ``data.root``, so that one recipe serves any machine; ``data.root`` and ``output``
are relative to the current folder.
"""

import difflib
import tomllib
import types
from pathlib import Path
from typing import Any, Literal, Self, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from llama_gene.errors import SettingsError

_Model = TypeVar("_Model", bound=BaseModel)

Modality = Literal["dna", "protein", "text"]
Scheme = Literal["typed", "shared"]

_MAX_PROBLEMS = 2  # of a broken file that are told at once


class Settings(BaseModel):
    """The base of every section: an unknown key is an error, and nothing changes after validation."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class DataSettings(Settings):
    """Where the data lies."""

    root: Path = Field(Path(), description="the folder that paths in the recipe are relative to")


class SimulateSettings(Settings):
    """Simulated data with a known best score, instead of data of yours; it becomes the data root."""

    num_train: int = Field(3000, ge=10, description="training rows of each task")
    num_dev: int = Field(500, ge=10, description="dev rows of each task")


class PiecesSettings(Settings):
    """One learned sequence vocabulary."""

    size: int = Field(512, ge=4, description="pieces: the letters (4 or 20) and one for each merge")
    files: list[str] = Field(min_length=1, description="files or patterns to learn from")
    sample: int = Field(20_000_000, ge=1000, description="letters to learn from at most, drawn evenly over the files")
    both_strands: bool = Field(False, description="DNA pieces in twos, each with its reverse complement")


class VocabularySettings(Settings):
    """The pieces of DNA and protein, each learned on its own."""

    scheme: Scheme = Field(
        "typed",
        description="typed: sequences stand in typed spans with vocabularies of their own; shared: they stand bare, "
        "with their pieces in the base's SentencePiece table, as in the paper",
    )
    dna: PiecesSettings | None = None
    protein: PiecesSettings | None = None

    @model_validator(mode="after")
    def _protein_has_one_strand(self) -> Self:
        if self.protein and self.protein.both_strands:
            raise ValueError("both_strands is for [vocabulary.dna]: a protein has no reverse complement")
        return self


class ModelSettings(Settings):
    """The base model and how it grows."""

    base: str = Field("scratch", description='"scratch", a Hugging Face folder, or a hub id')
    size: str = Field("micro", description="the named size of a model from scratch")
    text_vocabulary: int = Field(2048, ge=300, description="pieces of the English tokenizer of a model from scratch")
    context: int = Field(1024, ge=64, description="longest input of a model from scratch, in tokens")
    rows: Literal["subword", "mean", "random"] = Field("subword", description="how the rows of new pieces start")


class SourceSettings(Settings):
    """One source of the pre-training corpus."""

    name: str = Field(pattern=r"^[A-Za-z0-9_.-]+$")
    kind: Modality
    files: list[str] = Field(min_length=1)
    weight: float = Field(1.0, gt=0, description="share of the training tokens, relative to the other sources")
    text_field: str = Field("text", description="the field of a JSONL source that holds its text")


class CorpusSettings(Settings):
    """The pre-training corpus: sources become encoded shards."""

    source: list[SourceSettings] = Field(min_length=1)
    window: int = Field(1000, ge=50, description="longest document of DNA, in bases; longer records are windowed")
    min_length: int = Field(50, ge=2, description="shortest run of clean letters kept")
    bad_letters: Literal["refuse", "drop", "mask"] = Field("refuse", description="refused records go to the side file")
    validation: float = Field(0.01, gt=0, lt=0.5, description="share of the documents held out")

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [source.name for source in self.source]
        if len(set(names)) < len(names):
            raise ValueError(f"two sources have one name: {', '.join(sorted(names))}")
        return self


class LoraSettings(Settings):
    """Low-rank adaptation of every linear projection. Its absence means that everything trains."""

    rank: int = Field(8, ge=1)
    alpha: float = Field(32, gt=0)
    dropout: float = Field(0.05, ge=0, lt=1)
    rslora: bool = Field(False, description="scale by alpha / sqrt(rank), for high ranks")
    embeddings: Literal["train", "freeze"] = Field(
        "train", description="the embedding and the head train whole, or not"
    )


class TrainingSettings(Settings):
    """What pre-training and tuning share."""

    block_size: int = Field(512, ge=16, description="tokens in a packed row")
    batch_size: int = Field(8, ge=1, description="rows in a micro-batch")
    accumulate: int = Field(1, ge=1, description="micro-batches in a step")
    learning_rate: float = Field(1e-3, gt=0)
    warmup: float = Field(0.05, ge=0, lt=1, description="share of the steps that the learning rate rises")
    weight_decay: float = Field(0.1, ge=0)
    precision: Literal["fp32", "bf16"] = Field("fp32", description="bf16: autocast, with weights in fp32")
    checkpoint_every: int = Field(100, ge=1, description="steps between checkpoints")
    keep_checkpoints: int = Field(2, ge=1)
    lora: LoraSettings | None = None


class PretrainSettings(TrainingSettings):
    """Continued pre-training on the corpus."""

    tokens: int = Field(1_000_000, ge=1, description="tokens to train on")


class TasksSettings(Settings):
    """The tasks to tune on and to evaluate."""

    use: list[str] = Field(min_length=1, description="names of built-in tasks, or paths of task files")
    max_train_rows: int | None = Field(None, ge=1, description="training rows a task at most, drawn by the seed")
    max_dev_rows: int | None = Field(None, ge=1)
    bad_letters: Literal["refuse", "drop", "mask"] = "refuse"


class FinetuneSettings(TrainingSettings):
    """Instruction tuning on the tasks."""

    epochs: float = Field(1.0, gt=0)
    shorten: Literal["centre", "head", "refuse"] = Field("centre", description="what is kept of a sequence too long")


class EvaluationSettings(Settings):
    """Scoring on the dev split."""

    batch_tokens: int = Field(16_384, ge=1, description="prompt tokens scored at a time")
    baselines: bool = Field(True, description="train the baselines on the same rows and report them beside the model")


class Recipe(Settings):
    """A whole run."""

    name: str = Field(pattern=r"^[A-Za-z0-9_.-]+$")
    seed: int = Field(17, ge=0)
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
        if not (self.vocabulary.dna or self.vocabulary.protein):
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
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
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
    except tomllib.TOMLDecodeError:
        value = text  # a bare word or path needs no quotes on a command line
    *sections, last = key.split(".")
    for section in sections:
        values = values.setdefault(section, {})
        if not isinstance(values, dict):
            raise SettingsError(f"{override!r}: {section!r} is not a section", hint="edit the recipe for lists")
    values[last] = value


def validate(model: type[_Model], values: Any, *, where: str) -> _Model:
    """Build `model` from `values`; what does not hold becomes one SettingsError in plain words."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        problem, hint = explain(error, model)
        raise SettingsError(problem, where=where, hint=hint) from None


def explain(error: ValidationError, model: type[BaseModel]) -> tuple[str, str | None]:
    """A validation error in one line: each key with what is wrong there; and for a wrong key the nearest right one."""
    details = error.errors(include_url=False)
    # A list with a broken entry is reported once more as too short; the entry says it better.
    places = [detail["loc"] for detail in details]
    details = [d for d in details if not any(len(p) > len(d["loc"]) and p[: len(d["loc"])] == d["loc"] for p in places)]
    problems, hint = [], None
    for detail in details[:_MAX_PROBLEMS]:
        key = ".".join(str(part) for part in detail["loc"])
        if detail["type"] == "extra_forbidden":
            known = keys_at(model, detail["loc"][:-1])
            near = difflib.get_close_matches(str(detail["loc"][-1]), known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(known)}"
            problems.append(f"unknown key {key!r}")
        elif detail["type"] == "missing":
            problems.append(f"{key!r} is missing")
        else:
            message = detail["msg"].removeprefix("Value error, ")
            problems.append(f"{key}: {message} (got {detail['input']!r:.60})" if key else message)
    if len(details) > _MAX_PROBLEMS:
        problems.append(f"and {len(details) - _MAX_PROBLEMS} more")
    return "; ".join(problems), hint


def keys_at(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """The keys that the section at `location` knows.

    >>> keys_at(Recipe, ("data",))
    ['root']
    """
    current: Any = model
    for part in location:
        if isinstance(part, str):
            current = current.model_fields[part].annotation
        current = _settings_in(current)
    return list(current.model_fields)


def _settings_in(annotation: Any) -> Any:
    """The Settings class inside ``X | None``, ``list[X]`` or ``tuple[X, ...]``."""
    if get_origin(annotation) in (Union, types.UnionType, list, tuple):
        return next(_settings_in(part) for part in get_args(annotation) if part is not type(None))
    return annotation


def find_files(patterns: list[str], root: Path) -> list[Path]:
    """The files that `patterns` name under `root`, each once, in a stable order.

    Raises:
        SettingsError: A pattern matches nothing.
    """
    found: dict[Path, None] = {}
    for pattern in patterns:
        absolute = Path(pattern).is_absolute()
        matches = [Path(pattern)] if absolute else sorted(root.glob(pattern))
        files = [path for path in matches if path.is_file()]
        if not files:
            raise SettingsError(
                f"no file matches {pattern!r} under {root}", hint="set data.root=FOLDER, or mend the pattern"
            )
        found.update(dict.fromkeys(files))
    return list(found)
