"""The files of a new task: its rows that hold, as train and dev without a sequence in both."""

from collections.abc import Callable, Iterator, Set
from hashlib import blake2b
from pathlib import Path

from llama_gene.errors import SettingsError, TaskError
from llama_gene.sequences.alphabet import Policy
from llama_gene.sequences.read import Reject
from llama_gene.tasks.check import sequence_key
from llama_gene.tasks.convert.labelled import LabelledRow, read_columns
from llama_gene.tasks.convert.write import write_table
from llama_gene.tasks.registry import save_task
from llama_gene.tasks.task import Task

TASK_FILE, TRAIN_FILE, DEV_FILE = "task.toml", "train.csv", "dev.csv"


def write_task(
    task: Task,
    data: Path,
    dev: float | Path,
    folder: Path,
    *,
    seed: int,
    policy: Policy,
    on_reject: Callable[[Reject], None],
) -> tuple[int, int]:
    """Write a task's definition with its training and dev rows, each file whole or not at all.

    Args:
        task: The definition; its tables lie beside it.
        data: The table of all rows, or of those to train on.
        dev: The table of the dev rows; or the share of the different sequences of `data` that become dev.
        folder: Where the files go.
        seed: Decides which ones.
        policy: What letters outside the alphabet get.
        on_reject: Called with each row that does not hold, or that would stand on both sides.

    Returns:
        Rows to train on, and dev rows.

    Raises:
        TaskError: There are not two different sequences to share out.
        SettingsError: A share that leaves nothing on one side.
        FormatError: A file is no table, or lacks a column; no row holds.
    """
    if isinstance(dev, Path):
        held_out = {_key(task, row) for row in _rows(task, dev, policy, on_reject)}
        dev_rows = _rows(task, dev, policy, _unsaid)
    else:
        if not 0 < dev < 1:
            raise SettingsError(f"--dev {dev:g}", hint="give a share between 0 and 1, or the file of the dev rows")
        held_out = _drawn({_key(task, row) for row in _rows(task, data, policy, on_reject)}, dev, seed)
        dev_rows = (row for row in _rows(task, data, policy, _unsaid) if _key(task, row) in held_out)
    if not held_out:
        hint = "one sequence cannot be on both sides; give the dev rows as a file: --dev FILE"
        few = "no row holds" if isinstance(dev, Path) else "not two rows with different sequences hold"
        raise TaskError(few, where=dev if isinstance(dev, Path) else data, hint=hint)
    train_rows = _train_rows(task, data, policy, held_out, on_reject if isinstance(dev, Path) else None)
    names = [part.column for part in task.inputs]
    numbers = []
    for rows, file in ((train_rows, TRAIN_FILE), (dev_rows, DEV_FILE)):
        numbers.append(
            write_table(
                rows,
                folder / file,
                "table",
                sequence_columns=names,
                label_column=task.label_column,
                on_reject=on_reject,
            )
        )
    save_task(task, folder / TASK_FILE)
    return numbers[0], numbers[1]


def _rows(task: Task, path: Path, policy: Policy, on_reject: Callable[[Reject], None]) -> Iterator[LabelledRow]:
    """The rows of a table that hold, label and all, with their labels as they stand."""
    columns = [(part.column, part.kind) for part in task.inputs]
    for row in read_columns(path, columns, task.label_column, policy, on_reject):
        try:
            task.answer_of(row.label)
        except TaskError as error:
            on_reject(Reject(row.id, f"{path}: {row.id}", error.problem))
        else:
            yield row


def _train_rows(
    task: Task, path: Path, policy: Policy, held_out: Set[bytes], on_reject: Callable[[Reject], None] | None
) -> Iterator[LabelledRow]:
    """The rows whose sequences are not held out; with `on_reject`, the others are told of."""
    for row in _rows(task, path, policy, on_reject or _unsaid):
        if _key(task, row) not in held_out:
            yield row
        elif on_reject is not None:
            on_reject(Reject(row.id, f"{path}: {row.id}", "its sequences are among the dev rows, too"))


def _key(task: Task, row: LabelledRow) -> bytes:
    # Either strand, whatever the task: who knows one of them knows the other.
    return sequence_key([part.kind for part in task.inputs], [span.sequence for span in row.spans], either_strand=True)


def _drawn(keys: Set[bytes], share: float, seed: int) -> set[bytes]:
    order = sorted(keys, key=lambda key: blake2b(key, salt=str(seed).encode()[:16]).digest())
    return set(order[: min(max(1, round(share * len(order))), len(order) - 1)])


def _unsaid(_: Reject) -> None:
    """Of a table that is read once more, nothing is told twice."""
