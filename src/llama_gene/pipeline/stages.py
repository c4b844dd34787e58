"""The stages of a recipe: what each reads, what it makes, and what decides its result.

Heavy modules are imported where a stage needs them, so that a dry run starts at once.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llama_gene.config import Recipe, TrainingSettings, find_files
from llama_gene.errors import FormatError, SettingsError
from llama_gene.files import atomic_folder
from llama_gene.pipeline.tuning import Tuning
from llama_gene.sequences.alphabet import Kind
from llama_gene.tasks.convert import find_split

if TYPE_CHECKING:
    from llama_gene.corpus.contamination import HeldOutFile
    from llama_gene.corpus.plan import Plan

_SEQUENCE_KINDS: tuple[Kind, ...] = ("dna", "protein")


@dataclass(frozen=True)
class Stage:
    """One step of a run.

    Attributes:
        name: Its name on the command line and in the run's folder.
        output: The folder it makes.
        settings: What of the recipe decides its result.
        after: The stages whose results it reads.
        files: The files outside the run that it reads; asked for only once the stages before are done.
        make: Does the work; it is given a folder for what it keeps meanwhile, such as checkpoints.
        training: How it trains, if it does: several processes may do that together.
    """

    name: str
    output: Path
    settings: Any
    after: tuple[str, ...]
    files: Callable[[], list[Path]]
    make: Callable[[Path], None]
    training: TrainingSettings | None = None


def stages_of(recipe: Recipe) -> list[Stage]:
    """The stages that `recipe` asks for, in order."""
    return _Stages(recipe).listed()


def plan_corpus(recipe: Recipe) -> "Plan":
    """Freeze the plan of the recipe's corpus in the run's folder; the stages before it must be done.

    Raises:
        SettingsError: The recipe has no corpus to train on.
        LlamaGeneError: The corpus cannot be planned; see `corpus.plan.freeze`.
    """
    from llama_gene.corpus.plan import freeze, load_tokenizer

    if recipe.corpus is None:
        raise SettingsError("the recipe has no [corpus]", hint="add one, with a [[corpus.source]] for each source")
    tokenizer = load_tokenizer(recipe.folder / "base")
    held_out = _Stages(recipe).held_out_files()
    corpus = recipe.folder / "corpus"
    return freeze(recipe.corpus, recipe.data_root, tokenizer, corpus, seed=recipe.seed, held_out=held_out)


class _Stages:
    """How a recipe's stages do their work, each in the run's folder."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe, self.folder, self._tuning = recipe, recipe.folder, Tuning(recipe)

    def listed(self) -> list[Stage]:
        """All of them, in order."""
        recipe, folder = self.recipe, self.folder
        files: Callable[[], list[Path]]
        stages: list[Stage] = []
        data: tuple[str, ...] = ()
        if recipe.simulate:
            settings = {"simulate": recipe.simulate, "seed": recipe.seed}
            stages.append(Stage("simulate", folder / "data", settings, (), list, self._simulate))
            data = ("simulate",)
        vocabulary = recipe.vocabulary
        before = data
        if vocabulary.kinds:
            files = self._vocabulary_files
            stages.append(Stage("vocabulary", folder / "vocabulary", vocabulary, data, files, self._vocabulary))
            before = ("vocabulary", *data)
        scratch = recipe.model.base == "scratch"
        base_settings = {"model": recipe.model, "seed": recipe.seed, "text": self._text_settings() if scratch else None}
        files = self._text_files if scratch else self._base_files
        stages.append(Stage("model", folder / "base", base_settings, before, files, self._model))
        last = "model"
        if recipe.corpus and recipe.pretrain:
            settings = {"corpus": recipe.corpus, "seed": recipe.seed}
            stages.append(
                Stage("corpus", folder / "corpus", settings, ("model", *data), self._corpus_files, self._corpus)
            )
            settings = {"pretrain": recipe.pretrain, "seed": recipe.seed}
            read, make = ("model", "corpus"), self._pretrain
            stages.append(Stage("pretrain", folder / "pretrained", settings, read, list, make, recipe.pretrain))
            last = "pretrain"
        if recipe.tasks and recipe.finetune:
            settings = {"tasks": recipe.tasks, "finetune": recipe.finetune, "seed": recipe.seed}
            if recipe.finetune.patience:
                settings["validate_every"] = recipe.finetune.validate_every  # here it decides when the training ends
            files = self._tuning.train_files
            make, training = self._tuning.finetune, recipe.finetune
            stages.append(Stage("finetune", folder / "model", settings, (last, *data), files, make, training))
            settings = {"tasks": recipe.tasks, "evaluation": recipe.evaluation, "seed": recipe.seed}
            files = self._tuning.dev_files
            stages.append(
                Stage("evaluate", folder / "report", settings, ("finetune", *data), files, self._tuning.evaluate)
            )
        return stages

    def _simulate(self, _: Path) -> None:
        from llama_gene.simulate import simulate

        assert self.recipe.simulate is not None
        settings = self.recipe.simulate
        output = self.folder / "data"
        simulate(output, seed=self.recipe.seed, num_train=settings.num_train, num_dev=settings.num_dev)

    def _vocabulary_files(self) -> list[Path]:
        return [path for kind in self.recipe.vocabulary.kinds for path in self._pieces_files(kind)]

    def _pieces_files(self, kind: Kind) -> list[Path]:
        return find_files(getattr(self.recipe.vocabulary, kind).files, self.recipe.data_root)

    def _vocabulary(self, _: Path) -> None:
        from llama_gene.vocabulary.learn import learn_vocabulary

        output = self.folder / "vocabulary"
        with atomic_folder(output) as draft:
            for kind in self.recipe.vocabulary.kinds:
                settings = getattr(self.recipe.vocabulary, kind)
                learn_vocabulary(
                    self._pieces_files(kind),
                    kind,
                    settings.size,
                    draft / kind,
                    sample=settings.sample,
                    seed=self.recipe.seed,
                    both_strands=settings.both_strands,
                )

    def _text_settings(self) -> Any:
        sources = self.recipe.corpus.source if self.recipe.corpus else []
        return {"sources": [source for source in sources if source.kind == "text"], "tasks": self._task_names()}

    def _task_names(self) -> list[str]:
        return self.recipe.tasks.use if self.recipe.tasks else []

    def _text_files(self) -> list[Path]:
        sources = self.recipe.corpus.source if self.recipe.corpus else []
        return [
            path
            for source in sources
            if source.kind == "text"
            for path in find_files(source.files, self.recipe.data_root)
        ] + [*self._tuning.task_files(), *self._tuning.label_files()]

    def _base_files(self) -> list[Path]:
        folder = Path(self.recipe.model.base)
        return sorted(path for path in folder.iterdir() if path.is_file()) if folder.is_dir() else []

    def _model(self, _: Path) -> None:
        from llama_gene.model.create import continue_base, create_from_scratch, extend_base
        from llama_gene.vocabulary.train import SequenceVocabulary

        kinds = self.recipe.vocabulary.kinds
        vocabularies = [SequenceVocabulary.load(self.folder / "vocabulary" / kind) for kind in kinds]
        settings, seed, output = self.recipe.model, self.recipe.seed, self.folder / "base"
        if settings.base == "scratch":
            create_from_scratch(settings, vocabularies, self._texts(), output, seed=seed)
        elif not vocabularies:
            continue_base(settings, output)
        else:
            extend_base(settings, vocabularies, output, seed=seed, scheme=self.recipe.vocabulary.scheme)

    def _texts(self) -> Iterator[str]:
        """The recipe's own text: its text sources, and the words its tasks are asked and answered in."""
        from llama_gene.sequences.text import read_texts
        from llama_gene.tasks.template import prompt_texts

        yield from prompt_texts(self._tuning.tasks())
        sources = self.recipe.corpus.source if self.recipe.corpus else []
        for source in sources:
            if source.kind == "text":
                for path in find_files(source.files, self.recipe.data_root):
                    yield from read_texts(path, field=source.text_field)

    def _corpus_files(self) -> list[Path]:
        from llama_gene.corpus.plan import find_tasks

        assert self.recipe.corpus is not None
        settings, root = self.recipe.corpus, self.recipe.data_root
        files = [path for _, path in find_tasks(settings, root)]
        if settings.decontaminate:
            files += find_files([*settings.decontaminate.dna, *settings.decontaminate.protein], root)
            files += [file.path for file in self.held_out_files()] + self._tuning.task_files()
        return files

    def _corpus(self, _: Path) -> None:
        from llama_gene.corpus.build import build_corpus
        from llama_gene.corpus.summary import warnings_of

        assert self.recipe.corpus is not None
        assert self.recipe.pretrain is not None
        manifest = build_corpus(plan_corpus(self.recipe), self.recipe.corpus)
        for warning in warnings_of(manifest, self.recipe.pretrain.tokens):
            print(f"  warning: {warning}", file=sys.stderr)

    def held_out_files(self) -> list["HeldOutFile"]:
        """The dev and test rows of the recipe's tasks, which the corpus must not hold if it asks for that."""
        from llama_gene.corpus.contamination import HeldOutFile

        if not (self.recipe.corpus and self.recipe.corpus.decontaminate and self.recipe.corpus.decontaminate.tasks):
            return []
        files = []
        for task in self._tuning.tasks():
            paths = [find_split(task, self.recipe.data_root, "dev")]
            with suppress(FormatError):  # tests are often kept elsewhere
                paths.append(find_split(task, self.recipe.data_root, "test"))
            for kind in _SEQUENCE_KINDS:
                columns = tuple(part.column for part in task.inputs if part.kind == kind)
                files += [HeldOutFile(path, kind, columns) for path in paths if columns]
        return files

    def _pretrain(self, work: Path) -> None:
        from llama_gene.pretrain import pretrain

        assert self.recipe.pretrain is not None
        pretrain(
            self.folder / "base",
            self.folder / "corpus",
            self.recipe.pretrain,
            self.folder / "pretrained",
            work,
            seed=self.recipe.seed,
            logs=self.folder / "logs" / "pretrain",
        )
