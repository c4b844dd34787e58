"""The examples of a task in any sequence file, to be predicted."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

from llama_gene.errors import SettingsError
from llama_gene.sequences.alphabet import Policy
from llama_gene.sequences.compression import data_suffix, is_compressed
from llama_gene.sequences.read import Reject, read_records
from llama_gene.sequences.table import JSONL_SUFFIXES, TABLE_SUFFIXES
from llama_gene.tasks.convert import read_examples
from llama_gene.tasks.convert.parquet import PARQUET_SUFFIX
from llama_gene.tasks.task import Example, Task

_POLICIES = ("refuse", "skip", "drop", "mask")


def check_policy(name: str) -> Policy:
    """What letters outside the alphabet get, by the name of ``--bad-letters``.

    Raises:
        SettingsError: There is no such policy.
    """
    if name not in _POLICIES:
        raise SettingsError(f"--bad-letters {name!r}", hint=f"one of: {', '.join(_POLICIES)}")
    return cast(Policy, name)


def read_unlabelled(task: Task, path: str, policy: Policy, on_reject: Callable[[Reject], None]) -> Iterator[Example]:
    """The examples of a file, one at a time; a label column is not looked at.

    A task of one sequence takes any sequence file; of a table, its column ``sequence`` or ``seq``, unless the task's
    definition names another. A task of several sequences takes a table with a column for each.

    Args:
        task: The task.
        path: The file, or ``-``.
        policy: ``refuse``: a bad record ends the reading with an error; ``skip``: it is set aside; ``drop``, ``mask``:
            its bad letters are, and only what is left of nothing is set aside.
        on_reject: Told of each record that is set aside.

    Raises:
        LlamaGeneError: The file is not what its format says, or holds a bad record and the policy is to refuse.
    """
    told = None if policy == "refuse" else on_reject
    suffix = data_suffix(path)
    is_table = suffix in TABLE_SUFFIXES or suffix in JSONL_SUFFIXES
    if len(task.inputs) > 1 or (is_table and task.layout == "table") or suffix == PARQUET_SUFFIX:
        yield from read_examples(task, path, policy=policy, on_reject=told, labelled=False)
        return
    for record in read_records(path, task.inputs[0].kind, policy=policy, on_reject=told):
        yield Example(record.id, (record.sequence,))


def count_records(path: str) -> int | None:
    """About how many records a file holds, for a progress bar: by its lines, without looking into them.

    Returns:
        None where that takes more than a look: of standard input, and of packed, GenBank and Parquet files.
    """
    if path == "-" or not Path(path).is_file():
        return None
    with Path(path).open("rb") as stream:
        head = stream.read(1 << 16)
        if is_compressed(head) or data_suffix(path) == PARQUET_SUFFIX:
            return None
        start = head.lstrip()[:1]
        is_table = data_suffix(path) in TABLE_SUFFIXES or start == b"{"
        if start != b">" and start != b"@" and not is_table:
            return None
        mark = b"\n>" if start == b">" else b"\n"
        num, last = 0, b"\n"
        while head:
            num += (last + head).count(mark) - (last.count(mark))
            last = head[-1:]
            head = stream.read(1 << 20)
    if start == b"@":
        return num // 4
    return num - (start not in {b">", b"{"})
