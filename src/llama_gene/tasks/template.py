"""The one template: how an example is asked and answered, in training, evaluation and serving alike.

A prompt is the task's question, then its sequences as typed spans, each after its role where there are several::

    Are both from one genome?
    A:<dna>ACGT</dna>
    B:<dna>TTGA</dna>
    Answer:

and the answer is `` yes`` and the end of sequence. The question is fixed and comes first, so that all rows of a task
share a prefix. No space stands before a tag: it would cost a token of its own. A tokenizer of the shared scheme writes
no tags; all else is the same.

A chat model's own template stands around it where it has one: the question and the sequences are what the user says,
and the answer is the turn of the assistant, ended as that model ends its turns.

In training a question may be worded in other ways, too (`wordings`), so that a model learns to read it.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from llama_gene.errors import TaskError
from llama_gene.files import hash_value
from llama_gene.sequences.alphabet import reverse_complement
from llama_gene.tasks.convert.instructions import Instruction, split_text
from llama_gene.tasks.task import ANSWER_SEPARATOR, Example, Task
from llama_gene.tokenizer import GeneTokenizer, Span
from llama_gene.tokenizer.chat import ChatFrame

TEMPLATE_VERSION = 1
_ASK = "\nAnswer:"
_PROMPT_WEIGHT = 200
# How any question can be put in other words; a task's definition may add its own.
_WORDINGS: Final = ("Question: {}", "Please answer: {}", "Look at what follows. {}")
_UNSEEN_WORDING: Final = "{} Answer briefly."

Shorten = Literal["centre", "head", "refuse"]


def wordings(task: Task) -> tuple[str, ...]:
    """The question of `task` in its own words first, then in the others that training may use."""
    return (task.question, *task.paraphrases, *(form.format(task.question) for form in _WORDINGS))


def unseen_wording(task: Task) -> str:
    """The question in words that no training uses: what a model makes of it is understanding, not memory."""
    return _UNSEEN_WORDING.format(task.question)


def prompt_parts(
    task: Task, sequences: Sequence[str], *, question: str | None = None, chat: ChatFrame | None = None
) -> list[str | Span]:
    """The prompt of an example: text and spans in turn, beginning and ending with text.

    Args:
        task: The task.
        sequences: One for each of its inputs.
        question: Other words for its question.
        chat: What a chat model's template puts around it.

    Raises:
        TaskError: The number of sequences is not the task's.
    """
    if len(sequences) != len(task.inputs):
        raise TaskError(f"task {task.name!r} takes {len(task.inputs)} sequences, not {len(sequences)}")
    asked = ("" if chat is None else chat.before) + (question or task.question)
    parts: list[str | Span] = []
    for given, sequence in zip(task.inputs, sequences, strict=True):
        role = f"{given.role}:" if len(task.inputs) > 1 else ""
        parts += [f"{asked}\n{role}", Span(given.kind, sequence)]
        asked = ""
    return [*parts, _ASK if chat is None else chat.after]


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
        answer: The ids of the answer with what ends it; empty for an example without an answer.
        num_cut: Tokens of its sequences that were left out to fit.
    """

    prompt: list[int]
    answer: list[int]
    num_cut: int


@dataclass(frozen=True, slots=True)
class Spelled:
    """What differs from example to example: the rest of a prompt is the task's.

    Attributes:
        strands: The ids of each sequence between its tags, int32[tokens], cut to fit; as given and, if asked for,
            with all DNA reverse complemented.
        answer: As in `Encoded`.
        num_cut: As in `Encoded`, of the sequences as given.
    """

    strands: list[list[NDArray[np.int32]]]
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
        chat: What stands around a prompt.
        questions: The ways to word the question; the task's own if not given. Sequences are cut to fit into the
            longest of them, so that they do not depend on the words.

    Attributes:
        frames: For each wording of the question the ids before, between and after the sequences, tags among them.
        reserve: Tokens that are kept free for the answer.
        end_ids: What ends an answer.

    Raises:
        TaskError: The tokenizer cannot spell the task's sequences, or the question alone does not fit.
    """

    def __init__(
        self,
        task: Task,
        tokenizer: GeneTokenizer,
        max_tokens: int,
        shorten: Shorten = "centre",
        *,
        chat: ChatFrame | None = None,
        questions: Sequence[str] = (),
    ) -> None:
        for given in task.inputs:
            if given.kind not in tokenizer.kinds:
                hint = f"learn a {given.kind} vocabulary for the model, or leave the task out"
                raise TaskError(f"task {task.name!r} needs {given.kind}, which the model cannot spell", hint=hint)
        self.task, self._tokenizer, self._chat = task, tokenizer, chat
        self._max_tokens, self._shorten = max_tokens, shorten
        self._answers: dict[str, list[int]] = {}
        self.end_ids = _end_ids(tokenizer, chat)
        self.frames = [self._frame(question) for question in questions or [task.question]]
        self._fixed = max(sum(map(len, frame)) for frame in self.frames)
        self.reserve = self._longest_answer()
        if self._fixed + self.reserve + 8 * len(task.inputs) > max_tokens:
            problem = (
                f"task {task.name!r}: question and answer take {self._fixed + self.reserve} of {max_tokens} tokens"
            )
            raise TaskError(problem, hint="raise block_size, or shorten the question")

    def _frame(self, question: str) -> list[list[int]]:
        """The ids before, between and after the sequences, tags among them, for one wording of the question."""
        parts = prompt_parts(self.task, ["A"] * len(self.task.inputs), question=question, chat=self._chat)
        texts = self._tokenizer.encode_texts(parts)
        for place, given in enumerate(self.task.inputs):
            texts[place] = [*texts[place], *self._tokenizer.opening(given.kind)]
            texts[place + 1] = [*self._tokenizer.closing(given.kind), *texts[place + 1]]
        return texts

    def answer_ids(self, answer: str) -> list[int]:
        """The ids of an answer after the prompt, with what ends it.

        Raises:
            TaskError: The tokenizer would join the answer with the end of the prompt.
        """
        if answer not in self._answers:
            *before, ask = prompt_parts(self.task, ["A"] * len(self.task.inputs), chat=self._chat)
            assert isinstance(ask, str)
            asked = self._tokenizer.encode_parts([*before, ask])
            # An assistant's turn begins without a space, unless the tokenizer would then join it with what is before.
            for text in [answer_text(answer)] if self._chat is None else [answer, answer_text(answer)]:
                whole = self._tokenizer.encode_parts([*before, ask + text])
                if len(whole) > len(asked) and whole[: len(asked)] == asked:
                    break
            else:
                raise TaskError(f"the tokenizer cannot set the answer {answer!r} apart from the prompt")
            ids = [*whole[len(asked) :], *self.end_ids]
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
        """The ids of every candidate answer, each with what ends it."""
        return [self.answer_ids(answer) for answer in self.task.candidates]

    def encode(self, examples: Sequence[Example]) -> list[Encoded]:
        """The ids of each example, asked in the first wording.

        Raises:
            TaskError: A sequence does not fit and the policy is to refuse, or an answer alone does not fit.
        """
        first, *others = self.frames[0]
        found = []
        for spelled in self.spell(examples):
            prompt = list(first)
            for span, text in zip(spelled.strands[0], others, strict=True):
                prompt += span.tolist()
                prompt += text
            found.append(Encoded(prompt, spelled.answer, spelled.num_cut))
        return found

    def spell(self, examples: Sequence[Example], *, both_strands: bool = False) -> list[Spelled]:
        """The ids of what differs from example to example; see `encode`."""
        strands = [self._spans(examples, flip=flip) for flip in ([False, True] if both_strands else [False])]
        return [
            self._spell(example, [[column[row] for column in columns] for columns in strands])
            for row, example in enumerate(examples)
        ]

    def _spans(self, examples: Sequence[Example], *, flip: bool) -> list[list[NDArray[np.int32]]]:
        """The ids of all first sequences, of all second ones, ..."""
        columns = []
        for place, given in enumerate(self.task.inputs):
            letters = [example.sequences[place] for example in examples]
            if flip and given.kind == "dna":
                letters = [reverse_complement(sequence) for sequence in letters]
            columns.append(self._tokenizer.encode_bulk(given.kind, letters))
        return columns

    def _spell(self, example: Example, strands: list[list[NDArray[np.int32]]]) -> Spelled:
        answer = [] if example.answer is None else self.answer_ids(example.answer)
        room = self._max_tokens - self._fixed - max(self.reserve, len(answer))
        wanted = [len(span) for span in strands[0]]
        if room < len(wanted):
            raise TaskError(f"row {example.id!r}: its answer alone is too long", hint="raise block_size")
        if sum(wanted) > room and self._shorten == "refuse":
            hint = "raise block_size, or set shorten to centre or head"
            raise TaskError(f"row {example.id!r}: {sum(wanted)} sequence tokens, room for {room}", hint=hint)
        kept = [self._fit(spans, room) for spans in strands]
        return Spelled(kept, answer, sum(wanted) - sum(map(len, kept[0])))

    def _fit(self, spans: list[NDArray[np.int32]], room: int) -> list[NDArray[np.int32]]:
        lengths = [len(span) for span in spans]
        if sum(lengths) <= room:
            return spans
        shares = fair_shares(lengths, room)
        starts = [self.cut_start(length, keep) for length, keep in zip(lengths, shares, strict=True)]
        return [span[start : start + keep] for span, start, keep in zip(spans, starts, shares, strict=True)]

    def cut_start(self, length: int, keep: int) -> int:
        """How many tokens are left out at the beginning of a sequence of `length`, of which `keep` are kept."""
        return (length - keep) // 2 if self._shorten == "centre" else 0


class InstructionEncoder:
    """Free instructions to ids, with the same template around them as around the prompts of tasks.

    Args:
        tokenizer: A tokenizer that knows the kinds of sequence in them.
        max_tokens: Longest prompt and answer together.
        chat: What stands around a prompt.

    Attributes:
        end_ids: What ends an answer.
    """

    def __init__(self, tokenizer: GeneTokenizer, max_tokens: int, *, chat: ChatFrame | None = None) -> None:
        self._tokenizer, self._max_tokens = tokenizer, max_tokens
        self._before, self._ask = ("", _ASK) if chat is None else (chat.before, chat.after)
        self._lead = answer_text("") if chat is None else ""
        self.end_ids = _end_ids(tokenizer, chat)

    def prompt(self, parts: Sequence[str | Span]) -> list[int]:
        """The ids of what somebody says, text and spans, up to where the answer begins."""
        return self._tokenizer.encode_parts(self._asked(parts))

    def _asked(self, parts: Sequence[str | Span]) -> list[str | Span]:
        return [self._before, *parts, self._ask]

    def encode(self, instruction: Instruction) -> Encoded | None:
        """The ids of an instruction; None if they are too many, since nothing in it can be cut.

        Raises:
            TokenizerError: A sequence in it is of a kind that the tokenizer does not know.
        """
        asked, prompt = self._asked(instruction.parts), self.prompt(instruction.parts)
        said = split_text(instruction.answer)
        whole = self._tokenizer.encode_parts([*asked, self._lead, *said])
        if whole[: len(prompt)] != prompt:  # the tokenizer joins the answer with what is before: it begins anew
            whole = [*prompt, *self._tokenizer.encode_parts(said)]
        answer = [*whole[len(prompt) :], *self.end_ids]
        return Encoded(prompt, answer, 0) if len(prompt) + len(answer) <= self._max_tokens else None


def _end_ids(tokenizer: GeneTokenizer, chat: ChatFrame | None) -> list[int]:
    """What ends an answer: the end of sequence, or of an assistant's turn."""
    if chat is None or not chat.end.strip():
        return [tokenizer.eos_id]
    return tokenizer.encode(chat.end.strip())[:1]


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
