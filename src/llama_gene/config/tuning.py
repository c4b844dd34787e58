"""``[tasks]`` and ``[finetune]``: what is tuned on, and how."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from llama_gene.config.section import Settings
from llama_gene.config.training import TrainingSettings

Contradictions = Literal["keep", "drop"]


class TasksSettings(Settings):
    """The tasks to tune on and to evaluate."""

    use: list[str] = Field(min_length=1, description="names of built-in tasks, or paths of task files")
    max_train_rows: int | None = Field(None, ge=1, description="training rows a task at most, drawn by the seed")
    max_dev_rows: int | None = Field(None, ge=1, description="dev rows a task at most, drawn by the seed")
    bad_letters: Literal["refuse", "drop", "mask"] = Field("refuse", description="refused rows stand in the report")
    contradictions: Contradictions = Field(
        "drop", description="training rows whose sequences come with another answer, too: they teach nothing"
    )


class InstructionSettings(Settings):
    """Free instructions to mix in, so that a model does not forget how to follow them."""

    name: str = Field(pattern=r"^[A-Za-z0-9_.-]+$", description="how messages call it")
    files: list[str] = Field(min_length=1, description="Alpaca or chat files, as JSON or JSONL")
    share: float = Field(gt=0, lt=1, description="of all examples that are seen")


class FinetuneSettings(TrainingSettings):
    """Instruction tuning on the tasks."""

    epochs: float = Field(1.0, gt=0, description="how often each example is seen, on average over all tasks")
    shorten: Literal["centre", "head", "refuse"] = Field("centre", description="what is kept of a sequence too long")
    chat: Literal["auto", "never"] = Field("auto", description="whether a base's chat template stands around prompts")
    task_temperature: float = Field(
        1.0, gt=0, description="1: tasks are seen by their size; higher: more alike, by size ** (1 / temperature)"
    )
    weights: dict[str, Annotated[float, Field(gt=0)]] = Field(
        {}, description="how many times as often as by its size a task is seen, by its name; 1 for those not named"
    )
    balance_labels: bool = Field(False, description="all labels of a classification are seen equally often")
    reverse_complement: bool = Field(True, description="either strand, where a task says that it does not matter")
    paraphrase: float = Field(0.0, ge=0, le=1, description="the share of examples that are asked in other words")
    equal_answers: bool = Field(
        False, description="an answer counts once, however long it is: texts and numbers do not drown labels of a token"
    )
    fill_memory: bool = Field(
        False,
        description="a memory of n-grams begins with what linear models of the tasks make of the same n-grams; half of "
        "the examples are trained on with those that never saw them; what the memory held is lost",
    )
    memory_learning_rate: float | None = Field(
        None,
        gt=0,
        description="of a memory of n-grams; learning_rate if not given, and with fill_memory a tenth of it",
    )
    memory_dropout: float = Field(
        0.2,
        ge=0,
        lt=1,
        description="the share of examples that are seen without the memory of n-grams: the layers learn, too",
    )
    sequence_loss: float = Field(
        0.0, ge=0, description="weight of the loss on a token of a sequence, where one of an answer has 1"
    )
    dev_rows: int = Field(200, ge=0, description="rows of each dev split whose loss is measured while the model trains")
    patience: int | None = Field(
        None,
        ge=1,
        description="stop after so many validations without a better mean loss on dev, with the weights of the best",
    )
    english: list[str] = Field(
        [], description="texts whose bits per byte are measured, too; the held-out text of the corpus if not given"
    )
    instructions: list[InstructionSettings] = Field([], description="free instructions to mix in")

    @model_validator(mode="after")
    def _parts_fit_together(self) -> Self:
        if sum(one.share for one in self.instructions) >= 1:
            raise ValueError("the shares of [[finetune.instructions]] leave nothing for the tasks")
        if self.patience is not None and self.dev_rows == 0:
            raise ValueError("patience needs dev_rows to look at")
        return self
