"""What can be said of a labelled table before anything is trained on it."""

import statistics
from array import array
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path

from llama_gene.sequences.alphabet import Kind, Policy, reverse_complement
from llama_gene.sequences.read import Reject
from llama_gene.tasks.convert import read_examples
from llama_gene.tasks.task import Example, Task

_NUM_KEPT = 5
_NUM_ANSWERS = 2001  # answers of free text are not kept beyond this


@dataclass
class TableCheck:
    """What was found in a table.

    Attributes:
        num_rows: Rows that hold.
        num_rejected: Rows that do not.
        answers: How often each answer stands there; for free text and numbers only their first thousands.
        lengths: For each input, shortest, median and longest sequence, in letters.
        num_duplicates: Rows whose sequences stood above with the same answer.
        num_contradicting: Rows whose sequences stood above with another answer.
        contradictions: The first of them: the row above, the row, and its answer.
        num_clipped: Rows whose number lies outside the grid of answers.
    """

    num_rows: int = 0
    num_rejected: int = 0
    answers: Counter[str] = field(default_factory=Counter)
    lengths: list[tuple[int, int, int]] = field(default_factory=list)
    num_duplicates: int = 0
    num_contradicting: int = 0
    contradictions: list[tuple[str, str, str]] = field(default_factory=list)
    num_clipped: int = 0


def check_table(
    task: Task, path: str | Path, *, policy: Policy = "refuse", on_reject: Callable[[Reject], None]
) -> TableCheck:
    """Read a whole table of `task`; memory is some bytes a row.

    Args:
        task: The task.
        path: The table.
        policy: What letters outside the alphabet get.
        on_reject: Called with each row that does not hold.

    Raises:
        FormatError: The file is no table, or lacks a column.
    """
    found = TableCheck()

    def reject(rejected: Reject) -> None:
        found.num_rejected += 1
        on_reject(rejected)

    lengths = [array("L") for _ in task.inputs]
    # Of each row only the hashes are kept: of its sequences, and of its answer.
    seen: dict[bytes, tuple[str, bytes]] = {}
    kinds = [part.kind for part in task.inputs]
    for example in read_examples(task, path, policy=policy, on_reject=reject):
        found.num_rows += 1
        for column, sequence in zip(lengths, example.sequences, strict=True):
            column.append(len(sequence))
        answer = example.answer or ""
        if answer in found.answers or len(found.answers) < _NUM_ANSWERS:
            found.answers[answer] += 1
        found.num_clipped += example.value is not None and task.is_clipped(example.value)
        key = sequence_key(kinds, example.sequences, either_strand=task.strand_symmetric)
        _compare(found, seen, key, example, answer)
    found.lengths = [(min(column), int(statistics.median(column)), max(column)) for column in lengths if column]
    return found


def _compare(
    found: TableCheck, seen: dict[bytes, tuple[str, bytes]], key: bytes, example: Example, answer: str
) -> None:
    digest = blake2b(answer.encode(), digest_size=8).digest()
    if key not in seen:
        seen[key] = (example.id, digest)
    elif seen[key][1] == digest:
        found.num_duplicates += 1
    else:
        found.num_contradicting += 1
        if len(found.contradictions) < _NUM_KEPT:
            shown = answer if len(answer) <= 40 else f"{answer[:37]}..."
            found.contradictions.append((seen[key][0], example.id, shown))


def sequence_key(kinds: Sequence[Kind], sequences: Sequence[str], *, either_strand: bool) -> bytes:
    """What equal sequences have in common: a hash.

    Args:
        kinds: What each sequence is.
        sequences: Canonical letters.
        either_strand: DNA equals its reverse complement, too.

    >>> key = sequence_key(["dna"], ["AAC"], either_strand=True)
    >>> key == sequence_key(["dna"], ["GTT"], either_strand=True)
    True
    """
    digest = blake2b(digest_size=12)
    for kind, sequence in zip(kinds, sequences, strict=True):
        flip = either_strand and kind == "dna"
        digest.update(f"{min(sequence, reverse_complement(sequence)) if flip else sequence};".encode())
    return digest.digest()


def prefixed_labels(task: Task) -> list[tuple[str, str]]:
    """The label names that another one begins with: fine for scoring, and a trap for anything that compares text.

    >>> from llama_gene.tasks.registry import load_task
    >>> prefixed_labels(load_task("splice_reconstructed"))
    []
    """
    return [
        (short, long)
        for short in task.label_names
        for long in task.label_names
        if long != short and long.startswith(short)
    ]
