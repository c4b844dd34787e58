"""Any causal language model, asked as text in a prompt style: it need not know our tasks, nor typed spans."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llama_gene.errors import ModelError, SettingsError, TaskError, TokenizerError
from llama_gene.inference.local import LocalModel
from llama_gene.model.base import find_base, load_model
from llama_gene.tasks.registry import load_task
from llama_gene.tasks.style import NO_FRAME, Style, StyleName, centres
from llama_gene.tasks.task import ANSWER_SEPARATOR, Example, Task
from llama_gene.tasks.template import Encoded
from llama_gene.tokenizer.chat import ChatFrame, read_chat_frame
from llama_gene.vocabulary.normalizer import KINDS, open_tag

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_CONTEXT = 2048  # of a model that does not say how long its input may be
_SHOWN = 200  # letters of what transformers says
_LEAST_LETTERS = 8  # of each sequence; where not even those fit, nothing can be asked


class StockTokenizer:
    """A model's own tokenizer, as stock transformers loads it.

    Args:
        folder: A Hugging Face folder.

    Attributes:
        kinds: The kinds of sequence that it has typed spans for.

    Raises:
        TokenizerError: There is none that transformers loads without remote code, or it has no end of text.
    """

    def __init__(self, folder: Path) -> None:
        self._tokenizer = _load(folder)
        self.kinds = tuple(kind for kind in KINDS if len(self.encode(open_tag(kind))) == 1)
        if self._tokenizer.eos_token_id is None:
            hint = "its tokenizer_config.json must name a token as eos_token"
            raise TokenizerError("no eos_token: nothing ends an answer", where=folder, hint=hint)
        self.eos_id: int = self._tokenizer.eos_token_id
        pad_id = self._tokenizer.pad_token_id
        self.pad_id: int = self.eos_id if pad_id is None else pad_id
        self.unk_id: int | None = self._tokenizer.unk_token_id
        self.num_tokens = 1 + max(self._tokenizer.get_vocab().values())

    def encode(self, text: str) -> list[int]:
        """The ids of a text, and nothing around them."""
        ids: list[int] = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def encode_all(self, texts: Sequence[str]) -> list[list[int]]:
        """The same of many texts, which is faster than one after the other."""
        ids: list[list[int]] = self._tokenizer(list(texts), add_special_tokens=False)["input_ids"] if texts else []
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """The text of `ids`, without special tokens."""
        text: str = self._tokenizer.decode(list(ids), skip_special_tokens=True)
        return text

    @cached_property
    def start(self) -> list[int]:
        """What it puts before every text."""
        bare = self.encode("a")
        whole: list[int] = self._tokenizer("a")["input_ids"]
        place = next((place for place in range(len(whole)) if whole[place : place + len(bare)] == bare), 0)
        return whole[:place]


def _load(folder: Path) -> Any:
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    options = {"local_files_only": True, "trust_remote_code": False}
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(folder), **options)
        if open_tag(KINDS[0]) in tokenizer.get_vocab():
            # For some types of model it takes a class that drops the normalizer, and so the spans.
            tokenizer = PreTrainedTokenizerFast.from_pretrained(str(folder), **options)
        return tokenizer
    except (OSError, ValueError, KeyError, ImportError, TypeError) as error:
        reason = " ".join(str(error).split())[:_SHOWN] or type(error).__name__
        hint = "a model needs a tokenizer that AutoTokenizer of transformers loads without remote code"
        raise TokenizerError(f"transformers cannot load the tokenizer: {reason}", where=folder, hint=hint) from None


class TextEncoder:
    """Examples of one task to ids by way of text.

    Sequences that do not fit lose their ends, so that the centre stays.

    Args:
        task: The task.
        style: How it is put.
        tokenizer: Whose ids.
        max_tokens: Longest prompt and answer together.
        question: Other words for the question.

    Attributes:
        reserve: Tokens that are kept free for the answer.
        end_ids: What ends an answer.

    Raises:
        TaskError: The question alone does not fit, or the tokenizer lacks the tokens of an answer.
    """

    def __init__(
        self, task: Task, style: Style, tokenizer: StockTokenizer, max_tokens: int, question: str | None = None
    ) -> None:
        self.task, self._style, self._tokenizer, self._question = task, style, tokenizer, question
        chat_end = style.chat.end.strip()
        self.end_ids = tokenizer.encode(chat_end)[:1] if chat_end else [tokenizer.eos_id]
        self._start = [] if style.name == "chat" or style.typed else tokenizer.start  # a chat template writes its own
        if task.candidates:
            self.reserve = max(map(len, self.candidate_ids))
        else:
            longest = ANSWER_SEPARATOR.join(task.label_names) if task.kind == "multilabel" else ""
            self.reserve = task.max_answer_tokens or len(self._answer_ids(longest))
        self._room = max_tokens - self.reserve
        least = len(self._prompt(["A" * _LEAST_LETTERS] * len(task.inputs)))
        if least > self._room:
            problem = f"task {task.name!r}: question and answer take {least + self.reserve} of {max_tokens} tokens"
            raise TaskError(problem, hint="shorten the question, or take a model with a longer context")

    @cached_property
    def candidate_ids(self) -> list[list[int]]:
        """The ids of every candidate answer, each with what ends it."""
        return [self._answer_ids(answer) for answer in self.task.candidates]

    def encode(self, examples: Sequence[Example]) -> list[Encoded]:
        """The ids of each example; answers are not looked at."""
        texts = [self._style.prompt(self.task, example.sequences, self._question) for example in examples]
        whole = [self._start + ids for ids in self._tokenizer.encode_all(texts)]
        return [self._fit(example, prompt) for example, prompt in zip(examples, whole, strict=True)]

    def _fit(self, example: Example, whole: list[int]) -> Encoded:
        prompt = whole
        kept = sum(map(len, example.sequences))
        while len(prompt) > self._room:
            # As many letters as the tokens that are too many would have, by what is there; at least one a round.
            too_many = (len(prompt) - self._room) * kept // len(prompt)
            kept -= max(1, too_many)
            prompt = self._prompt(centres(example.sequences, kept))
        return Encoded(prompt, [], len(whole) - len(prompt))

    def _prompt(self, sequences: Sequence[str]) -> list[int]:
        return self._start + self._tokenizer.encode(self._style.prompt(self.task, sequences, self._question))

    def _answer_ids(self, answer: str) -> list[int]:
        texts = self._style.answers(answer)
        ids = self._tokenizer.encode(texts[-1])
        if not self._style.answer_stands_apart:
            asked = self._style.prompt(self.task, ["A" * _LEAST_LETTERS] * len(self.task.inputs), self._question)
            before = self._tokenizer.encode(asked)
            joined = [self._tokenizer.encode(asked + text) for text in texts]
            fitting = (whole[len(before) :] for whole in joined if whole[: len(before)] == before)
            ids = next(fitting, ids)
        if answer and (not ids or self._tokenizer.unk_id in ids):
            hint = f"give the answers of task {self.task.name!r} names that it can spell"
            raise TaskError(f"the model's tokenizer has no tokens for the answer {answer!r}", hint=hint)
        return [*ids, *self.end_ids]


class StockModel(LocalModel):
    """Any causal language model in this process.

    Args:
        model: The model.
        folder: Where it was loaded from; its tokenizer lies there, too.
        name: What a report calls it.
        style: How it is asked.
        root: The data root, for tasks whose labels stand beside their tables.

    Raises:
        ModelError: Its tokenizer has more tokens than it has rows.
        SettingsError: It is to be asked in its chat template, and has none.
    """

    def __init__(
        self, model: "PreTrainedModel", folder: Path, name: str, style: StyleName, root: Path | None = None
    ) -> None:
        self.tokenizer = StockTokenizer(folder)
        rows = model.get_input_embeddings().weight.shape[0]
        if self.tokenizer.num_tokens > rows:
            problem = f"the model has {rows:,} rows and the tokenizer {self.tokenizer.num_tokens:,} tokens"
            raise ModelError(f"{problem}: they do not fit", where=folder)
        self._style, self._chat = style, _frame(folder) if style == "chat" else NO_FRAME
        self._typed = set() if style.startswith("reference") else set(self.tokenizer.kinds)
        spans = f"typed spans of {' and '.join(self.tokenizer.kinds)}" if self._typed else "bare"
        record = {"base": name, "asked": {"prompt style": style, "sequences": spans}}
        super().__init__(model, record, folder, self.tokenizer.pad_id)
        self._root = root

    @classmethod
    def load(cls, model: str, style: StyleName, root: Path | None = None) -> "StockModel":
        """Load a folder, or a model of the hub.

        Args:
            model: The folder, or a hub id.
            style: How it is asked.
            root: The data root.

        Raises:
            ModelError: It is missing or gated, its weights are, or it is no causal language model.
            TokenizerError: It has no tokenizer that can be used.
            SettingsError: As for the class.
        """
        folder = find_base(model)
        return cls(load_model(folder), folder, model, style, root)

    def task(self, name: str) -> Task:
        """A built-in task, or the task of a file."""
        return load_task(name, self._root)

    def prompt_hash(self, task: Task) -> str:
        """SHA-256 of what decides the prompts and the answers of `task`."""
        return self.style(task).fingerprint(task)

    def style(self, task: Task) -> Style:
        """How `task` is put: its sequences in typed spans where there are such of all of them."""
        return Style(self._style, {given.kind for given in task.inputs} <= self._typed, self._chat)

    def decode(self, ids: Sequence[int]) -> str:
        """The first line of an answer: a model that never saw the task may go on and on."""
        return self.tokenizer.decode(ids).strip().partition("\n")[0]

    def encoder(self, task: Task, question: str | None = None) -> TextEncoder:
        """The prompts of `task` in the model's style, as long as its context."""
        config = self.model.config.get_text_config()
        context = getattr(config, "max_position_embeddings", None) or _CONTEXT
        return TextEncoder(task, self.style(task), self.tokenizer, context, question)


def _frame(folder: Path) -> ChatFrame:
    frame = read_chat_frame(folder)
    if frame is None:
        raise SettingsError("the model has no chat template", where=folder, hint="ask it in another --style")
    return frame
