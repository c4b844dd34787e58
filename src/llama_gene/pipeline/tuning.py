"""The stages that know tasks: tuning on their rows, and evaluating what came of it."""

import json
import os
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

import llama_gene
from llama_gene.config import InstructionSettings, Recipe, find_files
from llama_gene.errors import FormatError, TaskError
from llama_gene.files import atomic_folder, read_object, write_sealed, write_text
from llama_gene.sequences.read import Reject
from llama_gene.tasks.convert import find_split, tables_folder
from llama_gene.tasks.registry import load_task
from llama_gene.tasks.rows import LoadedRows, load_rows
from llama_gene.tasks.task import Task

if TYPE_CHECKING:
    from llama_gene.evaluation.result import TaskResult
    from llama_gene.finetune import InstructionRows
    from llama_gene.inference.engine import Engine


class Tuning:
    """A recipe's tasks, and the stages that work on them, each in the run's folder."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe, self.folder = recipe, recipe.folder

    def tasks(self) -> list[Task]:
        """The recipe's tasks.

        Raises:
            TaskError: Two of them have one name.
        """
        if self.recipe.tasks is None:
            return []
        tasks = [load_task(self._task_place(name), self.recipe.data_root) for name in self.recipe.tasks.use]
        names = [task.name for task in tasks]
        if len(set(names)) < len(names):
            raise TaskError(f"two tasks have one name: {', '.join(sorted(names))}")
        return tasks

    def _task_place(self, name: str) -> str | Path:
        inside = self.recipe.data_root / name
        return inside if name.endswith(".toml") and inside.exists() else name

    def task_files(self) -> list[Path]:
        """The definitions of the tasks that are not built in."""
        names = self.recipe.tasks.use if self.recipe.tasks else []
        places = [Path(self._task_place(name)) for name in names if name.endswith(".toml")]
        return [path for path in places if path.is_file()]

    def label_files(self) -> list[Path]:
        """Where tasks have label names that their definitions do not hold."""
        root = self.recipe.data_root
        return [tables_folder(task, root) / task.labels_file for task in self.tasks() if task.labels_file]

    def train_files(self) -> list[Path]:
        """The files that tuning reads."""
        settings, root = self.recipe.finetune, self.recipe.data_root
        assert settings is not None
        splits = ["train", "dev"] if settings.dev_rows else ["train"]
        files = [find_split(task, root, split) for task in self.tasks() for split in splits]
        mixed = [file for one in settings.instructions for file in find_files(one.files, root)]
        english = find_files(settings.english, root) if settings.english else []
        return files + self.task_files() + self.label_files() + mixed + english

    def dev_files(self) -> list[Path]:
        """The files that the evaluation reads."""
        files = [find_split(task, self.recipe.data_root, "dev") for task in self.tasks()]
        return files + self.task_files() + self.label_files()

    def _rows(self, task: Task, split: Literal["train", "dev"]) -> LoadedRows:
        settings = self.recipe.tasks
        assert settings is not None
        return load_rows(
            task,
            find_split(task, self.recipe.data_root, split),
            cap=settings.max_train_rows if split == "train" else settings.max_dev_rows,
            seed=self.recipe.seed,
            bad_letters=settings.bad_letters,
            contradictions=settings.contradictions if split == "train" else "keep",
        )

    def finetune(self, work: Path) -> None:
        """Tune the model on all tasks."""
        from llama_gene.finetune import TaskRows, finetune

        settings = self.recipe.finetune
        assert settings is not None
        tasks = []
        for task in self.tasks():
            rows = self._rows(task, "train")
            dev = self._rows(task, "dev").drawn(settings.dev_rows) if settings.dev_rows else ()
            tasks.append(TaskRows(task, rows, rows.record, dev))
        base = self._base_of_tuning()
        finetune(
            base,
            tasks,
            settings,
            self.folder / "model",
            work,
            seed=self.recipe.seed,
            instructions=[self._instructions(one) for one in settings.instructions],
            english=self._english(base),
            logs=self.folder / "logs" / "finetune",
        )

    def _base_of_tuning(self) -> Path:
        return self.folder / ("pretrained" if self.recipe.pretrain else "base")

    def _instructions(self, settings: InstructionSettings) -> "InstructionRows":
        from llama_gene.finetune import InstructionRows
        from llama_gene.tasks.convert.instructions import read_instructions

        def say(reject: Reject) -> None:
            print(f"  {settings.name}: set aside: {reject.where}: {reject.reason}", file=sys.stderr)

        files = find_files(settings.files, self.recipe.data_root)
        rows = (row for file in files for row in read_instructions(file, on_reject=say))
        return InstructionRows(settings.name, settings.share, rows)

    def _english(self, base: Path) -> list[NDArray[np.uint32]]:
        """Documents that no stage trains on, by which forgetting shows: of files that are named, or of the corpus."""
        from llama_gene.corpus.build import load_manifest
        from llama_gene.corpus.pack import validation_documents
        from llama_gene.sequences.text import read_texts
        from llama_gene.tokenizer import GeneTokenizer, neutralise
        from llama_gene.training.held_out import VALIDATION_TOKENS

        settings, corpus, tokenizer = self.recipe.finetune, self.folder / "corpus", GeneTokenizer.load(base)
        assert settings is not None
        if not settings.english:
            wanted = self.recipe.pretrain is not None
            manifest = load_manifest(corpus, tokenizer) if wanted else None
            return validation_documents(corpus, manifest, "text", VALIDATION_TOKENS) if wanted else []
        documents: list[NDArray[np.uint32]] = []
        for file in find_files(settings.english, self.recipe.data_root):
            for text in read_texts(file):
                documents.append(np.array(tokenizer.encode(neutralise(text)[0]), np.uint32))
                if sum(map(len, documents)) >= VALIDATION_TOKENS:
                    return documents
        return documents

    def evaluate(self, work: Path) -> None:
        """Score the tuned model on the dev rows of all tasks, and write the report."""
        from llama_gene.evaluation.evaluate import evaluate_task
        from llama_gene.evaluation.explained import explain_rows
        from llama_gene.evaluation.report import write
        from llama_gene.evaluation.result import TaskResult
        from llama_gene.evaluation.wording import ask_in_other_words
        from llama_gene.inference.engine import Engine

        engine = Engine.load(self.folder / "model")
        untuned = self._untuned(engine)
        settings = self.recipe.evaluation
        results, predictions = [], {}
        for task in self.tasks():
            kept, rows_kept = work / f"{task.name}.json", work / f"{task.name}.tsv"
            if not kept.exists():
                test = self._rows(task, "dev")
                train = self._rows(task, "train") if settings.baselines else None
                result, outcomes = evaluate_task(
                    engine,
                    task,
                    test,
                    train,
                    split="dev",
                    batch_tokens=settings.batch_tokens,
                    leakage=settings.leakage,
                    cache=self.folder / "baselines",  # another model on the same rows does not fit them again
                )
                if settings.explained_rows:
                    explained = explain_rows(
                        engine,
                        task,
                        test.examples,
                        outcomes,
                        settings.explained_rows,
                        batch_tokens=settings.batch_tokens,
                    )
                    result = result.model_copy(update={"explained": explained})
                if untuned is not None:
                    rows = test.drawn(settings.wording_rows)
                    words = ask_in_other_words(untuned, engine, task, rows, batch_tokens=settings.batch_tokens)
                    result = result.model_copy(update={"other_words": words})
                write_text(rows_kept, outcomes.to_tsv())
                write_sealed(kept, json.loads(result.model_dump_json()))
            results.append(TaskResult.model_validate_json(json.dumps(read_object(kept, "name", "rows"))))
            predictions[task.name] = _read_rows(rows_kept, results[-1])
        with atomic_folder(self.folder / "report") as draft:
            write(self._report(engine.record, results), draft, predictions)

    def _untuned(self, engine: "Engine") -> "Engine | None":
        """The model before it was tuned, to be asked as it is asked now; None if nobody wants to know."""
        from llama_gene.inference.engine import Engine
        from llama_gene.model.folder import load_folder

        if not self.recipe.evaluation.wording_rows:
            return None
        model, tokenizer, _ = load_folder(self._base_of_tuning())
        return Engine(model, tokenizer, engine.record, engine.folder)

    def _is_simulated(self, task: Task) -> bool:
        # What is simulated lies in the run; tables of one's own may lie elsewhere.
        root = self.recipe.data_root.resolve()
        return tables_folder(task, root).resolve().is_relative_to(root)

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
        curves = {stage: _curve(record[stage]["log"]) for stage in ("pretrain", "finetune") if stage in record}
        return Report(
            title=recipe.name,
            model={**describe_model(record), "machine": _machine()},
            results=tuple(results),
            simulated=recipe.simulate is not None and any(map(self._is_simulated, self.tasks())),
            notes=tuple(notes),
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            version=llama_gene.__version__,
            curves=curves,
            bits_per_letter=_bits(record),
            english=_english_of(record),
        )


def _read_rows(path: Path, result: "TaskResult") -> str:
    """What was answered to each row, as it was written with the scores."""
    from llama_gene.evaluation.outcomes import Outcomes

    if result.rows is None or not path.is_file():
        raise FormatError("the answers to its rows are missing", where=path, hint=f"remove the folder {path.parent}")
    return Outcomes.read(path, result.kind, result.rows).to_tsv()


def _machine() -> str:
    """What the run was made on, for the readers of its minutes."""
    import torch

    found = f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPU cores"
    return f"{found}, {torch.cuda.get_device_name()}" if torch.cuda.is_available() else found


def _curve(log: dict[str, list[float]]) -> tuple[dict[str, float], ...]:
    # Without the first point, where a new model knows nothing: all that is learned later would look flat beside it.
    return tuple({"step": step, "loss": loss} for step, loss in zip(log["step"][1:], log["loss"][1:], strict=True))


def _english_of(record: dict[str, Any]) -> dict[str, float]:
    pretrained = record.get("pretrain", {}).get("bits", {}).get("text", {})
    tuned = record["finetune"].get("english", {})
    found = {"before pre-training": pretrained.get("before"), "before tuning": tuned.get("before")}
    found["after tuning"] = tuned.get("after")
    return {stage: bits for stage, bits in found.items() if bits is not None}


def _bits(record: dict[str, Any]) -> dict[str, float]:
    from llama_gene.training.held_out import UNITS

    bits = record.get("pretrain", {}).get("bits", {})
    return {UNITS[kind]: value["after"] for kind, value in bits.items() if value["after"] is not None}
