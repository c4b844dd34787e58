"""What a tuned model's folder says of its tasks, and how they are put to it; its weights may be anywhere."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from llama_gene.errors import TaskError
from llama_gene.tasks.registry import load_task
from llama_gene.tasks.task import Task
from llama_gene.tasks.template import PromptEncoder, prompt_hash
from llama_gene.tokenizer import GeneTokenizer
from llama_gene.tokenizer.chat import ChatFrame, read_chat_frame


class TunedFolder:
    """The tasks of a model that was tuned on them.

    Attributes:
        tokenizer: Its tokenizer.
        record: Its record, with the prompt hash of every task under ``tasks``.
        folder: Where it lies.
    """

    tokenizer: GeneTokenizer
    record: dict[str, Any]
    folder: Path

    @property
    def task_names(self) -> list[str]:
        """The tasks that the model was tuned on."""
        return sorted(self.record.get("tasks", {}))

    def task(self, name: str) -> Task:
        """The task as the model was tuned on it.

        Raises:
            TaskError: The model was not tuned on it, or the task's prompt was changed since.
        """
        known = self.record.get("tasks", {})
        if name not in known:
            hint = f"it knows: {', '.join(self.task_names) or 'none; tune it first'}"
            raise TaskError(f"the model was not tuned on task {name!r}", where=self.folder, hint=hint)
        task = load_task(self.folder / "tasks" / f"{name}.toml")
        if prompt_hash(task) != known[name]["prompt_hash"]:
            hint = "restore the model's tasks folder, or tune the model again"
            raise TaskError(
                f"the prompt of task {name!r} is not the one the model was tuned with", where=self.folder, hint=hint
            )
        return task

    def prompt_hash(self, task: Task) -> str:
        """SHA-256 of what decides the prompts and the answers of `task`; the one stored with the model."""
        return prompt_hash(task)

    def decode(self, ids: Sequence[int]) -> str:
        """The text of an answer."""
        return self.tokenizer.decode(ids)

    def encoder(self, task: Task, question: str | None = None) -> PromptEncoder:
        """The prompts of `task`, framed, as long and shortened as in tuning.

        Args:
            task: One of the model's tasks.
            question: Other words for its question.

        Raises:
            TaskError: The model was tuned inside a chat template, which was changed since.
        """
        made = self.record["prompts"]
        return PromptEncoder(
            task,
            self.tokenizer,
            made["max_tokens"],
            made["shorten"],
            chat=self._chat,
            questions=[] if question is None else [question],
        )

    @cached_property
    def _chat(self) -> ChatFrame | None:
        wanted = self.record["prompts"].get("chat")
        if wanted is None:
            return None
        frame = read_chat_frame(self.folder)
        if frame is None or frame.fingerprint != wanted:
            hint = "restore the model's chat template, or tune the model again"
            raise TaskError("the chat template is not the one the model was tuned with", where=self.folder, hint=hint)
        return frame
