"""Rows of sequences for `leakage` and `split`, labels aside: from tables, sequence files, and the corpus of a run."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from llama_gene.config import LeakageSettings
from llama_gene.corpus.pack import open_split
from llama_gene.corpus.plan import MANIFEST, Plan
from llama_gene.errors import FormatError, LlamaGeneError
from llama_gene.evaluation.leakage.leaks import Leakage
from llama_gene.evaluation.leakage.search import find_leaks, find_leaks_of_parts
from llama_gene.files import hash_file
from llama_gene.sequences.alphabet import Kind
from llama_gene.sequences.read import Reject, read_records
from llama_gene.tasks.convert import read_examples
from llama_gene.tasks.task import Example, Input, Task, default_row

# A longer record, a chromosome above all, is compared in stretches that overlap by the longest test row.
_STRETCH_ROWS, _MIN_STRETCH = 4, 4000
_SAME_FILE = "give the rows that were held out, or make them: llama-gene split TABLE --output DIR"


@dataclass(frozen=True, slots=True)
class RowReader:
    """How the sequences of a row are found in a file; letters outside the alphabet are masked, so they match nothing.

    Args:
        kinds: What each sequence of a row is.
        task: Says the columns of a table; None for any file of sequences, of which each is a row.
    """

    kinds: tuple[Kind, ...]
    task: Task | None = None

    @classmethod
    def of_task(cls, task: Task) -> "RowReader":
        """Reads the tables of a task."""
        return cls(tuple(part.kind for part in task.inputs), task)

    @classmethod
    def of_columns(cls, columns: Sequence[tuple[str, Kind]]) -> "RowReader":
        """Reads tables of which some columns hold sequences."""
        kinds = [kind for _, kind in columns]
        # Of a task that reads no label, only the inputs matter.
        task = Task(
            name="rows", kind="text", row=default_row("text", kinds), title="rows", question="?", layout="table",
            data=".", metric="rouge_l", label_column="(none)", max_answer_tokens=1,
            inputs=tuple(Input(role=name, kind=kind, column=name) for name, kind in columns),
        )  # fmt: skip
        return cls.of_task(task)

    def read(self, path: Path, on_reject: Callable[[Reject], None]) -> Iterator[Example]:
        """The rows of a file; one that does not hold goes to `on_reject`.

        Raises:
            FormatError: The file is none of these, or lacks a column.
        """
        if self.task is not None:
            yield from read_examples(self.task, path, policy="mask", on_reject=on_reject, labelled=False)
            return
        for record in read_records(path, self.kinds[0], policy="mask", on_reject=on_reject):
            yield Example(record.id, (record.sequence,))


def find_leaks_in_files(
    train: Path, test: Path, reader: RowReader, rule: LeakageSettings, on_reject: Callable[[Reject], None]
) -> tuple[Leakage, list[Example]]:
    """Look for the rows of a file in another file, or in the corpus folder of a run; and what the rows are.

    Raises:
        LlamaGeneError: The test file is the training file, or all of its rows stand in that letter by letter.
        FormatError: A file does not hold, or has no row.
    """
    if train.is_file() and test.is_file() and hash_file(train) == hash_file(test):
        raise LlamaGeneError(f"TEST is TRAIN: the file is that of {train}", where=test, hint=_SAME_FILE)
    rows = list(reader.read(test, on_reject))
    if not rows:
        raise FormatError("no row holds", where=test, hint="what was set aside, and why, stands above")
    if train.is_dir():
        return find_leaks_of_parts(rows, lambda kind: read_corpus(train, kind), reader.kinds, rule), rows
    training = reader.read(train, on_reject)
    if reader.task is None:
        training = _in_stretches(training, max(len(row.sequences[0]) for row in rows))
    found = find_leaks(rows, training, reader.kinds, rule)
    if found.is_training_data:
        problem = f"TEST is TRAIN: all {len(rows):,} rows stand in {train}, letter by letter"
        raise LlamaGeneError(problem, where=test, hint=_SAME_FILE)
    return found, rows


def _in_stretches(rows: Iterable[Example], longest: int) -> Iterator[Example]:
    size = max(_STRETCH_ROWS * longest, _MIN_STRETCH)
    for row in rows:
        sequence = row.sequences[0]
        if len(sequence) <= size:
            yield row
            continue
        for start in range(0, len(sequence) - longest, size - longest):
            stop = min(start + size, len(sequence))
            yield Example(f"{row.id}:{start}-{stop}", (sequence[start:stop],))


def read_corpus(corpus: Path, kind: Kind) -> Iterator[Example]:
    """The documents of a corpus that train a model and are of one kind, spelled again from their tokens.

    Raises:
        FormatError: The folder holds no finished corpus, or the tokenizer it was made with is gone.
    """
    if not (corpus / MANIFEST).is_file():
        hint = "give the folder `corpus` of a run; build it with: llama-gene corpus build RECIPE"
        raise FormatError("no finished corpus in it", where=corpus, hint=hint)
    plan = Plan.load(corpus)
    letters = plan.tokenizer().spellings()
    for task in plan.tasks:
        if plan.source(task).kind != kind:
            continue
        documents = open_split(corpus, task.name, "train")
        for number in range(len(documents)):
            # Tags are spelled by no letters.
            text = "".join([letters.get(token, "") for token in documents.document(number).tolist()])
            yield Example(f"{task.name}, document {number}", (text,))
