"""The one template: how an example is asked and answered, in training, evaluation and serving alike.

A prompt is the task's question, then its sequences as typed spans, each after its role where there are several::

    Are both from one genome?
    A:<dna>ACGT</dna>
    B:<dna>TTGA</dna>
    Answer:

and the answer is `` yes`` and the end of sequence. The question is fixed and comes first, so that all rows of a task
share a prefix. No space stands before a tag: it would cost a token of its own. A tokenizer of the shared scheme writes
no tags; all else is the same.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from llama_gene.errors import TaskError
from llama_gene.files import hash_value
from llama_gene.tasks.task import ANSWER_SEPARATOR, Example, Task
from llama_gene.tokenizer import GeneTokenizer, Span

TEMPLATE_VERSION = 1
_ASK = "\nAnswer:"
_PROMPT_WEIGHT = 200

Shorten = Literal["centre", "head", "refuse"]


def prompt_parts(task: Task, sequences: Sequence[str]) -> list[str | Span]:
    """The prompt of an example: text and spans in turn, beginning and ending with text.

    Raises:
        TaskError: The number of sequences is not the task's.
    """
    if len(sequences) != len(task.inputs):
        raise TaskError(f"task {task.name!r} takes {len(task.inputs)} sequences, not {len(sequences)}")
    parts: list[str | Span] = [f"{task.question}\n"]
    for index, (given, sequence) in enumerate(zip(task.inputs, sequences, strict=True)):
        role = f"{given.role}:" if len(task.inputs) > 1 else ""
        if index == 0:
            parts[0] = f"{task.question}\n{role}"
        else:
            parts.append(f"\n{role}")
        parts.append(Span(given.kind, sequence))
    return [*parts, _ASK]


def answer_text(answer: str) -> str:
    """What stands after the prompt."""
    return f" {answer}"


def prompt_texts(tasks: Iterable[Task]) -> Iterator[str]:
    """The words that tasks are asked and answered in, for an English tokenizer to learn from.

    Each comes many times: a prompt is read once for every row of its task, so it is the text that is read most.
    """
    for task in tasks:
        words = [text for text in prompt_parts(task, [""] * len(task.inputs)) if isinstance(text, str)]
        for answer in task.label_names or task.candidates[:1] or ("",):
            for _ in range(_PROMPT_WEIGHT):
                yield "".join(words) + answer_text(answer)


def prompt_hash(task: Task) -> str:
    """What decides a task's prompts and answers; stored with a model, and compared before the model is asked."""
    return hash_value({"template": TEMPLATE_VERSION, "task": task.definition_hash})


@dataclass(frozen=True, slots=True)
class Encoded:
    """An example in ids.

    Attributes:
        prompt: The ids of the prompt.
        answer: The ids of the answer with the end of sequence; empty for an example without an answer.
        num_cut: Tokens of its sequences that were left out to fit.
    """

    prompt: list[int]
    answer: list[int]
    num_cut: int


class PromptEncoder:
    """Examples of one task to ids, for one tokenizer and one limit of length.

    Args:
        task: The task.
        tokenizer: A tokenizer that knows the task's kinds of sequence.
        max_tokens: Longest prompt and answer together.
        shorten: What is kept of sequences that do not fit: their centre or their head; or refuse. The answer and the
            question are never shortened.

    Raises:
        TaskError: The tokenizer cannot spell the task's sequences, or the question alone does not fit.
    """

    def __init__(self, task: Task, tokenizer: GeneTokenizer, max_tokens: int, shorten: Shorten = "centre") -> None:
        for given in task.inputs:
            if given.kind not in tokenizer.kinds:
                hint = f"learn a {given.kind} vocabulary for the model, or leave the task out"
                raise TaskError(f"task {task.name!r} needs {given.kind}, which the model cannot spell", hint=hint)
        self.task, self._tokenizer = task, tokenizer
        self._max_tokens, self._shorten = max_tokens, shorten
        self._texts = tokenizer.encode_texts(prompt_parts(task, ["A"] * len(task.inputs)))
        self._answers: dict[str, list[int]] = {}
        self._frames = [(tokenizer.opening(given.kind), tokenizer.closing(given.kind)) for given in task.inputs]
        self._fixed = sum(map(len, self._texts)) + sum(len(before) + len(after) for before, after in self._frames)
        self.reserve = self._longest_answer()
        if self._fixed + self.reserve + 8 * len(task.inputs) > max_tokens:
            problem = (
                f"task {task.name!r}: question and answer take {self._fixed + self.reserve} of {max_tokens} tokens"
            )
            raise TaskError(problem, hint="raise block_size, or shorten the question")

    def answer_ids(self, answer: str) -> list[int]:
        """The ids of an answer after the prompt, with the end of sequence.

        Raises:
            TaskError: The tokenizer would join the answer with the end of the prompt.
        """
        if answer not in self._answers:
            *before, ask = prompt_parts(self.task, ["A"] * len(self.task.inputs))
            assert isinstance(ask, str)
            start = len(self._tokenizer.encode_parts([*before, ask]))
            whole = self._tokenizer.encode_parts([*before, ask + answer_text(answer)])
            if whole[start - len(self._texts[-1]) : start] != self._texts[-1] or len(whole) == start:
                raise TaskError(f"the tokenizer cannot set the answer {answer!r} apart from the prompt")
            ids = [*whole[start:], self._tokenizer.eos_id]
            if not self.task.candidates:
                return ids  # free text: as many answers as rows, so not kept
            self._answers[answer] = ids
        return self._answers[answer]

    def _longest_answer(self) -> int:
        if self.task.candidates:
            return max(len(self.answer_ids(answer)) for answer in self.task.candidates)
        if self.task.max_answer_tokens is not None:
            return self.task.max_answer_tokens
        return len(self.answer_ids(ANSWER_SEPARATOR.join(self.task.label_names)))

    @cached_property
    def candidate_ids(self) -> list[list[int]]:
        """The ids of every candidate answer, each with the end of sequence."""
        return [self.answer_ids(answer) for answer in self.task.candidates]

    def encode(self, examples: Sequence[Example]) -> list[Encoded]:
        """The ids of each example.

        Raises:
            TaskError: A sequence does not fit and the policy is to refuse, or an answer alone does not fit.
        """
        spans = [
            self._tokenizer.encode_spans(given.kind, [example.sequences[index] for example in examples])
            for index, given in enumerate(self.task.inputs)
        ]
        return [self._assemble(example, [column[row] for column in spans]) for row, example in enumerate(examples)]

    def _assemble(self, example: Example, spans: list[list[int]]) -> Encoded:
        answer = [] if example.answer is None else self.answer_ids(example.answer)
        room = self._max_tokens - self._fixed - max(self.reserve, len(answer))
        if room < len(spans):
            raise TaskError(f"row {example.id!r}: its answer alone is too long", hint="raise block_size")
        wanted = [len(span) for span in spans]
        if sum(wanted) > room:
            if self._shorten == "refuse":
                hint = "raise block_size, or set shorten to centre or head"
                raise TaskError(f"row {example.id!r}: {sum(wanted)} sequence tokens, room for {room}", hint=hint)
            spans = [
                _cut(span, keep, self._shorten) for span, keep in zip(spans, fair_shares(wanted, room), strict=True)
            ]
        prompt: list[int] = []
        for text, (opening, closing), span in zip(self._texts, self._frames, spans, strict=False):
            prompt += [*text, *opening, *span, *closing]
        return Encoded(prompt + self._texts[-1], answer, sum(wanted) - sum(map(len, spans)))


def fair_shares(wanted: Sequence[int], room: int) -> list[int]:
    """Share `room` so that what is short stays whole and the rest is cut to one length.

    >>> fair_shares([10, 100, 100], 110)
    [10, 50, 50]
    """
    shares = [0] * len(wanted)
    left = len(wanted)
    for index in sorted(range(len(wanted)), key=lambda place: wanted[place]):
        shares[index] = min(wanted[index], room // left)
        room, left = room - shares[index], left - 1
    return shares


def _cut(span: list[int], keep: int, shorten: Shorten) -> list[int]:
    start = (len(span) - keep) // 2 if shorten == "centre" else 0
    return span[start : start + keep]
