"""What answers requests: one interface, and behind it the model in this process; `serve.remote` has the other one."""

from collections.abc import Sequence
from typing import Protocol

from llama_gene.errors import LlamaGeneError
from llama_gene.inference.attribution import Attribution, attribute
from llama_gene.inference.decode import RunningBatch
from llama_gene.inference.engine import Engine, Prediction
from llama_gene.inference.stream import is_out_of_memory
from llama_gene.inference.temperature import kept_temperatures
from llama_gene.inference.tuned import TunedFolder
from llama_gene.model.card import write_card
from llama_gene.serve.errors import RefusalError
from llama_gene.serve.writing import Writer, Writing
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
        explains: Whether it can say which letters decided.
    """

    name: str
    tasks: dict[str, Task]
    temperatures: dict[str, float]
    tokenizer: GeneTokenizer
    instructions: InstructionEncoder
    context: int
    explains: bool

    def num_tokens(self, task: Task, example: Example) -> int:
        """About how many tokens the prompt of `example` has; never too few."""

    def predict(self, task: Task, examples: Sequence[Example], batch_tokens: int) -> list[Prediction]:
        """Answers in the order of the examples, as the model gives them, before any calibration."""

    def explain(
        self, task: Task, example: Example, label: str | None, max_letters: int, batch_tokens: int
    ) -> Attribution:
        """Which letters decided the answer to an example; see `inference.attribution.attribute`.

        Raises:
            RefusalError: It cannot say; see `explains`.
        """

    def writer(self, most: int, batch_tokens: int) -> Writer:
        """What writes texts.

        Args:
            most: Most texts at the same time.
            batch_tokens: Most tokens of all of them together, where they are computed here.
        """

    def card(self) -> str:
        """The model card as Markdown; may be called by any thread."""


class TunedBackend:
    """What every model has that was tuned by us, wherever its weights are.

    Args:
        model: Its tasks and tokenizer.
        name: What clients call it.
        context: Most tokens of a prompt and what follows it.
    """

    def __init__(self, model: TunedFolder, name: str, context: int) -> None:
        self.name, self.tokenizer, self.context, self.folder = name, model.tokenizer, context, model.folder
        # All of them now, so that one that does not hold is told before anybody is answered.
        self.tasks = {name: model.task(name) for name in model.task_names}
        self.temperatures = kept_temperatures(model.folder)
        prompts = model.record.get("prompts", {})
        self._longest = int(prompts.get("max_tokens", context))
        chat = read_chat_frame(model.folder) if prompts.get("chat") else None
        self.instructions = InstructionEncoder(self.tokenizer, context, chat=chat)

    def num_tokens(self, task: Task, example: Example) -> int:
        """At most a token for each letter, and no more than a prompt may have."""
        return min(self._longest, len(task.question) + sum(map(len, example.sequences)) + 16)

    def card(self) -> str:
        """The card that an export wrote."""
        written = self.folder / "README.md"
        if not written.is_file():
            return "No model card: `llama-gene model export` writes one."
        return written.read_text(encoding="utf-8", errors="replace")


class EngineBackend(TunedBackend):
    """A model in this process; see `Backend`.

    Args:
        engine: The model.
        name: What clients call it.
    """

    explains = True

    def __init__(self, engine: Engine, name: str) -> None:
        limit = getattr(engine.model.config, "max_position_embeddings", None)
        super().__init__(engine, name, int(limit) if limit else 1 << 20)
        self._engine = engine

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
                raise _too_long() from None
            half = len(examples) // 2
            first, rest = examples[:half], examples[half:]
            return [*self.predict(task, first, batch_tokens // 2), *self.predict(task, rest, batch_tokens // 2)]

    def explain(
        self, task: Task, example: Example, label: str | None, max_letters: int, batch_tokens: int
    ) -> Attribution:
        """Which letters decided the answer to an example.

        Raises:
            LlamaGeneError: As for `attribute`.
            RefusalError: It does not fit into the memory.
        """
        try:
            return attribute(
                self._engine, task, example, label=label, max_letters=max_letters, batch_tokens=batch_tokens
            )
        except (MemoryError, RuntimeError) as error:
            if isinstance(error, LlamaGeneError) or not is_out_of_memory(error):
                raise
            raise _too_long() from None

    def writer(self, most: int, batch_tokens: int) -> Writing:
        """What writes texts, all in one batch that they join and leave."""
        return Writing(self.running_batch, self.tokenizer.decode, most, batch_tokens)

    def running_batch(self) -> RunningBatch:
        """An empty batch of texts to write."""
        return RunningBatch(self._engine.model, self.tokenizer.num_tokens)

    def card(self) -> str:
        """The card that an export wrote, or one made now, with the scores of the model's run."""
        if (self.folder / "README.md").is_file():
            return super().card()
        from llama_gene.evaluation.card import scores_of

        model = self._engine.model
        return write_card(
            self.name,
            self._engine.record,
            type(model).__name__,
            model.num_parameters(),
            self.context,
            self.tokenizer,
            scores_of(self.folder),
        )


def _too_long() -> RefusalError:
    hint = "shorten the sequence, or ask a server with more memory"
    return RefusalError(503, "out of memory for one record", hint=hint, code="out_of_memory")
