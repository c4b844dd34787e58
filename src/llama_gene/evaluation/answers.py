"""A file of answers, whoever gave them: JSON rows of `instruction`, `input`, `output` and `model_response`.

LLaMA-Gene publishes its answers so. Each instruction becomes a task, with the labels that it names or that its rows
hold, and the file becomes its predictor, so that answers are scored as a model is. Two rules stand side by side:

- strict: the first line of the response is the label, whole; case and a full stop do not matter (``inference.judge``).
- the reference's: the right answer stands somewhere in the response. Where it has no "Non" in it, the response may
  have none either. By this rule "Not Conform" is "Conform", and a response that lists all labels is always right.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from llama_gene import metrics
from llama_gene.errors import FormatError, SequenceError
from llama_gene.evaluation.evaluate import evaluate_task, majority_score
from llama_gene.evaluation.outcomes import Outcomes
from llama_gene.evaluation.questions import question_key, task_of_answers
from llama_gene.evaluation.result import LenientScore, TaskResult
from llama_gene.files import hash_file, hash_value
from llama_gene.inference.judge import label_of, number_of
from llama_gene.inference.predictor import Prediction
from llama_gene.sequences.alphabet import ALPHABETS, Kind
from llama_gene.sequences.compression import open_bytes
from llama_gene.sequences.read import Reject
from llama_gene.tasks.convert.instructions import split_text, text_of
from llama_gene.tasks.convert.json_objects import scan_objects
from llama_gene.tasks.rows import RowsToScore
from llama_gene.tasks.task import Example, Task
from llama_gene.tokenizer import Span

REFERENCE_RULE = "the reference's substring rule"
_RESPONSE = "model_response"
_MAX_QUESTIONS = 200
_BASES = frozenset("ACGTUN")


@dataclass(frozen=True, slots=True)
class Answer:
    """One row of the file.

    Args:
        id: Its number in the file.
        question: What was asked, without the sequences.
        spans: The sequences.
        output: The right answer.
        response: What was answered.
    """

    id: str
    question: str
    spans: tuple[Span, ...]
    output: str
    response: str

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """What its sequences are."""
        return tuple(span.kind for span in self.spans)


@dataclass(frozen=True)
class AnswerRows:
    """The rows of one question, as `evaluate_task` takes them.

    Args:
        path: The file.
        sha256: Its hash.
        examples: The rows.
        rejects: Those that were set aside: their answer is none of the task's.
    """

    path: Path
    sha256: str
    examples: tuple[Example, ...]
    rejects: tuple[Reject, ...] = ()
    num_clipped: int = 0

    @property
    def num_available(self) -> int:
        """All of them are scored."""
        return len(self.examples)


@dataclass(frozen=True)
class AnswersToScore:
    """All that a file holds for one question.

    Args:
        task: What was asked.
        test: Its rows with the right answers.
        responses: What was answered to each.
    """

    task: Task
    test: AnswerRows
    responses: tuple[str, ...]


def read_answers(path: Path) -> list[AnswersToScore]:
    """Read a file of answers, one JSON object a line or one array, plain or packed.

    Returns:
        One for each question and set of kinds of its sequences, in the order of the file.

    Raises:
        FormatError: With file and line: no JSON, a field that is missing or no text, a row without a sequence.
    """
    groups, sha256 = _by_question(_read(path, with_responses=True), path), hash_file(path)
    taken: set[str] = set()
    return [_to_score(path, sha256, rows, taken) for rows in groups]


def read_training_answers(path: Path, task: Task) -> AnswerRows | None:
    """The rows of a file of instructions that ask the question of `task`; None if there are none.

    Raises:
        FormatError: As for `read_answers`, of which no response is needed here.
    """
    wanted, kinds = question_key(task.question), tuple(part.kind for part in task.inputs)
    examples, rejects = [], []
    for row in _read(path, with_responses=False):
        if question_key(row.question) != wanted or row.kinds != kinds:
            continue
        example = _example(task, row)
        if example is None:
            rejects.append(Reject(row.id, str(path), f"{row.id}: {row.output!r:.60} is no answer of {task.name!r}"))
        else:
            examples.append(example)
    return AnswerRows(path, hash_file(path), tuple(examples), tuple(rejects)) if examples else None


def score_answers(
    found: AnswersToScore, train: RowsToScore | None, *, cache: Path | None = None
) -> tuple[TaskResult, Outcomes]:
    """Score the answers to one question by both rules.

    Args:
        found: The answers.
        train: Training rows, for the baselines and the search for leaks; without them the only baseline is the most
            frequent answer of the scored rows themselves.
        cache: A folder that keeps what baselines answer; None for none.

    Raises:
        LlamaGeneError: The training rows are those that were answered.
    """
    task = found.task
    result, outcomes = evaluate_task(
        _AnswersAsPredictor(found, train), task, found.test, train, split="answers", batch_tokens=1, cache=cache
    )
    update: dict[str, Any] = {}
    if train is None and task.kind == "classification":
        update["baselines"] = {"majority": majority_score(task, found.test.examples)}
        update["note"] = f"{result.note} The majority is that of the scored rows themselves."
    if task.kind == "classification":
        update["lenient"] = _lenient(found, outcomes)
    return result.model_copy(update=update), outcomes


def right_by_reference(output: str, response: str) -> bool:
    """Whether LLaMA-Gene's test notebook counts `response` as `output`; case matters there.

    >>> right_by_reference("promoter", " Non-promoter"), right_by_reference("Conform", "Not Conform")
    (False, True)
    """
    return output in response and ("Non" in output or "Non" not in response)


def _lenient(found: AnswersToScore, outcomes: Outcomes) -> LenientScore:
    right = np.array(
        [
            right_by_reference(example.answer or "", said)
            for example, said in zip(found.test.examples, found.responses, strict=True)
        ]
    )
    return LenientScore(
        rule=REFERENCE_RULE,
        accuracy=metrics.accuracy(np.ones(len(right), dtype=int), right.astype(int)),
        num_more=int((right & ~outcomes.right).sum()),
        num_fewer=int((outcomes.right & ~right).sum()),
    )


class _AnswersAsPredictor:
    """Gives the answers of a file, as if they were asked for now."""

    def __init__(self, found: AnswersToScore, train: RowsToScore | None) -> None:
        self._found = found
        known = {} if train is None else {"num_rows": len(train.examples), "num_available": train.num_available}
        self.record: Mapping[str, Any] = {"tasks": {found.task.name: known}}
        self.folder = found.test.path

    def task(self, name: str) -> Task:
        """The one task there is."""
        assert name == self._found.task.name
        return self._found.task

    def prompt_hash(self, task: Task) -> str:
        """Of the question: who asked it in which words around it, the file does not say."""
        return hash_value(task.question)

    def predict(
        self,
        task: Task,
        examples: Iterable[Example],
        **_: object,  # how a model is to be asked
    ) -> Iterator[Prediction]:
        """The answers of the file."""
        for example, response in zip(examples, self._found.responses, strict=True):
            value = number_of(response) if task.kind == "regression" else None
            label = label_of(task, response) if task.kind == "classification" else None
            yield Prediction(example.id, label or response.strip(), value, None, 0)


# ---- reading ----


def _read(path: Path, *, with_responses: bool) -> Iterator[Answer]:
    if not path.is_file():
        raise FormatError("no such file", where=path, hint="give a JSON file of instructions with their answers")
    num = 0
    with open_bytes(path) as stream:
        for found in scan_objects(stream, str(path)):
            if isinstance(found, FormatError):
                raise found
            line, values = found
            num += 1
            try:
                answer = _answer(values, f"row{num}", with_responses=with_responses)
                if not answer.spans:
                    hint = "put it between <dna> and </dna>, or <protein> and </protein>"
                    raise FormatError("no sequence was found in it", hint=hint)
            except FormatError as error:
                raise FormatError(error.problem, where=f"{path}:{line}", hint=error.hint) from None
            yield answer
    if num == 0:
        raise FormatError("no answers in it", where=path, hint="rows have instruction, input, output, model_response")


def _answer(values: dict[str, Any], name: str, *, with_responses: bool) -> Answer:
    instruction, given, output = (text_of(values, key).strip() for key in ("instruction", "input", "output"))
    response = text_of(values, _RESPONSE) if with_responses else ""
    for key, text in (("instruction", instruction), ("output", output)):
        if not text:
            raise FormatError(f"{key!r} is empty", hint="a row without it cannot be scored: mend or remove it")
    asked, rest = split_text(instruction), split_text(given)
    spans = tuple(part for part in (*asked, *rest) if isinstance(part, Span))
    question = "".join(part if isinstance(part, str) else f"<{part.kind}>" for part in asked)
    if not spans and given:
        spans = _bare_sequence(given)
    return Answer(name, " ".join(question.split()), spans, " ".join(output.split()), response)


def _bare_sequence(text: str) -> tuple[Span, ...]:
    """An input that is nothing but capital letters is a sequence, even where none would be found in free text."""
    if not (text.isascii() and text.isalpha() and text.isupper()):
        return ()
    kind: Kind = "dna" if set(text) <= _BASES else "protein"
    try:
        return (Span(kind, ALPHABETS[kind].clean(text)),)
    except SequenceError:
        return ()


def _by_question(rows: Iterable[Answer], path: Path) -> list[list[Answer]]:
    groups: dict[tuple[str, tuple[Kind, ...]], list[Answer]] = {}
    for row in rows:
        groups.setdefault((question_key(row.question), row.kinds), []).append(row)
        if len(groups) > _MAX_QUESTIONS:
            hint = "an instruction is what a task's rows have in common; put what is a row's own into 'input'"
            raise FormatError(f"more than {_MAX_QUESTIONS} different instructions", where=path, hint=hint)
    return list(groups.values())


def _to_score(path: Path, sha256: str, rows: Sequence[Answer], taken: set[str]) -> AnswersToScore:
    task = task_of_answers(rows[0].question, rows[0].kinds, [row.output for row in rows])
    name = next(
        name for number in count(1) if (name := task.name if number == 1 else f"{task.name}_{number}") not in taken
    )
    taken.add(name)
    task = task.model_copy(update={"name": name})
    # None is set aside: the task was made, or chosen, by these very answers.
    examples = tuple(example for row in rows if (example := _example(task, row)) is not None)
    assert len(examples) == len(rows)
    return AnswersToScore(task, AnswerRows(path, sha256, examples), tuple(row.response for row in rows))


def _example(task: Task, row: Answer) -> Example | None:
    """A row as an example; None if its answer is none of the task's."""
    sequences = tuple(span.sequence for span in row.spans)
    if task.kind == "regression":
        value = number_of(row.output)
        return None if value is None else Example(row.id, sequences, task.format_value(value), value)
    answer = label_of(task, row.output) if task.kind == "classification" else row.output
    return None if answer is None else Example(row.id, sequences, answer)
