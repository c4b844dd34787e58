"""Sequences in, predictions out: any sequence file to examples of a task, predictions to a TSV."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TextIO, cast

from llama_gene.errors import SettingsError
from llama_gene.files import atomic_path, disk_errors
from llama_gene.inference.predictor import Prediction
from llama_gene.sequences.alphabet import Policy
from llama_gene.sequences.compression import data_suffix
from llama_gene.sequences.read import Reject, read_records
from llama_gene.sequences.table import JSONL_SUFFIXES, TABLE_SUFFIXES
from llama_gene.tasks.convert import read_examples
from llama_gene.tasks.task import Example, Task

_POLICIES = ("refuse", "skip", "drop", "mask")


def read_unlabelled(task: Task, path: str, policy: str, rejects: list[str]) -> Iterator[Example]:
    """The examples of a file, one at a time; a label column is not looked at.

    A task of one sequence takes any sequence file; of a table, its column ``sequence`` or ``seq``, unless the task's
    definition names another. A task of several sequences takes a table with a column for each.

    Args:
        task: The task.
        path: The file, or ``-``.
        policy: ``refuse``: a bad record ends the reading with an error; ``skip``: it is set aside; ``drop``, ``mask``:
            its bad letters are, and only what is left of nothing is set aside.
        rejects: Gets a line for each record set aside.

    Raises:
        LlamaGeneError: The file is not what its format says, or holds a bad record and the policy is to refuse.
    """
    if policy not in _POLICIES:
        raise SettingsError(f"--bad-letters {policy!r}", hint=f"one of: {', '.join(_POLICIES)}")

    def set_aside(reject: Reject) -> None:
        rejects.append(f"{reject.where}: {reject.reason}")

    on_reject = None if policy == "refuse" else set_aside
    chosen = cast(Policy, policy)
    is_table = data_suffix(path) in TABLE_SUFFIXES or data_suffix(path) in JSONL_SUFFIXES
    if len(task.inputs) > 1 or (is_table and task.layout == "table"):
        yield from read_examples(task, path, policy=chosen, on_reject=on_reject, labelled=False)
        return
    for record in read_records(path, task.inputs[0].kind, policy=chosen, on_reject=on_reject):
        yield Example(record.id, (record.sequence,))


def write_predictions(task: Task, predictions: Iterable[Prediction], output: Path | None) -> int:
    """Write predictions as TSV, whole or not at all, or to standard output as they come; returns their number.

    Columns: ``id``; ``label`` and ``probability`` of the most probable label, then one ``p(label)`` for each label. A
    regression has ``value`` instead, generated text ``answer``.
    """
    names = task.label_names if task.kind == "classification" else ()
    header = {"classification": ["label", "probability"], "regression": ["value"]}.get(task.kind, ["answer"])
    target: AbstractContextManager[Path | None]
    target = atomic_path(output) if output is not None else _standard_output()
    num_written = 0
    with target as path:
        stream: AbstractContextManager[TextIO] = (
            path.open("w", encoding="utf-8") if path is not None else nullcontext(sys.stdout)
        )
        with stream as table:
            table.write("\t".join(["id", *header, *(f"p({name})" for name in names)]) + "\n")
            for prediction in predictions:
                cells = [_cell(prediction.id), _cell(prediction.answer)]
                if names and prediction.probabilities is not None:
                    cells += [f"{p:.4f}" for p in (max(prediction.probabilities), *prediction.probabilities)]
                table.write("\t".join(cells) + "\n")
                num_written += 1
    return num_written


@contextmanager
def _standard_output() -> Iterator[None]:
    """Standard output may be a file, too, on a disk that is full."""
    with disk_errors(Path("standard output")):
        yield
        sys.stdout.flush()


def _cell(text: str) -> str:
    """Text that cannot break the table."""
    return " ".join(text.split())
