"""Train on packed rows: the one place that touches ``transformers.Trainer``.

A dataset gives row ``i`` from ``i`` alone and is as long as the whole training, so the position in the data is the step
count, and a resumed training sees exactly the rows that are left.
"""

import json
import math
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from llama_gene.config import TrainingSettings
from llama_gene.corpus.pack import IGNORE, Row
from llama_gene.errors import LlamaGeneError, SettingsError
from llama_gene.files import disk_errors, hash_file, write_json
from llama_gene.progress import Progress, progress

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

_MARKER = "complete.json"  # a checkpoint without it was cut short, and is not used
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
    model: "PreTrainedModel", rows: Rows, settings: TrainingSettings, checkpoints: Path, *, seed: int, title: str
) -> TrainingLog:
    """Train `model` in place for one pass over `rows`, resuming from the newest whole checkpoint.

    Args:
        model: The model; with LoRA, already wrapped.
        rows: The rows of the whole training, in their order.
        settings: Batch, rates, precision, checkpoints.
        checkpoints: A folder of this training alone; the caller removes it once the result is saved.
        seed: Decides dropout.
        title: Shown beside the progress.

    Raises:
        SettingsError: There are fewer rows than one step takes.
        LlamaGeneError: The loss is no number any more, or the disk is full.
    """
    import torch
    from transformers import TrainingArguments

    steps = num_steps(len(rows), settings)
    if steps == 0:
        problem = f"{len(rows)} rows of {settings.block_size} tokens do not fill one step of {title}"
        raise SettingsError(problem, hint="ask for more tokens or epochs, or lower batch_size or accumulate")
    resume = _newest_checkpoint(checkpoints)
    arguments = TrainingArguments(
        output_dir=str(checkpoints),
        max_steps=steps,
        per_device_train_batch_size=settings.batch_size,
        gradient_accumulation_steps=settings.accumulate,
        learning_rate=settings.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=round(settings.warmup * steps),
        weight_decay=settings.weight_decay,
        adam_beta2=0.95,  # the published choice of LLaMA; the default 0.999 is slow to follow short trainings
        bf16=settings.precision == "bf16",
        use_cpu=not torch.cuda.is_available(),
        logging_steps=_LOG_STEPS,
        logging_nan_inf_filter=False,  # it would show an old loss in the place of one that is no number
        save_strategy="steps",
        save_steps=settings.checkpoint_every,
        save_total_limit=settings.keep_checkpoints,
        remove_unused_columns=False,
        label_names=["labels"],
        report_to=[],
        disable_tqdm=True,
        seed=seed,
    )
    started = time.monotonic()
    with progress(title, steps) as report, disk_errors(checkpoints):
        trainer = _trainer(model, arguments, rows, report, settings.block_size)
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


def _newest_checkpoint(checkpoints: Path) -> Path | None:
    """The newest checkpoint whose files are all there, as they were saved."""
    found = sorted(checkpoints.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]), reverse=True)
    for folder in found:
        marker = folder / _MARKER
        if marker.exists():
            sums: dict[str, str] = json.loads(marker.read_text(encoding="utf-8"))
            if all((folder / name).exists() and hash_file(folder / name) == value for name, value in sums.items()):
                return folder
    return None


def _collate(rows: Sequence[Row]) -> dict[str, "torch.Tensor"]:
    import numpy as np
    import torch

    return {key: torch.from_numpy(np.stack([row[key] for row in rows])) for key in rows[0]}


def packed_loss(model: Any, batch: dict[str, Any], num_targets: Any = None) -> "torch.Tensor":
    """The mean loss of a packed batch, in nats a target token; only positions that predict are projected.

    Args:
        model: A causal language model.
        batch: ``input_ids``, ``labels``, ``position_ids``, int64[rows, block]; labels of -100 are no targets.
        num_targets: Targets in the whole step, over all its micro-batches; this batch's own if not given.
    """
    import torch.nn.functional as F  # noqa: N812 - its name everywhere

    targets = batch["labels"][:, 1:]
    wanted = (targets != IGNORE).any(dim=0).nonzero().squeeze(-1)
    # Without a cache, or the document mask would not be made from the positions.
    out = model(
        input_ids=batch["input_ids"],
        position_ids=batch["position_ids"],
        use_cache=False,
        logits_to_keep=wanted,
    )
    chosen = targets[:, wanted]
    loss = F.cross_entropy(out.logits.flatten(0, 1).float(), chosen.flatten(), ignore_index=IGNORE, reduction="sum")
    mean: torch.Tensor = loss / (num_targets if num_targets is not None else (chosen != IGNORE).sum())
    return mean


def _trainer(model: Any, arguments: Any, rows: Rows, report: Progress, block_size: int) -> Any:
    """A Trainer over packed rows, defined here because its base class is seconds of import away."""
    import torch
    from transformers import Trainer, TrainerCallback

    tokens_a_step = arguments.per_device_train_batch_size * arguments.gradient_accumulation_steps * block_size

    class Reporter(TrainerCallback):  # type: ignore[misc]
        """Progress, and the end of a training that has gone wrong."""

        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self._started, self._first = time.monotonic(), state.global_step

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            rate = (state.global_step - self._first) * tokens_a_step / (time.monotonic() - self._started)
            losses = [entry["loss"] for entry in state.log_history[-1:] if "loss" in entry]
            loss = f"loss {losses[0]:.3f}  " if losses else ""
            report(state.global_step, f"{loss}{rate:,.0f} tokens/s")
            # What a checkpoint interrupts is logged with it, or a resumed training would log other means.
            # The last steps are logged too: a loss that is no number must not go unseen.
            control.should_log |= state.global_step % args.save_steps == 0 or state.global_step == state.max_steps

        def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float], **_: Any) -> None:
            if not math.isfinite(logs.get("loss", 0.0)):
                hint = f"lower learning_rate, or use fp32; the last good checkpoint is in {args.output_dir}"
                raise LlamaGeneError(f"the loss is no number at step {state.global_step}", hint=hint)

    class PackedTrainer(Trainer):  # type: ignore[misc]
        """Rows in their given order, our loss, and checkpoints that are whole or absent."""

        _draft: Path | None = None

        def _get_train_sampler(self, *_: Any) -> Any:
            return torch.utils.data.SequentialSampler(self.train_dataset)

        def compute_loss(
            self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
        ) -> Any:
            return packed_loss(model, inputs, num_items_in_batch)

        def _get_output_dir(self, trial: Any) -> str:
            return str(self._draft or self.args.output_dir)

        def _save_checkpoint(self, model: Any, trial: Any) -> None:
            folder = Path(self.args.output_dir)
            self._draft = folder / "draft"
            shutil.rmtree(self._draft, ignore_errors=True)
            try:
                super()._save_checkpoint(model, trial)
            finally:
                draft, self._draft = self._draft, None
            name = f"checkpoint-{self.state.global_step}"
            files = [path for path in (draft / name).iterdir() if path.is_file()]
            write_json(draft / name / _MARKER, {path.name: hash_file(path) for path in files})
            shutil.rmtree(folder / name, ignore_errors=True)
            (draft / name).replace(folder / name)
            shutil.rmtree(draft)
            # One with a higher number was damaged, or it would have been resumed: it must not push out a good one.
            step_of = {path: int(path.name.rpartition("-")[2]) for path in folder.glob("checkpoint-*")}
            old = sorted((path for path in step_of if step_of[path] <= self.state.global_step), key=step_of.__getitem__)
            for path in [*old[: -self.args.save_total_limit], *(step_of.keys() - set(old))]:
                shutil.rmtree(path)

    trainer = PackedTrainer(
        model=model, args=arguments, train_dataset=rows, data_collator=_collate, callbacks=[Reporter()]
    )
    from transformers.trainer_callback import PrinterCallback

    trainer.remove_callback(PrinterCallback)
    trainer.model_accepts_loss_kwargs = True  # our loss divides by the targets of the whole step
    return trainer
