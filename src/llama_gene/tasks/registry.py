"""Built-in tasks by name, anyone's task by file; reading and writing of the TOML."""

import difflib
import json
import re
import tomllib
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from llama_gene.config import explain
from llama_gene.errors import TaskError
from llama_gene.files import write_text
from llama_gene.tasks.convert import read_labels, tables_folder
from llama_gene.tasks.task import Task

_BUILTIN = resources.files("llama_gene.tasks") / "builtin"


@cache
def builtin_names() -> tuple[str, ...]:
    """The names of the built-in tasks, sorted.

    >>> "splice_reconstructed" in builtin_names()
    True
    """
    files = (entry.name for entry in _BUILTIN.iterdir() if entry.name.endswith(".toml"))
    return tuple(sorted(name.removesuffix(".toml") for name in files))


def load_task(name_or_path: str | Path, data_root: Path | None = None) -> Task:
    """A built-in task by its name, or the task of a TOML file by its path.

    A `data` folder that starts with `.` is relative to the task's file, and becomes absolute here.

    Args:
        name_or_path: The name or the path.
        data_root: The folder that holds `tasks/`. With it, or with an absolute `data` folder, a `labels_file` becomes
            the `labels` it names.

    Raises:
        TaskError: No such task (with the nearest names), or a file that does not hold.
        FormatError: The file of the labels is not there, or does not hold.

    >>> load_task("splice_reconstructed").label_names
    ('acceptor', 'donor', 'neither')
    """
    task = _load(name_or_path)
    if not task.has_unread_labels or (data_root is None and not Path(task.data).is_absolute()):
        return task
    path = tables_folder(task, data_root or Path()) / str(task.labels_file)
    labels = read_labels(path, has_header=task.layout in {"lucaone", "lucaone_pair"})
    return _validated({**task.model_dump(), "labels": labels}, path)


def _load(name_or_path: str | Path) -> Task:
    text = str(name_or_path)
    if text in builtin_names():
        return _parse((_BUILTIN / f"{text}.toml").read_text(encoding="utf-8"), f"{text}.toml")
    path = Path(name_or_path)
    if not (path.suffix == ".toml" or len(path.parts) > 1):
        nearest = difflib.get_close_matches(text, builtin_names(), n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(nearest)}?" if nearest else f"built-in tasks: {', '.join(builtin_names())}"
        raise TaskError(f"no task {text!r}", hint=hint)
    if not path.is_file():
        raise TaskError("no such task file", where=path, hint="give a .toml file, or the name of a built-in task")
    try:
        task = _parse(path.read_text(encoding="utf-8"), path)
    except (OSError, UnicodeDecodeError) as error:
        raise TaskError(f"it cannot be read ({error})", where=path) from None
    if task.data.startswith("."):
        task = task.model_copy(update={"data": str((path.parent / task.data).resolve())})
    return task


def _parse(text: str, where: str | Path) -> Task:
    try:
        values = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # also numbers of thousands of digits, and such depths
        raise TaskError(f"not valid TOML: {error}", where=where) from None
    return _validated(values, where)


def _validated(values: dict[str, Any], where: str | Path) -> Task:
    try:
        return Task.model_validate(values)
    except ValidationError as error:
        problem, hint = explain(error, Task)
        raise TaskError(problem, where=where, hint=hint) from None


def save_task(task: Task, path: Path) -> None:
    """Write `task` as a TOML file, whole or not at all; `load_task` gives it back as it was."""
    write_text(path, _as_toml(task))


def _as_toml(task: Task) -> str:
    values = task.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
    inputs, labels = values.pop("inputs"), values.pop("labels", {})
    lines = _pairs(values)
    for part in inputs:
        lines += ["", "[[inputs]]", *_pairs(part)]
    if labels:
        lines += ["", "[labels]", *_pairs(labels)]
    return "\n".join(lines) + "\n"


def _pairs(values: dict[str, Any]) -> list[str]:
    return [f"{_key(key)} = {_scalar(value)}" for key, value in values.items()]


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _scalar(key)


def _scalar(value: str | float | bool) -> str:
    # TOML's basic strings, numbers and booleans are JSON's, but for the delete character.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
