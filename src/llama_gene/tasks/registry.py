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

from llama_gene.errors import TaskError
from llama_gene.files import write_text
from llama_gene.tasks.task import Input, Task

_BUILTIN = resources.files("llama_gene.tasks") / "builtin"
_MAX_PROBLEMS = 2


@cache
def builtin_names() -> tuple[str, ...]:
    """The names of the built-in tasks, sorted.

    >>> "splice_reconstructed" in builtin_names()
    True
    """
    files = (entry.name for entry in _BUILTIN.iterdir() if entry.name.endswith(".toml"))
    return tuple(sorted(name.removesuffix(".toml") for name in files))


def load_task(name_or_path: str | Path) -> Task:
    """A built-in task by its name, or the task of a TOML file by its path.

    A `data` folder that starts with `.` is relative to the task's file, and becomes absolute here.

    Raises:
        TaskError: No such task (with the nearest names), or a file that does not hold.

    >>> load_task("splice_reconstructed").label_names
    ('acceptor', 'donor', 'neither')
    """
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
    except UnicodeDecodeError as error:
        raise TaskError(f"not UTF-8 text ({error.reason})", where=path) from None
    if task.data.startswith("."):
        task = task.model_copy(update={"data": str((path.parent / task.data).resolve())})
    return task


def _parse(text: str, where: str | Path) -> Task:
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise TaskError(f"not valid TOML: {error}", where=where) from None
    try:
        return Task.model_validate(values)
    except ValidationError as error:
        raise _readable(error, where) from None


def _readable(error: ValidationError, where: str | Path) -> TaskError:
    """A validation error as one line: each key with what is wrong there, and the nearest right key for a wrong one."""
    details = error.errors(include_url=False)
    # A list with a broken entry is reported once more as too short; the entry says it better.
    places = [detail["loc"] for detail in details]
    details = [d for d in details if not any(len(p) > len(d["loc"]) and p[: len(d["loc"])] == d["loc"] for p in places)]
    problems, hint = [], None
    for detail in details[:_MAX_PROBLEMS]:
        key = ".".join(str(part) for part in detail["loc"])
        if detail["type"] == "extra_forbidden":
            known = Input.model_fields if len(detail["loc"]) > 1 else Task.model_fields
            nearest = difflib.get_close_matches(str(detail["loc"][-1]), known, n=1)
            hint = f"did you mean {nearest[0]!r}?" if nearest else f"known keys: {', '.join(known)}"
            problems.append(f"unknown key {key!r}")
        elif detail["type"] == "missing":
            problems.append(f"{key!r} is missing")
        else:
            message = detail["msg"].removeprefix("Value error, ")
            problems.append(f"{key}: {message}" if key else message)
    if len(details) > _MAX_PROBLEMS:
        problems.append(f"and {len(details) - _MAX_PROBLEMS} more")
    return TaskError("; ".join(problems), where=where, hint=hint)


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
