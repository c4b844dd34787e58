"""A training: its settings as transformers knows them, and what came of it."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from llama_gene.config import TrainingSettings
from llama_gene.corpus.pack import Row
from llama_gene.errors import LlamaGeneError, SettingsError
from llama_gene.files import disk_errors
from llama_gene.progress import progress
from llama_gene.training.curves import PAGE, write_page
from llama_gene.training.log import TrainingLog
from llama_gene.training.parallel import as_the_first, rank, world_size
from llama_gene.training.strategy import require_same_sharing, strategy_arguments
from llama_gene.training.trackers import open_trackers, require_trackers, tracker_errors
from llama_gene.training.validation import HeldOut, HeldOutLoss, validation_steps

_LOG_STEPS = 10
_MOST_POINTS = 1000  # in a log, beside those at checkpoints and validations


class Rows(Protocol):
    """Packed rows by index; see ``corpus.pack``."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Row: ...


@dataclass(frozen=True)
class Stopping:
    """When a training stops before its end.

    Attributes:
        names: The held-out sets whose mean loss decides.
        patience: Validations without a gain after which it stops.
    """

    names: tuple[str, ...]
    patience: int


def num_steps(num_rows: int, settings: TrainingSettings) -> int:
    """Whole optimizer steps that `num_rows` rows give."""
    return num_rows // (settings.batch_size * settings.accumulate)


def train(
    model: Any,
    rows: Rows,
    settings: TrainingSettings,
    checkpoints: Path,
    *,
    seed: int,
    title: str,
    held_out: Sequence[HeldOut] = (),
    logs: Path | None = None,
    sequence_weight: float = 0.0,
    memory_rate: float | None = None,
    stopping: Stopping | None = None,
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
        held_out: What is measured before, while and after it trains.
        logs: A folder for the page of its curves and for trackers; without it there are none.
        sequence_weight: What the loss on a token of a sequence weighs, where rows have targets of that kind.
        memory_rate: The learning rate of a memory of n-grams; that of the settings if not given.
        stopping: When to stop early, and go back to the best weights.

    Returns:
        What came of it; where it stopped early, of the steps that were done.

    Raises:
        SettingsError: There are fewer rows than one step takes.
        LlamaGeneError: The loss or its gradient is no number any more, the disk is full, or a single row is too much
            for the memory.
    """
    import torch

    from llama_gene.training.checkpoints import checkpoint_step, newest_checkpoint
    from llama_gene.training.gather import put_whole
    from llama_gene.training.patience import Patience
    from llama_gene.training.reporter import Reporter
    from llama_gene.training.trainer import PackedModel, PackedTrainer

    steps = num_steps(len(rows), settings)
    if steps == 0:
        problem = f"{len(rows)} rows of {settings.block_size} tokens do not fill one step of {title}"
        raise SettingsError(problem, hint="ask for more tokens or epochs, or lower batch_size or accumulate")
    if logs is not None:
        require_trackers(settings.track)
    log = TrainingLog(
        title=title,
        num_steps=steps,
        tokens_a_step=settings.batch_size * settings.accumulate * settings.block_size,
        num_trainable=sum(p.numel() for p in model.parameters() if p.requires_grad),
        num_parameters=sum(p.numel() for p in model.parameters()),
        units={one.name: one.unit for one in held_out},
    )
    every = settings.validate_every or validation_steps(held_out, steps, log.tokens_a_step)
    _prepare(model, settings)
    arguments = _arguments(settings, checkpoints, steps, seed=seed, run=str(logs or title))
    resume = as_the_first(lambda: newest_checkpoint(checkpoints))
    if resume is not None:
        require_same_sharing(resume, settings, world_size())
    first = 0 if resume is None else checkpoint_step(resume)
    arguments.eval_on_start = bool(held_out) and resume is None
    patience = None if stopping is None else Patience(stopping.names, stopping.patience, checkpoints)
    publish = None if logs is None else partial(write_page, settings=settings, path=logs / PAGE)
    speaks = rank() == 0
    if logs is not None and speaks:
        print(f"  curves, while it trains: {logs / PAGE}", file=sys.stderr, flush=True)
    said = progress(title, steps, first) if speaks else nullcontext(lambda *_: None)
    with said as report, disk_errors(checkpoints), _torch_errors(), tracker_errors():
        trainer = PackedTrainer(
            PackedModel(
                model,
                _computing(settings),
                sequence_weight=sequence_weight,
            ),
            arguments,
            rows,
            HeldOutLoss(held_out, settings.batch_size * settings.block_size),
            [
                Reporter(report, log, every if held_out else None, publish),
                *(open_trackers(settings.track, logs, first) if logs and speaks else ()),
                *([patience] if patience else ()),
            ],
            row_rate=settings.embedding_learning_rate or settings.learning_rate,
            memory_rate=memory_rate or settings.learning_rate,
        )
        if not speaks:  # the random numbers of dropout are each process's own
            torch.manual_seed(seed + rank())
        trainer.train(resume_from_checkpoint=None if resume is None else str(resume))
        if patience is not None:
            best = patience.restore(trainer.model, trainer.state.log_history)
        if world_size() > 1:
            put_whole(model)
            trainer.accelerator.wait_for_everyone()
    log = replace(log, num_steps=trainer.state.global_step, history=tuple(trainer.state.log_history))
    if patience is not None:
        log = replace(log, best_step=best)
    if speaks and held_out:
        print(f"  held out, before -> after, in bits: {log.before_and_after()}", file=sys.stderr, flush=True)
    return log


def _arguments(settings: TrainingSettings, output: Path, steps: int, *, seed: int, run: str) -> Any:
    """The settings of a training as transformers knows them."""
    import torch
    from transformers import TrainingArguments

    mine = settings.shared_by(world_size())
    return TrainingArguments(
        output_dir=str(output),
        max_steps=steps,
        per_device_train_batch_size=mine.batch_size,
        gradient_accumulation_steps=mine.accumulate,
        learning_rate=settings.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=round(settings.warmup * steps),
        weight_decay=settings.weight_decay,
        max_grad_norm=settings.max_grad_norm,
        adam_beta2=0.95,  # the published choice of LLaMA; the default 0.999 is slow to follow short trainings
        use_cpu=not torch.cuda.is_available(),
        logging_steps=max(_LOG_STEPS, steps // _MOST_POINTS),
        logging_nan_inf_filter=False,  # it would show an old loss in the place of one that is no number
        save_strategy="steps",
        save_steps=settings.checkpoint_every,
        save_total_limit=settings.keep_checkpoints,
        remove_unused_columns=False,
        label_names=["labels"],
        report_to=[],  # trackers come as callbacks
        run_name=run,
        project="llama-gene",
        disable_tqdm=True,
        seed=seed,
        **strategy_arguments(mine, world_size()),
    )


def _computing(settings: TrainingSettings) -> Any:
    """The type to compute in. Where a machine would only imitate bf16, it is eight times slower than fp32."""
    import torch

    if settings.precision == "fp32":
        return torch.float32
    if torch.cuda.is_available():
        has_bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        has_bf16 = torch.cpu._is_avx512_bf16_supported()
    if not has_bf16 and rank() == 0:
        print("  this machine does not compute in bf16: fp32 is used", file=sys.stderr, flush=True)
    return torch.bfloat16 if has_bf16 else torch.float32


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
