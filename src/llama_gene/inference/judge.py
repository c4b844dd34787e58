"""What written text says: which label, or which number. Strictly: all of it, or nothing."""

import math
import re

from llama_gene.tasks.task import Task

_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?")


def first_line(text: str) -> str:
    r"""The first line that says anything.

    >>> first_line("\n yes \nBecause")
    'yes'
    """
    return text.strip().partition("\n")[0].strip()


def label_of(task: Task, text: str) -> str | None:
    """The label that the first line of `text` is; None if it is none.

    Case does not matter, nor does a full stop after it. Nothing is searched inside of it, so that "Not Conform" is not
    "Conform".

    >>> from llama_gene.tasks.registry import load_task
    >>> task = load_task("splice_reconstructed")
    >>> label_of(task, " Donor."), label_of(task, "no donor")
    ('donor', None)
    """
    said = first_line(text).removesuffix(".").casefold()
    return next((name for name in task.label_names if name.casefold() == said), None)


def number_of(text: str) -> float | None:
    r"""The number that the first line of `text` is; None if it is none.

    >>> number_of(" -0.35\n"), number_of("about 3"), number_of("nan")
    (-0.35, None, None)
    """
    said = first_line(text).removesuffix(".")
    if not _NUMBER.fullmatch(said):
        return None
    value = float(said)
    return value if math.isfinite(value) else None
