"""What answers requests: one interface, and the model in this process behind it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from llama_gene.errors import LlamaGeneError
from llama_gene.inference.decode import RunningBatch
from llama_gene.inference.engine import Engine, Prediction
from llama_gene.inference.stream import is_out_of_memory
from llama_gene.inference.temperature import kept_temperatures
from llama_gene.model.card import write_card
from llama_gene.serve.errors import RefusalError
from llama_gene.tasks.task import Example, Task
from llama_gene.tasks.template import InstructionEncoder
from llama_gene.tokenizer import GeneTokenizer
from llama_gene.tokenizer.chat import read_chat_frame


class Backend(Protocol):
    """A model that answers. What is not said otherwise is called by one thread only.

    Attributes:
        name: What clients call the model.
        tasks: The tasks it was tuned on, by name.
        temperatures: By task, what scores of labels are divided by so that they are calibrated, where that is known.
        tokenizer: Its tokenizer.
        instructions: What a conversation becomes, with the template of training around it.
        context: Most tokens of a prompt and what follows it.
    """

    name: str
    tasks: dict[str, Task]
    temperatures: dict[str, float]
    tokenizer: GeneTokenizer
    instructions: InstructionEncoder
    context: int

    def num_tokens(self, task: Task, example: Example) -> int:
        """About how many tokens the prompt of `example` has; never too few."""

    def predict(self, task: Task, examples: Sequence[Example], batch_tokens: int) -> list[Prediction]:
        """Answers in the order of the examples, as the model gives them, before any calibration."""

    def running_batch(self) -> RunningBatch:
        """An empty batch of texts to write."""

    def card(self) -> str:
        """The model card as Markdown; may be called by any thread."""


class EngineBackend:
    """A model in this process; see `Backend`.

    Args:
        engine: The model.
        name: What clients call it.
    """

    def __init__(self, engine: Engine, name: str) -> None:
        self.name, self.tokenizer, self._engine = name, engine.tokenizer, engine
        self.record: dict[str, Any] = engine.record
        self.folder: Path = engine.folder
        # All of them now, so that one that does not hold is told before anybody is answered.
        self.tasks = {name: engine.task(name) for name in engine.task_names}
        self.temperatures = kept_temperatures(engine.folder)
        limit = getattr(engine.model.config, "max_position_embeddings", None)
        self.context = int(limit) if limit else 1 << 20
        prompts = self.record.get("prompts", {})
        self._longest = int(prompts.get("max_tokens", self.context))
        chat = read_chat_frame(self.folder) if prompts.get("chat") else None
        self.instructions = InstructionEncoder(self.tokenizer, self.context, chat=chat)

    def num_tokens(self, task: Task, example: Example) -> int:
        """At most a token for each letter, and no more than a prompt may have."""
        return min(self._longest, len(task.question) + sum(map(len, example.sequences)) + 16)

    def predict(self, task: Task, examples: Sequence[Example], batch_tokens: int) -> list[Prediction]:
        """Answers in the order of the examples.

        Raises:
            RefusalError: One example alone does not fit into the memory.
        """
        try:
            return list(self._engine.predict(task, examples, batch_tokens=batch_tokens))
        except LlamaGeneError:
            raise
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            if len(examples) == 1:
                hint = "shorten the sequence, or ask a server with more memory"
                raise RefusalError(503, "out of memory for one record", hint=hint, code="out_of_memory") from None
            half = len(examples) // 2
            first, rest = examples[:half], examples[half:]
            return [*self.predict(task, first, batch_tokens // 2), *self.predict(task, rest, batch_tokens // 2)]

    def running_batch(self) -> RunningBatch:
        """An empty batch of texts to write."""
        return RunningBatch(self._engine.model, self.tokenizer.num_tokens)

    def card(self) -> str:
        """The card that an export wrote, or one made now, with the scores of the model's run."""
        written = self.folder / "README.md"
        if written.is_file():
            return written.read_text(encoding="utf-8", errors="replace")
        from llama_gene.evaluation.card import scores_of

        model = self._engine.model
        return write_card(
            self.name,
            self.record,
            type(model).__name__,
            model.num_parameters(),
            self.context,
            self.tokenizer,
            scores_of(self.folder),
        )
