"""Prompt styles for models that were not tuned by us, as text: any tokenizer, and any server, can be asked.

======================  ================================================================================
style                   the prompt
======================  ================================================================================
``llama-gene``          our template; sequences bare where the tokenizer has no typed spans
``chat``                our question and sequences as the user's turn of the model's own chat template
``reference-train``     LLaMA-Gene's training data: instruction and input joined, ``### Response: ``
``reference-test``      LLaMA-Gene's test notebook: ``### Input:``, then ``### Response:`` and a new line
======================  ================================================================================

The two styles of the reference differ, and its published scores stand on the second, so both are here. A model that
never saw our tasks is told their labels, in the words of the reference's instructions; only our own template stays as
it is, so that a model is asked before its tuning what it is asked after it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, get_args

from llama_gene.errors import SettingsError
from llama_gene.files import hash_value
from llama_gene.tasks.task import Task
from llama_gene.tasks.template import TEMPLATE_VERSION, answer_text, fair_shares, prompt_parts
from llama_gene.tokenizer import Span, render
from llama_gene.tokenizer.chat import ChatFrame

StyleName = Literal["llama-gene", "chat", "reference-train", "reference-test"]
STYLES: Final[tuple[StyleName, ...]] = get_args(StyleName)

NO_FRAME: Final = ChatFrame("", "", "")

_STYLE_VERSION = 1
_PREAMBLE = (
    "Below is an instruction that describes a task. "
    "Write a response that appropriately completes the request.\n\n### Instruction:\n"
)


@dataclass(frozen=True, slots=True)
class Style:
    """How examples are put to a model as text.

    Args:
        name: One of `STYLES`.
        typed: Whether sequences stand in typed spans; never in the reference's styles.
        chat: What stands around a user's turn; for ``chat`` only. Nothing, where a server puts it there.
    """

    name: StyleName
    typed: bool = False
    chat: ChatFrame = NO_FRAME

    def prompt(self, task: Task, sequences: Sequence[str], question: str | None = None) -> str:
        """The prompt of one example.

        Args:
            task: The task.
            sequences: One for each of its inputs.
            question: Other words for its question.

        Raises:
            TaskError: The number of sequences is not the task's.
        """
        if self.name == "llama-gene":
            return self._rendered(prompt_parts(task, sequences, question=question))
        asked = with_labels(task, question or task.question)
        if self.name == "chat":
            return self._rendered(prompt_parts(task, sequences, question=asked, chat=self.chat))
        # The same lines as in a chat, without the question before them.
        given = _bare(prompt_parts(task, sequences, question=asked, chat=NO_FRAME))[len(asked) + 1 :]
        if self.name == "reference-train":
            return f"{_PREAMBLE}{asked}\n{given}\n\n### Response: "
        return f"{_PREAMBLE}{asked}\n\n### Input:\n{given}\n\n### Response:\n"

    def _rendered(self, parts: Sequence[str | Span]) -> str:
        return render(parts) if self.typed else _bare(parts)

    @property
    def answer_stands_apart(self) -> bool:
        """Whether the answer is encoded by itself, as in the reference's training, or together with the prompt."""
        return self.name.startswith("reference")

    def answers(self, answer: str) -> list[str]:
        """What may stand after the prompt for `answer`, the first choice first."""
        if self.name == "llama-gene":
            return [answer_text(answer)]
        # An assistant's turn begins without a space, unless the tokenizer would then join it with what is before.
        return [answer] if self.answer_stands_apart else [answer, answer_text(answer)]

    def fingerprint(self, task: Task) -> str:
        """SHA-256 of what decides the prompts and the answers of `task`."""
        return hash_value(
            {
                "style": [_STYLE_VERSION, TEMPLATE_VERSION, self.name, self.typed, self.chat.fingerprint],
                "task": task.definition_hash,
            }
        )


def find_style(name: str) -> StyleName:
    """The style of that name.

    Raises:
        SettingsError: There is none.
    """
    for style in STYLES:
        if style == name:
            return style
    raise SettingsError(f"no prompt style {name!r}", hint=f"styles: {', '.join(STYLES)}")


def with_labels(task: Task, question: str) -> str:
    """A question that names the labels of `task`, in the reference's words where it does not do so by itself.

    >>> from llama_gene.tasks.registry import load_task
    >>> with_labels(load_task("splice_reconstructed"), "Which site?")
    'Which site? The result will be one of the following: acceptor, donor, neither.'
    """
    names = task.label_names if task.kind in {"classification", "multilabel"} else ()
    # "Non-promoter" does not name "promoter".
    if all(re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", question) for name in names):
        return question
    return f"{question} The result will be one of the following: {', '.join(names)}."


def centres(sequences: Sequence[str], kept: int) -> list[str]:
    """Sequences without their ends, at most `kept` letters together; what is short stays whole.

    >>> centres(["ACGTACGT", "GT"], 6)
    ['GTAC', 'GT']
    """
    shares = fair_shares([len(sequence) for sequence in sequences], kept)
    starts = [(len(sequence) - share) // 2 for sequence, share in zip(sequences, shares, strict=True)]
    return [one[start : start + share] for one, start, share in zip(sequences, starts, shares, strict=True)]


def _bare(parts: Sequence[str | Span]) -> str:
    return "".join(part if isinstance(part, str) else part.sequence for part in parts)
