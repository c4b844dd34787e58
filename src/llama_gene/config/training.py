"""``[pretrain]``, and what it shares with ``[finetune]``."""

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from llama_gene.config.section import Settings
from llama_gene.errors import SettingsError

TrainedParts = Literal["all", "lora", "lora+embeddings", "lora+new-rows"]
Strategy = Literal["ddp", "fsdp", "zero2", "zero3"]
Tracker = Literal["tensorboard", "wandb", "trackio"]


class LoraSettings(Settings):
    """Low-rank adaptation of every linear projection but the head."""

    rank: int = Field(8, ge=1, description="width of an adapter")
    alpha: float = Field(32, gt=0, description="an adapter's output is scaled by alpha / rank")
    dropout: float = Field(0.05, ge=0, lt=1, description="of what goes into an adapter")
    rslora: bool = Field(False, description="scale by alpha / sqrt(rank), for high ranks")
    dora: bool = Field(False, description="learn the length of each row of a weight apart from its direction")
    load_in_4bit: bool = Field(False, description="QLoRA: keep the frozen weights in 4 bits; needs CUDA, bitsandbytes")


class TrainingSettings(Settings):
    """What pre-training and tuning share."""

    train: TrainedParts = Field(
        "all",
        description="what trains: everything; adapters (LoRA) alone; adapters and the rows of all tokens in embedding "
        "and head; adapters and the rows of DNA and protein tokens. With a [lora] section and without this: "
        "lora+embeddings",
    )
    lora: LoraSettings | None = Field(None, description='how adapters are made; unused where train = "all"')
    block_size: int = Field(512, ge=16, description="tokens in a packed row")
    batch_size: int = Field(8, ge=1, description="rows in a micro-batch; the most that one process takes at a time")
    accumulate: int = Field(
        1, ge=1, description="micro-batches in a step: batch_size * accumulate rows, however many processes share them"
    )
    learning_rate: float = Field(1e-3, gt=0, description="the highest; it falls as a cosine to the end")
    embedding_learning_rate: float | None = Field(
        None, gt=0, description="of the rows of embedding and head; learning_rate if not given"
    )
    warmup: float = Field(0.05, ge=0, lt=1, description="share of the steps that the learning rate rises")
    weight_decay: float = Field(0.1, ge=0, description="of all matrices; norms and biases are not decayed")
    max_grad_norm: float = Field(1.0, ge=0, description="longer gradients are cut to this; 0: never")
    precision: Literal["fp32", "bf16"] = Field(
        "fp32", description="bf16: autocast, with weights in fp32, on a machine that computes in it; else fp32"
    )
    gradient_checkpointing: bool = Field(False, description="compute activations twice: slower, in less memory")
    compile: bool = Field(False, description="compile the layers: minutes at the start, faster steps")
    checkpoint_every: int = Field(100, ge=1, description="steps between checkpoints")
    keep_checkpoints: int = Field(2, ge=1, description="of the newest, so many stay")
    # How many share the work decides nothing but rounding: these are left out where settings are compared, too.
    processes: int | None = Field(
        None,
        ge=1,
        exclude=True,
        description="processes that train as one, each with its part of a step's rows; if not given, all GPUs of this "
        "machine, or one process",
    )
    strategy: Strategy = Field(
        "ddp",
        exclude=True,
        description="what each of several processes keeps: all (ddp); its part of weights, gradients and optimizer "
        "(fsdp, zero3); its part of gradients and optimizer (zero2)",
    )
    # These decide no weight, so they are left out where settings are compared or written down.
    validate_every: int | None = Field(
        None,
        ge=1,
        exclude=True,
        description="steps between validations, beside those before and after; if not given, ten in a training, or "
        "fewer that take a tenth of its time",
    )
    track: list[Tracker] = Field(["tensorboard"], exclude=True, description="who is told the log besides the page")

    @model_validator(mode="before")
    @classmethod
    def _a_lora_section_means_lora(cls, values: Any) -> Any:
        if not isinstance(values, dict) or "train" in values or values.get("lora") is None:
            return values
        return {**values, "train": "lora+embeddings"}

    @model_validator(mode="after")
    def _four_bits_are_frozen(self) -> Self:
        if self.train == "all" and self.lora and self.lora.load_in_4bit:
            raise ValueError('lora.load_in_4bit freezes the weights, and train = "all": take one of the others')
        if self.strategy != "ddp" and self.lora and self.lora.load_in_4bit:
            raise ValueError('lora.load_in_4bit keeps the weights whole in each process: take strategy = "ddp"')
        return self

    def shared_by(self, num_processes: int) -> Self:
        """The same training as one of `num_processes` does it: its rows of a step, in micro-batches that are no larger.

        Raises:
            SettingsError: The rows of a step cannot be shared out evenly.

        >>> mine = TrainingSettings(batch_size=32, accumulate=1).shared_by(8)
        >>> mine.batch_size, mine.accumulate
        (4, 1)
        """
        num_rows = self.batch_size * self.accumulate
        if num_rows % num_processes:
            fitting = max(num for num in range(1, num_processes) if num_rows % num == 0)
            step = f"a step of {self.batch_size} x {self.accumulate} rows"
            hint = f"take {fitting} of them, or make batch_size * accumulate a multiple of {num_processes}"
            raise SettingsError(f"{step} cannot be shared out among {num_processes} processes", hint=hint)
        mine = num_rows // num_processes
        size = max(size for size in range(1, min(self.batch_size, mine) + 1) if mine % size == 0)
        return self.model_copy(update={"batch_size": size, "accumulate": mine // size})

    @property
    def adapters(self) -> LoraSettings | None:
        """How adapters are made; None where everything trains."""
        return None if self.train == "all" else self.lora or LoraSettings()


class PretrainSettings(TrainingSettings):
    """Continued pre-training on the corpus."""

    tokens: int = Field(1_000_000, ge=1, description="tokens to train on")
