"""Which tasks of a model are scored, and on which rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from llama_gene.errors import FormatError, SettingsError
from llama_gene.inference.predictor import Predictor
from llama_gene.tasks.convert import find_split
from llama_gene.tasks.rows import LoadedRows, load_rows, load_training_rows
from llama_gene.tasks.task import Task

ALL = "all"


@dataclass(frozen=True)
class ChosenTask:
    """A task with its rows.

    Attributes:
        task: The task.
        test: The rows to score.
        train: Those that baselines are trained on; None where there are none.
        split: What the scored rows are called.
    """

    task: Task
    test: LoadedRows
    train: LoadedRows | None
    split: str


def task_names(predictor: Predictor, wanted: Sequence[str]) -> list[str]:
    """The names of the tasks to score, each once.

    Args:
        predictor: Who is scored.
        wanted: Names, several of them separated by commas, or ``all`` that the model was tuned on.

    Raises:
        SettingsError: No task is named, or all are wanted of a model that was tuned on none.
    """
    names = list(dict.fromkeys(name.strip() for words in wanted for name in words.split(",") if name.strip()))
    tuned = sorted(predictor.record.get("tasks", {}))
    if names == [ALL]:
        names = tuned
    if not names:
        problem = "this model was not tuned on any task" if ALL in wanted else "no task is named"
        raise SettingsError(problem, hint="name what to score: --task NAME, or the file of a task of your own")
    return names


def choose_rows(
    predictor: Predictor, name: str, *, data: Path | None = None, train: Path | None = None, root: Path | None = None
) -> ChosenTask:
    """A task of a model, and its rows.

    Args:
        predictor: Who is scored.
        name: The task.
        data: The rows to score; its dev split if None, under `root`, or beside the rows that the model was tuned on.
        train: The rows to train baselines on; if None those the model was tuned on, where they were then or under
            `root`, and of another model the train split under `root`.
        root: The data root.

    Raises:
        TaskError: There is no such task for this model.
        SettingsError: There are no rows to score.
        FormatError: A file is no table of the task.
    """
    task, recorded = predictor.task(name), predictor.record.get("tasks", {}).get(name)
    data = data or _dev_file(task, None if recorded is None else Path(recorded["path"]), root)
    if train is not None:
        training: LoadedRows | None = load_rows(task, train)
    elif recorded is None:
        found = _train_file(task, root)
        training = None if found is None else load_rows(task, found)
    else:
        training = load_training_rows(task, recorded)
        if training is None and (found := _train_file(task, root)) is not None:  # an exported model names no folder
            training = load_training_rows(task, {**recorded, "path": str(found)})
    return ChosenTask(task, load_rows(task, data), training, data.name.partition(".")[0])


def _train_file(task: Task, root: Path | None) -> Path | None:
    try:
        return None if root is None else find_split(task, root, "train")
    except FormatError:
        return None


def _dev_file(task: Task, trained_on: Path | None, root: Path | None) -> Path:
    if root is not None:
        return find_split(task, root, "dev")
    hint = "give --data FILE, or --root FOLDER"
    if trained_on is None:
        raise SettingsError(f"no rows of {task.name!r} to score", hint=hint)
    found = sorted(trained_on.parent.glob("dev.*"))
    if not found:
        problem = f"no dev split beside the training rows of {task.name!r}"
        raise SettingsError(problem, where=trained_on.parent, hint=hint)
    return found[0]
