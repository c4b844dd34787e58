"""What a run will take, before it is started: files to bring, disk, tokens, memory and hours, stage by stage.

Nothing is downloaded, loaded or written. A file that is not there is named and counted by what the recipe says of it
(``[[data.file]]``), so a recipe can be planned on a machine that has none of its data.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Final

from llama_gene.config import (
    CorpusSettings,
    Modality,
    Recipe,
    TrainingSettings,
    VocabularySettings,
    find_files,
    load_recipe,
)
from llama_gene.errors import FormatError, LlamaGeneError, SettingsError
from llama_gene.model.architecture import (
    Architecture,
    architecture_of,
    config_of,
    rows_of,
)
from llama_gene.model.base import shape_config
from llama_gene.model.extend import ROWS_MULTIPLE
from llama_gene.model.gpu import GIB, find_gpu
from llama_gene.model.plan import BY_SETTING, TrainingPlan, plan_training, remedies
from llama_gene.pipeline.amounts import SHARED_COST, count_letters, letters_per_token, row_tokens
from llama_gene.sequences import ALPHABETS, Kind
from llama_gene.tasks.convert import find_split
from llama_gene.tasks.registry import load_task
from llama_gene.tasks.task import Task

_SPEED: Final[dict[Modality, float]] = {"dna": 15e6, "protein": 15e6, "text": 2e6}  # letters a second on one core
_MANY_EPOCHS = 4.0  # of one source; what repeats more often is learned by heart before it is learned from
_ID_BYTES, _WEIGHT_BYTES, _DOWNLOAD_BYTES = 4, 4, 2  # of a token in a shard, of a weight we save, of one on the hub
_CHECKPOINT_BYTES = 12  # a trained parameter in fp32 and its two moments


@dataclass(frozen=True, slots=True)
class InputFile:
    """A file that a stage reads.

    Attributes:
        path: Relative to the data root, as far as it lies there.
        size: Bytes on disk.
        letters: Bases, residues or bytes of text in it; exact, counted on a part, or as the recipe says.
        origin: Where to get it; None where it is there already.
    """

    path: str
    size: int
    letters: float
    origin: str | None = None


@dataclass(frozen=True, slots=True)
class SourceForecast:
    """A source of the corpus: its letters, its tokens, and how often it is read."""

    name: str
    kind: Modality
    letters: float
    tokens: float
    share: float
    epochs: float


@dataclass(frozen=True, slots=True)
class StageForecast:
    """What one stage takes.

    Attributes:
        name: As in the recipe.
        tokens: Tokens it makes or trains on.
        disk: Bytes it leaves, checkpoints included.
        hours: Wall time; of training on the planned GPUs, of the rest on this machine's cores.
        training: The plan of a training.
    """

    name: str
    tokens: float
    disk: float
    hours: float
    training: TrainingPlan | None = None


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a run will take.

    Attributes:
        architecture: The grown model.
        num_base_rows: Rows that the base brings.
        files: Every file that a stage reads, each once.
        download: Bytes of the base's weights, where it comes from the hub.
        sources: The sources of the corpus.
        stages: What each stage takes, in order.
        warnings: What will not work, or not as meant, and what would.
    """

    architecture: Architecture
    num_base_rows: int
    files: tuple[InputFile, ...]
    download: float
    sources: tuple[SourceForecast, ...]
    stages: tuple[StageForecast, ...]
    warnings: tuple[str, ...]

    @property
    def missing(self) -> list[InputFile]:
        """The files to bring."""
        return [file for file in self.files if file.origin is not None]

    @property
    def disk(self) -> float:
        """Bytes in all: what has to be brought, and what the stages leave."""
        return self.download + sum(f.size for f in self.missing) + sum(stage.disk for stage in self.stages)


def forecast(recipe: Recipe) -> Forecast:
    """Plan a run, from its recipe and whatever of its data is there.

    Raises:
        LlamaGeneError: The base cannot be found or reached, or the recipe names an unknown GPU.
    """
    return _Forecaster(recipe).forecast()


def find_architecture(recipe: Recipe) -> tuple[Architecture, int]:
    """The model that `recipe` trains, and how many rows its first base brings.

    Raises:
        LlamaGeneError: The base cannot be found or reached.
    """
    model, vocabulary = recipe.model, recipe.vocabulary
    new = _num_new_rows(vocabulary)
    if model.base == "scratch":
        rows = model.text_vocabulary
        config = shape_config(model.size, _rounded(rows + new), model.context, _letters(vocabulary))
        return architecture_of(config), rows
    if model.made_by is not None and not Path(model.base).is_dir():
        before = load_recipe(model.made_by)
        if before.folder in Path(model.base).parents:
            grown, first = find_architecture(before)
            return replace(grown, rows=_rounded(grown.rows + new)), first
        hint = f"it makes {before.folder}/pretrained and {before.folder}/model"
        raise SettingsError(f"model.base = {str(model.base)!r} is not made by {model.made_by}", hint=hint)
    config = config_of(model.base)
    rows = rows_of(config)
    return architecture_of(config, _rounded(rows + new)), rows


def _num_new_rows(vocabulary: VocabularySettings) -> int:
    """Rows that the vocabularies add at most: their pieces, all 26 letters, two tags each, and padding."""
    if not vocabulary.kinds:
        return 0
    kinds = [(4, vocabulary.dna), (20, vocabulary.protein)]
    extra = 26 + 2 if vocabulary.scheme == "typed" else 0
    return 1 + sum(pieces.size + (extra - letters if extra else 0) for letters, pieces in kinds if pieces is not None)


def _letters(vocabulary: VocabularySettings) -> dict[Kind, list[int]]:
    """As many ids as there are letters, of each kind that is spelled by letters; which ids counts for nothing."""
    sizes = {kind: len(alphabet.letters) for kind, alphabet in ALPHABETS.items()}
    asked = {"dna": vocabulary.dna, "protein": vocabulary.protein}
    return {kind: list(range(size)) for kind, size in sizes.items() if (one := asked[kind]) and one.size == size}


def _rounded(rows: int) -> int:
    return -(-rows // ROWS_MULTIPLE) * ROWS_MULTIPLE


class _Forecaster:
    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.warnings: list[str] = []
        self.files: dict[str, InputFile] = {}
        self.architecture, self.num_base_rows = find_architecture(recipe)
        self.gpu = find_gpu(recipe.plan.gpu)

    def forecast(self) -> Forecast:
        recipe = self.recipe
        sources = self._sources()
        stages = [self._vocabulary()] if recipe.vocabulary.kinds else []
        stages.append(self._model())
        if recipe.corpus and recipe.pretrain:
            stages += [
                self._corpus(sources),
                self._training("pretrain", recipe.pretrain, recipe.pretrain.tokens),
            ]
            for source in sources:
                if source.epochs > _MANY_EPOCHS:
                    said = f"source {source.name!r} is read {source.epochs:.1f} times"
                    self.warnings.append(f"{said}: lower its weight, or bring more of it")
        if recipe.tasks and recipe.finetune:
            stages.append(self._training("finetune", recipe.finetune, self._finetune_tokens()))
        base = recipe.model.base
        from_hub = base != "scratch" and not Path(base).is_dir() and recipe.model.made_by is None
        if recipe.model.made_by is not None and not Path(base).is_dir():
            self.warnings.append(f"the base {base} is not there yet: llama-gene run {recipe.model.made_by}")
        result = Forecast(
            architecture=self.architecture,
            num_base_rows=self.num_base_rows,
            files=tuple(self.files.values()),
            download=_DOWNLOAD_BYTES * self._num_base_parameters() if from_hub else 0.0,
            sources=tuple(sources),
            stages=tuple(stages),
            warnings=tuple(self.warnings),
        )
        free = shutil.disk_usage(_nearest_folder(recipe.folder)).free
        if result.disk > free:
            said = f"the run takes {result.disk / 1e9:,.0f} GB of disk, and {free / 1e9:,.0f} GB are free"
            return replace(result, warnings=(*result.warnings, f"{said}: set output=FOLDER"))
        return result

    def _num_base_parameters(self) -> int:
        grown = self.architecture
        added = grown.num_row_matrices * (grown.rows - self.num_base_rows) * grown.hidden
        return grown.num_parameters - added

    def _find(self, patterns: Sequence[str]) -> list[InputFile]:
        """The files that `patterns` name: there, or else as the recipe declares them."""
        found: list[InputFile] = []
        for pattern in patterns:
            declared = [file for file in self.recipe.data.file if fnmatch(file.path, pattern)]
            try:
                here = find_files([pattern], self.recipe.data_root)
            except SettingsError:
                here = []
            names = {_name(path, self.recipe.data_root): path for path in here}
            for name, path in names.items():
                said = next((file.letters for file in declared if file.path == name), None)
                found.append(self._measured(name, path, said))
            found += [
                InputFile(file.path, file.size, file.letters, file.origin)
                for file in declared
                if file.path not in names
            ]
            if not (here or declared or self.recipe.simulate):
                self.warnings.append(
                    f"no file matches {pattern!r} under {self.recipe.data_root}: set data.root=FOLDER, or say in a "
                    "[[data.file]] where it comes from"
                )
        for file in found:
            self.files.setdefault(file.path, file)
        return [self.files[file.path] for file in found]

    def _measured(self, name: str, path: Path, letters: float | None) -> InputFile:
        known = self.files.get(name)
        if known is not None:
            return known
        size = path.stat().st_size
        return InputFile(name, size, letters if letters is not None else count_letters(path, size))

    def _rate(self, kind: Modality) -> float:
        """Letters a token of the run's vocabularies, or of those that its base was made with."""
        vocabulary, made_by = self.recipe.vocabulary, self.recipe.model.made_by
        if not vocabulary.kinds and made_by is not None:
            vocabulary = load_recipe(made_by).vocabulary
        pieces = {"dna": vocabulary.dna, "protein": vocabulary.protein}.get(kind)
        if kind == "text" or pieces is None:
            size = self.num_base_rows
            return letters_per_token("text", size)
        cost = SHARED_COST[kind] if vocabulary.scheme == "shared" else 1.0
        return letters_per_token(kind, pieces.size) / cost

    def _vocabulary(self) -> StageForecast:
        seconds = 0.0
        for kind in self.recipe.vocabulary.kinds:
            pieces = getattr(self.recipe.vocabulary, kind)
            available = sum(file.letters for file in self._find(pieces.files))
            learned = min(pieces.sample, available or pieces.sample) * (2 if pieces.both_strands else 1)
            # The sample is drawn over all of the files, so that all are read.
            seconds += (learned + available) / _SPEED["dna"]
        return StageForecast("vocabulary", 0, 0, seconds / 3600)

    def _model(self) -> StageForecast:
        return StageForecast("model", 0, _WEIGHT_BYTES * self.architecture.num_parameters, 0)

    def _sources(self) -> list[SourceForecast]:
        corpus, pretrain = self.recipe.corpus, self.recipe.pretrain
        if corpus is None:
            return []
        shares = _shares(corpus)
        wanted = pretrain.tokens if pretrain else 0
        found = []
        for source, share in zip(corpus.source, shares, strict=True):
            letters = sum(file.letters for file in self._find(source.files)) * (2 if source.both_strands else 1)
            tokens = letters / self._rate(source.kind)
            epochs = wanted * share / tokens if tokens else 0.0
            found.append(SourceForecast(source.name, source.kind, letters, tokens, share, epochs))
        return found

    def _corpus(self, sources: Sequence[SourceForecast]) -> StageForecast:
        from llama_gene.vocabulary.bpe import num_cpus

        tokens = sum(source.tokens for source in sources)
        seconds = sum(source.letters / _SPEED[source.kind] for source in sources) / num_cpus()
        return StageForecast("corpus", tokens, _ID_BYTES * tokens, seconds / 3600)

    def _finetune_tokens(self) -> float:
        settings, tuning = self.recipe.tasks, self.recipe.finetune
        assert settings is not None
        assert tuning is not None
        total = 0.0
        for name in settings.use:
            place = self.recipe.data_root / name
            try:
                task = load_task(place if name.endswith(".toml") and place.exists() else name)
            except LlamaGeneError as error:
                if self.recipe.simulate is None:
                    self.warnings.append(f"task {name!r} cannot be counted: {error.problem}")
                else:
                    # One row fills a block at most.
                    total += self.recipe.simulate.num_train * tuning.block_size
                continue
            rates = [self._rate(part.kind) for part in task.inputs]
            rate = sum(rates) / len(rates)
            for file in self._task_files(task):
                path = self.recipe.data_root / file.path
                if path.is_file():
                    total += row_tokens(path, rate, tuning.block_size, settings.max_train_rows)
                else:
                    total += file.letters / rate
        return total * tuning.epochs

    def _task_files(self, task: Task) -> list[InputFile]:
        root = self.recipe.data_root
        try:
            path = find_split(task, root, "train")
        except FormatError:
            return self._find([f"tasks/{task.data}/train.*"])
        return self._find([_name(path, root)])

    def _training(self, name: str, settings: TrainingSettings, tokens: float) -> StageForecast:
        plan, shape, wanted = self.recipe.plan, self.architecture, round(tokens)
        num_new = shape.rows - self.num_base_rows
        training = plan_training(
            shape,
            settings,
            tokens=wanted,
            num_new_rows=num_new,
            gpu=self.gpu,
            num_gpus=plan.gpus,
            utilisation=plan.utilisation,
        )
        if settings.precision == "bf16" and not self.gpu.bf16:
            self.warnings.append(f"{name}: {self.gpu.name} has no bf16; set {name}.precision=fp32, or another GPU")
        if 0 < training.tokens < training.batch_tokens:
            self.warnings.append(
                f"{name}: {wanted:,} tokens do not fill one step of {training.batch_tokens:,}: lower {name}.accumulate"
            )
        if not training.fits():
            least = min(sum(parts.values()) for parts in training.memory.values()) / GIB
            ways = remedies(shape, settings, num_new, self.gpu, plan.gpus)
            said = "; ".join(f"{way.change} ({way.strategy}: {way.gib:.0f} GiB)" for way in ways)
            self.warnings.append(
                f"{name} does not fit: {least:.0f} GiB a GPU at least, {self.gpu.name} has {self.gpu.memory:.0f}; "
                + (f"what would: {said}" if said else "take more GPUs, a smaller base, or QLoRA (lora.load_in_4bit)")
            )
        elif plan.gpus > 1 and BY_SETTING[settings.strategy] not in training.fits():
            fitting = [key for key, strategy in BY_SETTING.items() if strategy in training.fits()]
            size = sum(training.memory[BY_SETTING[settings.strategy]].values()) / GIB
            said = f"{name} takes {size:.0f} GiB a GPU with strategy={settings.strategy}, {self.gpu.name} has"
            self.warnings.append(f"{said} {self.gpu.memory:.0f}: set {name}.strategy={' or '.join(fitting)}")
        trained = training.trainable.total
        disk = _WEIGHT_BYTES * shape.num_parameters + (settings.keep_checkpoints + 1) * _CHECKPOINT_BYTES * trained
        return StageForecast(name, wanted, disk, training.hours, training)


def _shares(corpus: CorpusSettings) -> list[float]:
    """The share of the training tokens that each source gets."""
    total = sum(source.weight for source in corpus.source)
    if corpus.weights is None:
        return [source.weight / total for source in corpus.source]
    modalities = {kind: weight for kind, weight in corpus.weights if weight is not None}
    of_kind = {kind: sum(s.weight for s in corpus.source if s.kind == kind) for kind in modalities}
    return [
        modalities[source.kind] / sum(modalities.values()) * source.weight / of_kind[source.kind]
        for source in corpus.source
    ]


def _name(path: Path, root: Path) -> str:
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)


def _nearest_folder(folder: Path) -> Path:
    folder = folder.absolute()
    while not folder.exists():
        folder = folder.parent
    return folder
