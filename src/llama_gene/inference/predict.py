"""Predictions of any number of examples, written as they come, to a file that a killed run goes on with."""

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import llama_gene
from llama_gene.files import disk_errors, hash_value
from llama_gene.inference.answers import Answers
from llama_gene.inference.resume import grow
from llama_gene.inference.rows import RowFormat, RowWriter
from llama_gene.inference.stream import Ask, blocks_of
from llama_gene.tasks.task import Example
from llama_gene.tasks.template import prompt_hash


@dataclass
class Summary:
    """What a run came to.

    Attributes:
        num_rows: Rows of the result.
        num_before: Those of them that an earlier, killed run left.
        num_shortened: Rows of this run whose sequences did not fit and were cut.
    """

    num_rows: int = 0
    num_before: int = 0
    num_shortened: int = 0


def identity_of(source: str, model: Path, answers: Answers, **settings: Any) -> str | None:
    """What decides the rows, as a hash; None for standard input, which nobody can know to be the same again.

    A file counts as the same while its size and its time are. How many prompts are asked at a time, and where, is left
    out: it moves probabilities by less than is written.

    Args:
        source: The input file, or ``-``.
        model: The model folder.
        answers: How predictions become rows.
        settings: Whatever else decides the rows.
    """
    if source == "-" or not Path(source).is_file():
        return None
    parts = {
        "version": llama_gene.__version__,
        "files": [
            _stamp(Path(source)),
            *map(_stamp, sorted(model.glob("*.safetensors"))),
            _stamp(model / "tokenizer.json"),
        ],
        "prompt": prompt_hash(answers.task),
        "temperature": answers.temperature,
        "abstain_below": answers.abstain_below,
    }
    return hash_value(parts | settings)


def _stamp(path: Path) -> list[str | int]:
    state = path.stat()
    return [str(path.resolve()), state.st_size, state.st_mtime_ns]


def predict_to_file(
    ask: Ask,
    examples: Iterable[Example],
    answers: Answers,
    output: Path,
    form: RowFormat,
    identity: str | None,
    on_done: Callable[[int], None],
) -> Summary:
    """Write the predictions of examples to `output`, in their order; a killed run goes on.

    Args:
        ask: What answers.
        examples: Any number; those that a killed run has answered are read and passed over.
        answers: How predictions become rows.
        output: The file; it gets its name when it is whole.
        form: Its format.
        identity: See `identity_of`.
        on_done: Told the number of rows so far.
    """
    writer, summary = RowWriter(answers.columns, form), Summary()
    with grow(output, identity, writer.finish) as file:
        summary.num_rows = summary.num_before = file.num_rows
        on_done(summary.num_rows)
        head = "" if file.num_rows else writer.head()
        for predictions in ask(blocks_of(examples, skip=file.num_rows)):
            file.append(head + writer.text(answers.rows(predictions)), len(predictions))
            head = ""
            summary.num_rows += len(predictions)
            summary.num_shortened += sum(prediction.num_cut > 0 for prediction in predictions)
            on_done(summary.num_rows)
        if head:  # there was nothing to predict
            file.append(head, 0)
    return summary


def predict_to_screen(
    ask: Ask, examples: Iterable[Example], answers: Answers, form: RowFormat, on_done: Callable[[int], None]
) -> Summary:
    """Write the predictions of examples to standard output, as they come."""
    writer, summary = RowWriter(answers.columns, form), Summary()
    with disk_errors(Path("standard output")):  # which may be a file, too, on a disk that is full
        sys.stdout.write(writer.head())
        for predictions in ask(blocks_of(examples)):
            sys.stdout.write(writer.text(answers.rows(predictions)))
            sys.stdout.flush()
            summary.num_rows += len(predictions)
            summary.num_shortened += sum(prediction.num_cut > 0 for prediction in predictions)
            on_done(summary.num_rows)
        sys.stdout.flush()
    return summary
