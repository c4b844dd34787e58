"""Run a recipe: its stages in order, skipping what is done and unchanged, resuming what was killed.

Each stage writes one folder of the run, whole or not at all. Its fingerprint covers its settings, its input files and
the fingerprints of the stages it stands on; a finished stage leaves a stamp with the fingerprint, and is skipped for
as long as the two agree.
"""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import llama_gene
from llama_gene.config import Recipe, find_files
from llama_gene.errors import LlamaGeneError, SettingsError, TaskError
from llama_gene.files import atomic_folder, hash_file, hash_value, read_json, write_json, write_text
from llama_gene.sequences.alphabet import Kind
from llama_gene.tasks.convert import find_split
from llama_gene.tasks.registry import load_task
from llama_gene.tasks.rows import LoadedRows, load_rows
from llama_gene.tasks.task import Task

Say = Callable[[str], None]

_STAMPS = "stages"
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
        make: Does the work.
    """

    name: str
    output: Path
    settings: Any
    after: tuple[str, ...]
    files: Callable[[], list[Path]]
    make: Callable[[], None]


class Run:
    """A recipe in its folder.

    Args:
        recipe: The validated recipe.
    """

    def __init__(self, recipe: Recipe) -> None:
        self.recipe, self.folder = recipe, recipe.folder
        self._hashes = _FileHashes(self.folder / _STAMPS / "files.json")

    @cached_property
    def stages(self) -> list[Stage]:
        """The stages that the recipe asks for, in order."""
        recipe, folder = self.recipe, self.folder
        files: Callable[[], list[Path]]
        stages: list[Stage] = []
        data: tuple[str, ...] = ()
        if recipe.simulate:
            settings = {"simulate": recipe.simulate, "seed": recipe.seed}
            stages.append(Stage("simulate", folder / "data", settings, (), list, self._simulate))
            data = ("simulate",)
        vocabulary = recipe.vocabulary
        stages.append(
            Stage("vocabulary", folder / "vocabulary", vocabulary, data, self._vocabulary_files, self._vocabulary)
        )
        scratch = recipe.model.base == "scratch"
        base_settings = {"model": recipe.model, "seed": recipe.seed, "text": self._text_settings() if scratch else None}
        files = self._text_files if scratch else self._base_files
        stages.append(Stage("model", folder / "base", base_settings, ("vocabulary", *data), files, self._model))
        last = "model"
        if recipe.corpus and recipe.pretrain:
            settings = {"corpus": recipe.corpus, "seed": recipe.seed}
            stages.append(
                Stage("corpus", folder / "corpus", settings, ("model", *data), self._corpus_files, self._corpus)
            )
            settings = {"pretrain": recipe.pretrain, "seed": recipe.seed}
            stages.append(Stage("pretrain", folder / "pretrained", settings, ("model", "corpus"), list, self._pretrain))
            last = "pretrain"
        if recipe.tasks and recipe.finetune:
            settings = {"tasks": recipe.tasks, "finetune": recipe.finetune, "seed": recipe.seed}
            files = self._train_files
            stages.append(Stage("finetune", folder / "model", settings, (last, *data), files, self._finetune))
            settings = {"tasks": recipe.tasks, "evaluation": recipe.evaluation, "seed": recipe.seed}
            files = self._dev_files
            stages.append(Stage("evaluate", folder / "report", settings, ("finetune", *data), files, self._evaluate))
        return stages

    def fingerprint(self, stage: Stage) -> str:
        """What decides the result of `stage`.

        Raises:
            LlamaGeneError: An input file is missing.
        """
        before = {name: self.fingerprint(other) for other in self.stages for name in stage.after if other.name == name}
        return hash_value(
            {
                "stage": stage.name,
                "version": llama_gene.__version__,
                "settings": _plain(stage.settings),
                "after": before,
                "files": {str(path): self._hashes(path) for path in self._outside(stage.files())},
            }
        )

    def _outside(self, files: list[Path]) -> list[Path]:
        """The files that no stage made: simulated ones need no hash, the fingerprint of their stage says it all."""
        if not self.recipe.simulate:
            return files
        made = self.recipe.data_root.resolve()
        return [path for path in files if not path.resolve().is_relative_to(made)]

    def is_done(self, stage: Stage) -> bool:
        """Whether the result of `stage` is there, made from what it would be made from now."""
        stamp = self.folder / _STAMPS / f"{stage.name}.json"
        return stage.output.exists() and stamp.exists() and read_json(stamp)["fingerprint"] == self.fingerprint(stage)

    def plan(self) -> Iterator[tuple[Stage, bool]]:
        """Each stage, and whether it would be skipped; nothing is written."""
        done = True
        for stage in self.stages:
            done = done and self.is_done(stage)
            yield stage, done

    def execute(self, say: Say, *, until: str | None = None) -> None:
        """Run all stages that are not done, up to `until`.

        Raises:
            SettingsError: The recipe has no stage `until`.
            LlamaGeneError: A stage failed, or another process works in the same folder.
        """
        names = [stage.name for stage in self.stages]
        if until is not None and until not in names:
            raise SettingsError(f"the recipe has no stage {until!r}", hint=f"its stages: {', '.join(names)}")
        with _lock(self.folder):
            self._hashes.keep = True
            for draft in list(self.folder.rglob(".*.part.*")):  # what a killed run was writing, one maybe in another
                shutil.rmtree(draft, ignore_errors=True) if draft.is_dir() else draft.unlink(missing_ok=True)
            write_json(self.folder / "recipe.json", self.recipe.model_dump(mode="json"))
            for number, stage in enumerate(self.stages, start=1):
                self._run(stage, f"[{number}/{len(names)}] {stage.name}", say)
                if stage.name == until:
                    return

    def _run(self, stage: Stage, title: str, say: Say) -> None:
        if self.is_done(stage):
            say(f"{title}: done before, and nothing has changed")
            return
        say(f"{title} ...")
        started = time.monotonic()
        fingerprint = self.fingerprint(stage)
        work = self._work(stage, fingerprint)
        stage.make()
        seconds = time.monotonic() - started
        write_json(
            self.folder / _STAMPS / f"{stage.name}.json", {"fingerprint": fingerprint, "seconds": round(seconds, 1)}
        )
        shutil.rmtree(work.parent, ignore_errors=True)
        say(f"{title}: {stage.output} in {seconds:.0f} s")

    def _work(self, stage: Stage, fingerprint: str) -> Path:
        """A folder for what `stage` keeps while it works, such as checkpoints; what other settings left is removed."""
        work = self.folder / "work" / stage.name / fingerprint[:16]
        if work.parent.exists():
            for other in work.parent.iterdir():
                if other != work:
                    shutil.rmtree(other)
        return work

    # The stages. Heavy modules are imported where they are needed.

    def _simulate(self) -> None:
        from llama_gene.simulate import simulate

        assert self.recipe.simulate is not None
        settings = self.recipe.simulate
        output = self.folder / "data"
        simulate(output, seed=self.recipe.seed, num_train=settings.num_train, num_dev=settings.num_dev)

    def _vocabulary_files(self) -> list[Path]:
        return [path for kind in _SEQUENCE_KINDS for path in self._pieces_files(kind)]

    def _pieces_files(self, kind: Kind) -> list[Path]:
        settings = getattr(self.recipe.vocabulary, kind)
        return find_files(settings.files, self.recipe.data_root) if settings else []

    def _vocabulary(self) -> None:
        from llama_gene.vocabulary.learn import learn_vocabulary

        output = self.folder / "vocabulary"
        with atomic_folder(output) as draft:
            for kind in _SEQUENCE_KINDS:
                settings = getattr(self.recipe.vocabulary, kind)
                if settings:
                    learn_vocabulary(
                        self._pieces_files(kind), kind, settings.size, draft / kind, sample=settings.sample
                    )

    def _text_settings(self) -> Any:
        sources = self.recipe.corpus.source if self.recipe.corpus else []
        return {"sources": [source for source in sources if source.kind == "text"], "tasks": self.recipe.tasks}

    def _text_files(self) -> list[Path]:
        sources = self.recipe.corpus.source if self.recipe.corpus else []
        return [
            path
            for source in sources
            if source.kind == "text"
            for path in find_files(source.files, self.recipe.data_root)
        ] + self._task_files()

    def _base_files(self) -> list[Path]:
        folder = Path(self.recipe.model.base)
        return sorted(path for path in folder.iterdir() if path.is_file()) if folder.is_dir() else []

    def _model(self) -> None:
        from llama_gene.model.create import create_from_scratch, extend_base
        from llama_gene.vocabulary.train import SequenceVocabulary

        folders = [self.folder / "vocabulary" / kind for kind in _SEQUENCE_KINDS]
        vocabularies = [SequenceVocabulary.load(folder) for folder in folders if folder.exists()]
        settings, seed, output = self.recipe.model, self.recipe.seed, self.folder / "base"
        if settings.base == "scratch":
            create_from_scratch(settings, vocabularies, self._texts(), output, seed=seed)
        else:
            extend_base(settings, vocabularies, output, seed=seed)

    def _texts(self) -> Iterator[str]:
        """The recipe's own text: its text sources, and the words its tasks are asked and answered in."""
        from llama_gene.sequences.text import read_texts
        from llama_gene.tasks.template import prompt_texts

        yield from prompt_texts(self._tasks())
        sources = self.recipe.corpus.source if self.recipe.corpus else []
        for source in sources:
            if source.kind == "text":
                for path in find_files(source.files, self.recipe.data_root):
                    yield from read_texts(path, field=source.text_field)

    def _corpus_files(self) -> list[Path]:
        from llama_gene.corpus.build import plan_tasks

        assert self.recipe.corpus is not None
        return [task.path for task in plan_tasks(self.recipe.corpus, self.recipe.data_root)]

    def _corpus(self) -> None:
        from llama_gene.corpus.build import build_corpus
        from llama_gene.tokenizer import GeneTokenizer

        assert self.recipe.corpus is not None
        tokenizer = GeneTokenizer.load(self.folder / "base")
        build_corpus(
            self.recipe.corpus, self.recipe.data_root, tokenizer, self.folder / "corpus", seed=self.recipe.seed
        )

    def _pretrain(self) -> None:
        from llama_gene.pretrain import pretrain

        assert self.recipe.pretrain is not None
        stage = self._stage("pretrain")
        pretrain(
            self.folder / "base",
            self.folder / "corpus",
            self.recipe.pretrain,
            stage.output,
            self._work(stage, self.fingerprint(stage)),
            seed=self.recipe.seed,
        )

    def _tasks(self) -> list[Task]:
        """The recipe's tasks.

        Raises:
            TaskError: Two of them have one name.
        """
        if self.recipe.tasks is None:
            return []
        tasks = [load_task(self._task_place(name)) for name in self.recipe.tasks.use]
        names = [task.name for task in tasks]
        if len(set(names)) < len(names):
            raise TaskError(f"two tasks have one name: {', '.join(sorted(names))}")
        return tasks

    def _task_place(self, name: str) -> str | Path:
        inside = self.recipe.data_root / name
        return inside if name.endswith(".toml") and inside.exists() else name

    def _task_files(self) -> list[Path]:
        """The definitions of the tasks that are not built in."""
        names = self.recipe.tasks.use if self.recipe.tasks else []
        places = [Path(self._task_place(name)) for name in names if name.endswith(".toml")]
        return [path for path in places if path.is_file()]

    def _train_files(self) -> list[Path]:
        return [find_split(task, self.recipe.data_root, "train") for task in self._tasks()] + self._task_files()

    def _dev_files(self) -> list[Path]:
        return [find_split(task, self.recipe.data_root, "dev") for task in self._tasks()] + self._task_files()

    def _rows(self, task: Task, split: str) -> LoadedRows:
        settings = self.recipe.tasks
        assert settings is not None
        cap = settings.max_train_rows if split == "train" else settings.max_dev_rows
        path = find_split(task, self.recipe.data_root, split)
        return load_rows(task, path, cap=cap, seed=self.recipe.seed, bad_letters=settings.bad_letters)

    def _finetune(self) -> None:
        from llama_gene.finetune import TaskRows, finetune

        assert self.recipe.finetune is not None
        stage = self._stage("finetune")
        tasks = []
        for task in self._tasks():
            rows = self._rows(task, "train")
            tasks.append(TaskRows(task, rows.examples, rows.record))
        base = self.folder / ("pretrained" if self.recipe.pretrain else "base")
        work = self._work(stage, self.fingerprint(stage))
        finetune(base, tasks, self.recipe.finetune, stage.output, work, seed=self.recipe.seed)

    def _evaluate(self) -> None:
        from llama_gene.evaluation.evaluate import evaluate_task
        from llama_gene.evaluation.report import write
        from llama_gene.evaluation.result import TaskResult
        from llama_gene.inference.engine import Engine

        engine = Engine.load(self.folder / "model")
        stage = self._stage("evaluate")
        work = self._work(stage, self.fingerprint(stage))
        results = []
        for task in self._tasks():
            kept = work / f"{task.name}.json"
            if not kept.exists():
                test = self._rows(task, "dev")
                train = self._rows(task, "train") if self.recipe.evaluation.baselines else None
                tokens = self.recipe.evaluation.batch_tokens
                result = evaluate_task(engine, task, test, train, split="dev", batch_tokens=tokens)
                write_text(kept, result.model_dump_json())
            results.append(TaskResult.model_validate_json(kept.read_text(encoding="utf-8")))
        with atomic_folder(stage.output) as draft:
            write(self._report(engine.record, results), draft)

    def _report(self, record: dict[str, Any], results: list[Any]) -> Any:
        from llama_gene.evaluation.evaluate import describe_model
        from llama_gene.evaluation.result import Report

        recipe = self.recipe
        assert recipe.tasks is not None
        notes = []
        if recipe.tasks.max_train_rows:
            notes.append(f"At most {recipe.tasks.max_train_rows:,} training rows a task (tasks.max_train_rows).")
        if recipe.tasks.max_dev_rows:
            notes.append(f"At most {recipe.tasks.max_dev_rows:,} dev rows a task (tasks.max_dev_rows).")
        # Without the first point, where a new model knows nothing: all that is learned later would look flat beside it.
        curves = {
            stage: tuple({"step": float(step), "loss": loss} for step, loss in record[stage]["losses"][1:])
            for stage in ("pretrain", "finetune")
            if stage in record
        }
        return Report(
            title=recipe.name,
            model=describe_model(record),
            results=tuple(results),
            simulated=recipe.simulate is not None,
            notes=tuple(notes),
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            version=llama_gene.__version__,
            curves=curves,
            bits_per_letter=_bits(record),
        )

    def _stage(self, name: str) -> Stage:
        return next(stage for stage in self.stages if stage.name == name)


def _bits(record: dict[str, Any]) -> dict[str, float]:
    from llama_gene.pretrain import UNITS

    bits = record.get("pretrain", {}).get("bits", {})
    return {UNITS[kind]: value["after"] for kind, value in bits.items() if value["after"] is not None}


def _plain(settings: Any) -> Any:
    """Settings as JSON values."""
    if hasattr(settings, "model_dump"):
        return settings.model_dump(mode="json")
    if isinstance(settings, dict):
        return {key: _plain(value) for key, value in settings.items()}
    if isinstance(settings, list):
        return [_plain(value) for value in settings]
    return settings


class _FileHashes:
    """Hashes of input files, kept by size and time of change, so that gigabytes are read once.

    Attributes:
        keep: Whether new ones are written down for the next time; a dry run writes nothing.
    """

    def __init__(self, path: Path) -> None:
        self._path, self.keep = path, False
        self._known: dict[str, list[Any]] = read_json(path) if path.exists() else {}

    def __call__(self, path: Path) -> str:
        stat = path.stat()
        key, state = str(path.resolve()), [stat.st_size, stat.st_mtime_ns]
        if self._known.get(key, [])[:2] != state:
            self._known[key] = [*state, hash_file(path)]
            if self.keep:
                write_json(self._path, self._known)
        return str(self._known[key][2])


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """Keep a second process out of a run's folder; the lock goes with the process, however it ends."""
    import fcntl

    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = (folder / ".lock").open("w")
    except OSError as error:
        hint = "choose another with output=FOLDER"
        raise LlamaGeneError(f"cannot write to the run's folder ({error.strerror})", where=folder, hint=hint) from None
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            hint = "wait for it, or choose another folder with output=FOLDER"
            raise LlamaGeneError("another process is running in this folder", where=folder, hint=hint) from None
        yield
