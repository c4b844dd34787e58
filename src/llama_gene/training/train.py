"""A training: its settings as transformers knows them, its loss, and what came of it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from llama_gene.config import TrainingSettings
from llama_gene.corpus.pack import Row
from llama_gene.errors import LlamaGeneError, SettingsError
from llama_gene.files import disk_errors
from llama_gene.progress import progress
from llama_gene.training.checkpoints import newest_checkpoint

_LOG_STEPS = 10


class Rows(Protocol):
    """Packed rows by index; see ``corpus.pack``."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Row: ...


@dataclass(frozen=True)
class TrainingLog:
    """What came of a training.

    Attributes:
        num_steps: Optimizer steps.
        num_tokens: Tokens seen, padding included.
        num_trainable: Parameters that trained.
        num_parameters: All parameters.
        seconds: Wall time; of the last part alone, if the training was resumed.
        losses: (step, mean loss in nats a target token) along the way.
    """

    num_steps: int
    num_tokens: int
    num_trainable: int
    num_parameters: int
    seconds: float
    losses: tuple[tuple[int, float], ...]


def num_steps(num_rows: int, settings: TrainingSettings) -> int:
    """Whole optimizer steps that `num_rows` rows give."""
    return num_rows // (settings.batch_size * settings.accumulate)


def train(
    model: Any, rows: Rows, settings: TrainingSettings, checkpoints: Path, *, seed: int, title: str
) -> TrainingLog:
    """Train `model` in place for one pass over `rows`, resuming from the newest whole checkpoint.

    Where the memory of the GPU does not hold a micro-batch, it is halved, with as many rows in a step as before.

    Args:
        model: What ``model.lora.adapt`` made: a causal language model, or one with adapters.
        rows: The rows of the whole training, in their order.
        settings: Batch, rates, precision, checkpoints.
        checkpoints: A folder of this training alone; the caller removes it once the result is saved.
        seed: Decides dropout.
        title: Shown beside the progress.

    Raises:
        SettingsError: There are fewer rows than one step takes.
        LlamaGeneError: The loss or its gradient is no number any more, the disk is full, or a single row is too much
            for the memory.
    """
    import torch
    from transformers import TrainingArguments

    from llama_gene.training.trainer import PackedModel, PackedTrainer

    steps = num_steps(len(rows), settings)
    if steps == 0:
        problem = f"{len(rows)} rows of {settings.block_size} tokens do not fill one step of {title}"
        raise SettingsError(problem, hint="ask for more tokens or epochs, or lower batch_size or accumulate")
    resume = newest_checkpoint(checkpoints)
    _prepare(model, settings)
    arguments = TrainingArguments(
        output_dir=str(checkpoints),
        max_steps=steps,
        per_device_train_batch_size=settings.batch_size,
        gradient_accumulation_steps=settings.accumulate,
        learning_rate=settings.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=round(settings.warmup * steps),
        weight_decay=settings.weight_decay,
        max_grad_norm=settings.max_grad_norm,
        adam_beta2=0.95,  # the published choice of LLaMA; the default 0.999 is slow to follow short trainings
        bf16=settings.precision == "bf16",
        use_cpu=not torch.cuda.is_available(),
        logging_steps=_LOG_STEPS,
        logging_nan_inf_filter=False,  # it would show an old loss in the place of one that is no number
        save_strategy="steps",
        save_steps=settings.checkpoint_every,
        save_total_limit=settings.keep_checkpoints,
        remove_unused_columns=False,
        ddp_find_unused_parameters=False,
        label_names=["labels"],
        report_to=[],
        disable_tqdm=True,
        seed=seed,
    )
    started = time.monotonic()
    with progress(title, steps) as report, disk_errors(checkpoints), _torch_errors():
        trainer = PackedTrainer(
            PackedModel(model),
            arguments,
            rows,
            report,
            block_size=settings.block_size,
            row_rate=settings.embedding_learning_rate or settings.learning_rate,
        )
        trainer.train(resume_from_checkpoint=None if resume is None else str(resume))
    losses = [(int(entry["step"]), float(entry["loss"])) for entry in trainer.state.log_history if "loss" in entry]
    return TrainingLog(
        num_steps=steps,
        num_tokens=steps * settings.batch_size * settings.accumulate * settings.block_size,
        num_trainable=sum(p.numel() for p in model.parameters() if p.requires_grad),
        num_parameters=sum(p.numel() for p in model.parameters()),
        seconds=time.monotonic() - started,
        losses=tuple(losses),
    )


def _prepare(model: Any, settings: TrainingSettings) -> None:
    """Set what the layers themselves do: forget their activations, or be compiled."""
    from llama_gene.model.head import plain_model

    plain = plain_model(model)
    if settings.gradient_checkpointing:
        # The other kind of checkpoint needs inputs with gradients, and with adapters the embedding has none.
        plain.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    if settings.compile:
        kinds = set(plain._no_split_modules or ())
        for layer in plain.modules():
            if type(layer).__name__ in kinds:
                layer.compile()


@contextmanager
def _torch_errors() -> Iterator[None]:
    """Turn what torch cannot do on this machine into errors that say what to change."""
    import torch

    try:
        yield
    except torch.OutOfMemoryError as error:  # outside of a micro-batch, so smaller ones would not help
        hint = 'train less: train = "lora+new-rows" or "lora"; or lower lora.rank'
        first = str(error).splitlines()[0]
        raise LlamaGeneError(f"the memory of the GPU does not hold the optimizer ({first})", hint=hint) from error
    except Exception as error:
        if not type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
            raise
        hint = "set compile = false; compiling needs a C++ compiler, and Triton on a GPU"
        raise LlamaGeneError(f"torch cannot compile this model ({type(error).__name__})", hint=hint) from error
