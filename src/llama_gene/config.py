"""A recipe: TOML and ``section.key=value`` overrides become typed settings, validated once.

Paths in a recipe are relative to ``data.root``, so that one recipe serves any machine; ``data.root`` and ``output``
are relative to the current folder.
"""

import difflib
import tomllib
import types
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from llama_gene.errors import SettingsError

_Model = TypeVar("_Model", bound=BaseModel)

Modality = Literal["dna", "protein", "text"]
Scheme = Literal["typed", "shared"]
TrainedParts = Literal["all", "lora", "lora+embeddings", "lora+new-rows"]
Strategy = Literal["ddp", "fsdp", "zero2", "zero3"]
Contradictions = Literal["keep", "drop"]
Tracker = Literal["tensorboard", "wandb", "trackio"]

_MAX_PROBLEMS = 2  # of a broken file that are told at once


class Settings(BaseModel):
    """The base of every section: an unknown key is an error, and nothing changes after validation."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class DataFileSettings(Settings):
    """A file that the recipe reads and does not bring: where it comes from, and how much is in it."""

    path: str = Field(min_length=1, description="where it has to lie, relative to root")
    origin: str = Field(min_length=1, description="where to get it: an address, or how it is made")
    size: int = Field(ge=1, description="bytes as it lies there, packed or not")
    letters: int = Field(ge=1, description="bases, residues or bytes of text in it, for plans")


class DataSettings(Settings):
    """Where the data lies."""

    root: Path = Field(Path(), description="the folder that paths in the recipe are relative to")
    file: list[DataFileSettings] = Field(default=[], description="large public files, so that a dry run can name them")


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

    @property
    def kinds(self) -> tuple[Literal["dna", "protein"], ...]:
        """What is learned; nothing where the base knows sequences already."""
        return tuple(kind for kind in ("dna", "protein") if getattr(self, kind))


class ModelSettings(Settings):
    """The base model and how it grows."""

    base: str = Field("scratch", description='"scratch", a Hugging Face folder, or a hub id')
    made_by: Path | None = Field(
        None, description="the recipe whose run makes the base, for plans while it is not there"
    )
    size: str = Field("micro", description="the named size of a model from scratch")
    text_vocabulary: int = Field(2048, ge=300, description="pieces of the English tokenizer of a model from scratch")
    context: int = Field(1024, ge=64, description="longest input of a model from scratch, in tokens")
    rows: Literal["subword", "mean", "random"] = Field("subword", description="how the rows of new pieces start")
    row_noise: float = Field(
        0.1, ge=0, description="noise on rows that start as a mean, in standard deviations of the base's rows"
    )


class SourceSettings(Settings):
    """One source of the pre-training corpus."""

    name: str = Field(pattern=r"^[A-Za-z0-9_.-]+$", description="how messages and summaries call it")
    kind: Modality = Field(description="what its records are")
    files: list[str] = Field(min_length=1, description="files or patterns")
    weight: float = Field(
        1.0,
        gt=0,
        description="share of the training tokens, relative to the other sources; with [corpus.weights] to the other "
        "sources of its kind",
    )
    text_field: str = Field(
        "text",
        description="the field of a JSONL source that holds its text, a.b for b inside a; without it papers give their "
        "title, abstract and body",
    )
    both_strands: bool = Field(False, description="each window of DNA, and its reverse complement as another document")

    @model_validator(mode="after")
    def _only_dna_has_strands(self) -> Self:
        if self.both_strands and self.kind != "dna":
            raise ValueError(f"both_strands is for DNA: {self.kind} has no reverse complement")
        return self


class ModalityWeights(Settings):
    """The share of the training tokens that each modality gets, relative to the others."""

    dna: float | None = Field(None, gt=0, description="of all sources of DNA")
    protein: float | None = Field(None, gt=0, description="of all sources of protein")
    text: float | None = Field(None, gt=0, description="of all sources of text")


class DecontaminateSettings(Settings):
    """What the corpus must not teach: windows that share a k-mer with these files are left out."""

    dna: list[str] = Field([], description="tables or sequence files whose DNA is kept out, on either strand")
    protein: list[str] = Field([], description="tables or sequence files whose proteins are kept out")
    tasks: bool = Field(True, description="keep out the dev and test rows of the recipe's tasks, too")
    dna_k: int = Field(32, ge=8, le=32, description="letters of a k-mer of DNA; one in common is enough")
    protein_k: int = Field(12, ge=4, le=14, description="letters of a k-mer of protein; one in common is enough")


class CorpusSettings(Settings):
    """The pre-training corpus: sources become encoded shards."""

    source: list[SourceSettings] = Field(min_length=1)
    weights: ModalityWeights | None = Field(None, description="shares of DNA, protein and text, whatever their sources")
    window: int = Field(1000, ge=50, description="longest document of DNA, in bases; longer records are windowed")
    min_length: int = Field(50, ge=2, description="shortest run of clean letters kept")
    bad_letters: Literal["refuse", "drop", "mask"] = Field("refuse", description="refused records go to the side file")
    validation: float = Field(
        0.01, gt=0, lt=0.5, description="share of the letters of each modality that is held out, drawn by record"
    )
    deduplicate: bool = Field(True, description="keep one of documents that are equal, over all sources")
    decontaminate: DecontaminateSettings | None = None
    task_size: int = Field(
        64_000_000,
        ge=1000,
        description="bytes of a plain file that are encoded as one task; a compressed file is one task",
    )
    # These two do not decide the result, so they are left out where settings are compared or written down.
    executor: Literal["local", "ray"] = Field("local", exclude=True, description="where tasks are done")
    workers: int | None = Field(None, ge=1, exclude=True, description="processes at a time; all cores if not given")

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [source.name for source in self.source]
        if len(set(names)) < len(names):
            raise ValueError(f"two sources have one name: {', '.join(sorted(names))}")
        return self

    @model_validator(mode="after")
    def _weights_are_of_the_sources(self) -> Self:
        if self.weights:
            given = {kind for kind, weight in self.weights if weight is not None}
            kinds = {source.kind for source in self.source}
            for kind in sorted(given ^ kinds):
                lack = f"has sources but no weight: add {kind} = 1" if kind in kinds else "has a weight but no source"
                raise ValueError(f"weights: {kind} {lack}")
        return self


class LoraSettings(Settings):
    """Low-rank adaptation of every linear projection but the head."""

    rank: int = Field(8, ge=1, description="width of an adapter")
    alpha: float = Field(32, gt=0, description="an adapter's output is scaled by alpha / rank")
    dropout: float = Field(0.05, ge=0, lt=1, description="of what goes into an adapter")
    rslora: bool = Field(False, description="scale by alpha / sqrt(rank), for high ranks")
    dora: bool = Field(False, description="learn the length of each row of a weight apart from its direction")
    load_in_4bit: bool = Field(False, description="QLoRA: keep the frozen weights in 4 bits; needs CUDA, bitsandbytes")


class TrainingSettings(Settings):
    """What pre-training and tuning share."""

    train: TrainedParts = Field(
        "all",
        description="what trains: everything; adapters (LoRA) alone; adapters and the rows of all tokens in embedding "
        "and head; adapters and the rows of DNA and protein tokens. With a [lora] section and without this: "
        "lora+embeddings",
    )
    lora: LoraSettings | None = Field(None, description='how adapters are made; unused where train = "all"')
    block_size: int = Field(512, ge=16, description="tokens in a packed row")
    batch_size: int = Field(8, ge=1, description="rows in a micro-batch; the most that one process takes at a time")
    accumulate: int = Field(
        1, ge=1, description="micro-batches in a step: batch_size * accumulate rows, however many processes share them"
    )
    learning_rate: float = Field(1e-3, gt=0, description="the highest; it falls as a cosine to the end")
    embedding_learning_rate: float | None = Field(
        None, gt=0, description="of the rows of embedding and head; learning_rate if not given"
    )
    warmup: float = Field(0.05, ge=0, lt=1, description="share of the steps that the learning rate rises")
    weight_decay: float = Field(0.1, ge=0, description="of all matrices; norms and biases are not decayed")
    max_grad_norm: float = Field(1.0, ge=0, description="longer gradients are cut to this; 0: never")
    precision: Literal["fp32", "bf16"] = Field("fp32", description="bf16: autocast, with weights in fp32")
    gradient_checkpointing: bool = Field(False, description="compute activations twice: slower, in less memory")
    compile: bool = Field(False, description="compile the layers: minutes at the start, faster steps")
    checkpoint_every: int = Field(100, ge=1, description="steps between checkpoints")
    keep_checkpoints: int = Field(2, ge=1, description="of the newest, so many stay")
    # How many share the work decides nothing but rounding: these are left out where settings are compared, too.
    processes: int | None = Field(
        None,
        ge=1,
        exclude=True,
        description="processes that train as one, each with its part of a step's rows; if not given, all GPUs of this "
        "machine, or one process",
    )
    strategy: Strategy = Field(
        "ddp",
        exclude=True,
        description="what each of several processes keeps: all (ddp); its part of weights, gradients and optimizer "
        "(fsdp, zero3); its part of gradients and optimizer (zero2)",
    )
    # These decide no weight, so they are left out where settings are compared or written down.
    validate_every: int | None = Field(
        None,
        ge=1,
        exclude=True,
        description="steps between validations, beside those before and after; if not given, ten in a training, or "
        "fewer that take a tenth of its time",
    )
    track: list[Tracker] = Field(["tensorboard"], exclude=True, description="who is told the log besides the page")

    @model_validator(mode="before")
    @classmethod
    def _a_lora_section_means_lora(cls, values: Any) -> Any:
        if not isinstance(values, dict) or "train" in values or values.get("lora") is None:
            return values
        return {**values, "train": "lora+embeddings"}

    @model_validator(mode="after")
    def _four_bits_are_frozen(self) -> Self:
        if self.train == "all" and self.lora and self.lora.load_in_4bit:
            raise ValueError('lora.load_in_4bit freezes the weights, and train = "all": take one of the others')
        if self.strategy != "ddp" and self.lora and self.lora.load_in_4bit:
            raise ValueError('lora.load_in_4bit keeps the weights whole in each process: take strategy = "ddp"')
        return self

    def shared_by(self, num_processes: int) -> Self:
        """The same training as one of `num_processes` does it: its rows of a step, in micro-batches that are no larger.

        Raises:
            SettingsError: The rows of a step cannot be shared out evenly.

        >>> mine = TrainingSettings(batch_size=32, accumulate=1).shared_by(8)
        >>> mine.batch_size, mine.accumulate
        (4, 1)
        """
        num_rows = self.batch_size * self.accumulate
        if num_rows % num_processes:
            fitting = max(num for num in range(1, num_processes) if num_rows % num == 0)
            step = f"a step of {self.batch_size} x {self.accumulate} rows"
            hint = f"take {fitting} of them, or make batch_size * accumulate a multiple of {num_processes}"
            raise SettingsError(f"{step} cannot be shared out among {num_processes} processes", hint=hint)
        mine = num_rows // num_processes
        size = max(size for size in range(1, min(self.batch_size, mine) + 1) if mine % size == 0)
        return self.model_copy(update={"batch_size": size, "accumulate": mine // size})

    @property
    def adapters(self) -> LoraSettings | None:
        """How adapters are made; None where everything trains."""
        return None if self.train == "all" else self.lora or LoraSettings()


class PretrainSettings(TrainingSettings):
    """Continued pre-training on the corpus."""

    tokens: int = Field(1_000_000, ge=1, description="tokens to train on")


class TasksSettings(Settings):
    """The tasks to tune on and to evaluate."""

    use: list[str] = Field(min_length=1, description="names of built-in tasks, or paths of task files")
    max_train_rows: int | None = Field(None, ge=1, description="training rows a task at most, drawn by the seed")
    max_dev_rows: int | None = Field(None, ge=1, description="dev rows a task at most, drawn by the seed")
    bad_letters: Literal["refuse", "drop", "mask"] = Field("refuse", description="refused rows stand in the report")
    contradictions: Contradictions = Field(
        "drop", description="training rows whose sequences come with another answer, too: they teach nothing"
    )


class InstructionSettings(Settings):
    """Free instructions to mix in, so that a model does not forget how to follow them."""

    name: str = Field(pattern=r"^[A-Za-z0-9_.-]+$", description="how messages call it")
    files: list[str] = Field(min_length=1, description="Alpaca or chat files, as JSON or JSONL")
    share: float = Field(gt=0, lt=1, description="of all examples that are seen")


class FinetuneSettings(TrainingSettings):
    """Instruction tuning on the tasks."""

    epochs: float = Field(1.0, gt=0, description="how often each example is seen, on average over all tasks")
    shorten: Literal["centre", "head", "refuse"] = Field("centre", description="what is kept of a sequence too long")
    chat: Literal["auto", "never"] = Field("auto", description="whether a base's chat template stands around prompts")
    task_temperature: float = Field(
        1.0, gt=0, description="1: tasks are seen by their size; higher: more alike, by size ** (1 / temperature)"
    )
    weights: dict[str, Annotated[float, Field(gt=0)]] = Field(
        {}, description="how many times as often as by its size a task is seen, by its name; 1 for those not named"
    )
    balance_labels: bool = Field(False, description="all labels of a classification are seen equally often")
    reverse_complement: bool = Field(True, description="either strand, where a task says that it does not matter")
    paraphrase: float = Field(0.0, ge=0, le=1, description="the share of examples that are asked in other words")
    sequence_loss: float = Field(
        0.0, ge=0, description="weight of the loss on a token of a sequence, where one of an answer has 1"
    )
    dev_rows: int = Field(200, ge=0, description="rows of each dev split whose loss is measured while the model trains")
    patience: int | None = Field(
        None,
        ge=1,
        description="stop after so many validations without a better mean loss on dev, with the weights of the best",
    )
    english: list[str] = Field(
        [], description="texts whose bits per byte are measured, too; the held-out text of the corpus if not given"
    )
    instructions: list[InstructionSettings] = []

    @model_validator(mode="after")
    def _parts_fit_together(self) -> Self:
        if sum(one.share for one in self.instructions) >= 1:
            raise ValueError("the shares of [[finetune.instructions]] leave nothing for the tasks")
        if self.patience is not None and self.dev_rows == 0:
            raise ValueError("patience needs dev_rows to look at")
        return self


class LeakageSettings(Settings):
    """When a test row counts as seen: at least a share of its distinct k-mers stands in one training row."""

    dna_k: int = Field(16, ge=1, le=32, description="letters of a k-mer of DNA, taken on either strand")
    protein_k: int = Field(5, ge=1, le=14, description="letters of a k-mer of protein")
    threshold: float = Field(0.5, gt=0, le=1, description="the share of its k-mers; in a pair that of either partner")

    def k_of(self, kind: Literal["dna", "protein"]) -> int:
        """The letters of a k-mer of `kind`."""
        return self.dna_k if kind == "dna" else self.protein_k


class EvaluationSettings(Settings):
    """Scoring on the dev split."""

    batch_tokens: int = Field(16_384, ge=1, description="prompt tokens scored at a time")
    wording_rows: int = Field(
        100,
        ge=0,
        description="dev rows a task that are asked in other words, too, of the model before and after tuning",
    )
    explained_rows: int = Field(
        2,
        ge=0,
        description="dev rows a task whose deciding letters are shown: the surest right one, the worst one, ...",
    )
    baselines: bool = Field(True, description="train the baselines on the same rows and report them beside the model")
    leakage: LeakageSettings = LeakageSettings()


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
    ['root', 'file']
    """
    current: Any = model
    for part in location:
        if isinstance(part, str):
            current = current.model_fields[part].annotation
        current = settings_in(current)
    return list(current.model_fields)


def settings_in(annotation: Any) -> Any:
    """The Settings class inside ``X | None``, ``list[X]`` or ``tuple[X, ...]``."""
    if get_origin(annotation) in (Union, types.UnionType, list, tuple):
        return next(settings_in(part) for part in get_args(annotation) if part is not type(None))
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
