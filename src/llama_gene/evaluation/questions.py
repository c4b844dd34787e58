"""What a file of answers asks: from an instruction and its right answers to a task."""

import math
import re
from collections.abc import Sequence
from functools import cache
from typing import Any

from llama_gene.inference.judge import label_of, number_of
from llama_gene.sequences.alphabet import Kind
from llama_gene.tasks.registry import builtin_names, load_task
from llama_gene.tasks.style import with_labels
from llama_gene.tasks.task import MAX_CANDIDATES, Input, Task, TaskKind, default_row
from llama_gene.tasks.template import wordings

_NAMED = re.compile(r"one of the following:(.+?)\.?\s*$", re.IGNORECASE)
_MAX_LABELS = 100  # different answers of an instruction that names none: more are text
_MAX_TEXT_TOKENS = 512
_ANOTHER = "another answer"
_NAME_WORDS = 5


def question_key(question: str) -> str:
    """What two instructions have in common that ask the same.

    >>> question_key("Is it  a promoter?") == question_key("is it a Promoter?")
    True
    """
    return " ".join(question.split()).casefold()


def task_of_answers(question: str, kinds: Sequence[Kind], outputs: Sequence[str]) -> Task:
    """The built-in task that asks this question, or one that is made of its rows.

    Args:
        question: The instruction, without sequences.
        kinds: What each of its sequences is.
        outputs: The right answers, each one line.
    """
    return _builtin(question, kinds, outputs) or _made(question, kinds, outputs)


@cache
def _builtin_questions() -> dict[str, tuple[Task, ...]]:
    """What built-in tasks ask, in any of their words -> the tasks."""
    found: dict[str, tuple[Task, ...]] = {}
    for name in builtin_names():
        task = load_task(name)
        if task.has_unread_labels or task.kind == "multilabel":
            continue
        words = {question_key(form) for asked in wordings(task) for form in (asked, with_labels(task, asked))}
        for asked in words:
            found[asked] = (*found.get(asked, ()), task)
    return found


def _builtin(question: str, kinds: Sequence[Kind], outputs: Sequence[str]) -> Task | None:
    for task in _builtin_questions().get(question_key(question), ()):
        if [part.kind for part in task.inputs] == [*kinds] and all(_is_answer(task, one) for one in set(outputs)):
            return task
    return None


def _is_answer(task: Task, output: str) -> bool:
    if task.kind == "regression":
        return number_of(output) is not None
    return task.kind == "text" or label_of(task, output) is not None


def _made(question: str, kinds: Sequence[Kind], outputs: Sequence[str]) -> Task:
    labels, grid = _labels(question, outputs), _grid(outputs)
    kind: TaskKind = "text"
    if labels:
        kind = "classification"
    elif grid is not None:
        kind = "regression"
    metrics = {"classification": "mcc", "regression": "spearman", "text": "rouge_l"}
    values: dict[str, Any] = {
        "name": _name(question),
        "kind": kind,
        "row": default_row(kind, kinds),
        "title": question,
        "question": question,
        "layout": "table",
        "data": "answers",
        "metric": metrics[kind],
        "inputs": [
            Input(role=f"sequence {number}", kind=one, column=f"sequence {number}")
            for number, one in enumerate(kinds, 1)
        ],
        "labels": {label: label for label in labels},
        "max_answer_tokens": _MAX_TEXT_TOKENS if kind == "text" else None,
    }
    if kind == "regression" and grid is not None:
        values |= dict(zip(("decimals", "minimum", "maximum"), grid, strict=True))
    return Task.model_validate(values)


def _labels(question: str, outputs: Sequence[str]) -> list[str]:
    """The names of the labels: those that the question names, and the answers that its rows hold; none if it is text.

    >>> _labels("The result will be one of the following: Non-promoter, promoter.", ["promoter"])
    ['Non-promoter', 'promoter']
    """
    named = [name.strip() for name in found[1].split(",")] if (found := _NAMED.search(question)) else []
    distinct: dict[str, str] = {}
    for name in [*filter(None, named), *outputs]:
        distinct.setdefault(name.casefold(), name)
    are_new = len(distinct) > max(2, len(outputs) // 2)
    are_decimals = all("." in one and number_of(one) is not None for one in distinct)
    if len(distinct) > _MAX_LABELS or (not named and (are_new or are_decimals)):
        return []
    return list(distinct.values()) if len(distinct) > 1 else [*distinct.values(), _ANOTHER]


def _grid(outputs: Sequence[str]) -> tuple[int, float, float] | None:
    """Decimals, minimum and maximum of answers that are all numbers; None where they are not, or lie too far apart."""
    numbers = [number_of(output) for output in outputs]
    values = [number for number in numbers if number is not None]
    if len(values) < len(numbers):
        return None
    for decimals in range(6, -1, -1):
        low, high = math.floor(min(values) * 10**decimals), math.ceil(max(values) * 10**decimals)
        high = max(high, low + 1)
        if high - low < MAX_CANDIDATES:
            return decimals, low / 10**decimals, high / 10**decimals
    return None


def _name(question: str) -> str:
    """A name of a few words.

    >>> _name("Determine promoter  detection of following dna sequence, The result will be one of the following: a, b")
    'determine_promoter_detection_of_following'
    """
    words = re.findall(r"[a-z0-9]+", re.split(r"[,.:;?]", question)[0].casefold())
    return "_".join(words[:_NAME_WORDS])[:60] or "question"
