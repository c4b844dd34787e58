"""What we ask of ``transformers.Trainer`` beyond what it does: our loss, our checkpoints, and what to do when it fails.

This module imports torch and transformers; import it where it is used.
"""

import math
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_callback import PrinterCallback

from llama_gene.corpus.pack import Row
from llama_gene.errors import LlamaGeneError
from llama_gene.model.head import find_head, plain_model
from llama_gene.model.rows import row_parameters
from llama_gene.progress import Progress
from llama_gene.training.checkpoints import finish_checkpoint, list_checkpoints, load_weights, save_weights
from llama_gene.training.loss import packed_loss
from llama_gene.training.train import Rows

_MAX_NAMED_ROWS = 16


class PackedModel(nn.Module):
    """A model that gives its loss, so that all of a step happens inside of what DDP and FSDP wrap.

    Args:
        model: A causal language model, with adapters or without.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        self._has_head = find_head(model) is not None

    def forward(self, batch: dict[str, Tensor], num_targets: Any = None) -> Tensor:
        """The mean loss of a packed batch; see `packed_loss`."""
        # Its rows may be other tensors by now: on another device, or gathered for this step.
        return packed_loss(self.model, batch, num_targets, chunked=self._has_head)


class NumberedRows(torch.utils.data.Dataset[Row]):
    """Rows that know their number, so that a failure can name them."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Row:
        return {**self._rows[index], "row": np.array(index)}


def collate(rows: Sequence[Row]) -> dict[str, Tensor]:
    """A batch of rows."""
    return {key: torch.from_numpy(np.stack([row[key] for row in rows])) for key in rows[0]}


class Reporter(TrainerCallback):  # type: ignore[misc]
    """Progress, and losses in the log at every checkpoint.

    Args:
        report: Where progress is shown.
        tokens_a_step: Tokens in an optimizer step.
    """

    def __init__(self, report: Progress, tokens_a_step: int) -> None:
        self._report, self._tokens_a_step = report, tokens_a_step

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Start the clock."""
        self._started, self._first = time.monotonic(), state.global_step

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Report, and log where a resumed training will go on."""
        rate = (state.global_step - self._first) * self._tokens_a_step / (time.monotonic() - self._started)
        losses = [entry["loss"] for entry in state.log_history[-1:] if "loss" in entry]
        loss = f"loss {losses[0]:.3f}  " if losses else ""
        self._report(state.global_step, f"{loss}{rate:,.0f} tokens/s")
        # What a checkpoint interrupts is logged with it, or a resumed training would log other means.
        control.should_log |= state.global_step % args.save_steps == 0 or state.global_step == state.max_steps


class PackedTrainer(Trainer):  # type: ignore[misc]
    """Rows in their given order, our loss, checkpoints that are whole or absent, and faults that say where they are.

    Args:
        model: The model that gives its loss.
        arguments: The settings.
        rows: All rows of the training, in their order.
        report: Where progress is shown.
        block_size: Tokens in a row.
        row_rate: The learning rate of embedding and head.
    """

    def __init__(
        self,
        model: PackedModel,
        arguments: TrainingArguments,
        rows: Rows,
        report: Progress,
        *,
        block_size: int,
        row_rate: float,
    ) -> None:
        self.optimizer: Any
        self._row_rate = row_rate
        self._draft: Path | None = None
        self._step: list[tuple[list[int], Tensor]] = []  # numbers of rows and loss of each micro-batch
        self._batches: list[dict[str, Tensor]] = []
        self._num_parts = 1  # that a micro-batch is cut into
        tokens = arguments.per_device_train_batch_size * arguments.gradient_accumulation_steps * block_size
        super().__init__(
            model=model,
            args=arguments,
            train_dataset=NumberedRows(rows),
            data_collator=collate,
            callbacks=[Reporter(report, tokens)],
        )
        self.remove_callback(PrinterCallback)
        # Our loss divides by the targets of the whole step, and the first token of a row is none.
        self.model_accepts_loss_kwargs = self._loss_shifts_labels = True

    def _get_train_sampler(self, *_: Any) -> Any:
        return torch.utils.data.SequentialSampler(self.train_dataset)

    def create_optimizer(self, model: Any = None) -> Any:
        """Groups by learning rate and by whether they decay."""
        if self.optimizer is None:
            trained = self.model if model is None else model
            rows = {id(value) for value in row_parameters(plain_model(trained.model))}
            decays = set(self.get_decay_parameter_names(trained))
            groups: dict[tuple[float, float], list[nn.Parameter]] = {}
            for name, value in trained.named_parameters():
                if value.requires_grad:
                    rate = self._row_rate if id(value) in rows else self.args.learning_rate
                    decay = self.args.weight_decay if name in decays else 0.0
                    groups.setdefault((rate, decay), []).append(value)
            kind, options = self.get_optimizer_cls_and_kwargs(self.args, trained)
            made = [{"params": params, "lr": rate, "weight_decay": decay} for (rate, decay), params in groups.items()]
            self.optimizer = kind(made, **options)
        return self.optimizer

    def get_batch_samples(self, *args: Any, **kwargs: Any) -> Any:
        """Remember the micro-batches of a step, in case it must be done again."""
        self._step = []
        self._batches, num_targets = super().get_batch_samples(*args, **kwargs)
        return self._batches, num_targets

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Our loss."""
        return model(inputs, num_items_in_batch)

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> Any:
        """Forward and backward of a micro-batch; where the memory does not hold it, in two halves, or four."""
        place = len(self._step)
        try:
            loss = self._in_parts(model, inputs, num_items_in_batch)
        except torch.OutOfMemoryError as error:
            problem: str | None = str(error).splitlines()[0]
        else:
            problem = None
        # Not in the handler: while the error is alive, so is what its frames hold.
        while problem is not None:
            self._halve(len(inputs["row"]), problem)
            # A backward pass may have stopped halfway, so the gradients of the whole step are made anew.
            model.zero_grad()
            torch.cuda.empty_cache()
            try:
                for batch in self._batches[: place + 1]:
                    loss = self._in_parts(model, batch, num_items_in_batch)
            except torch.OutOfMemoryError as error:
                problem = str(error).splitlines()[0]
            else:
                problem = None
        self._step.append((inputs["row"].tolist(), loss))
        return loss

    def _in_parts(self, model: Any, inputs: dict[str, Tensor], num_targets: Any) -> Tensor:
        parts = zip(*(value.chunk(self._num_parts) for value in inputs.values()), strict=True)
        losses = [
            super(PackedTrainer, self).training_step(model, dict(zip(inputs, part, strict=True)), num_targets)
            for part in parts
        ]
        return torch.stack(losses).sum()

    def _halve(self, num_rows: int, problem: str) -> None:
        """Cut micro-batches into twice as many parts.

        Raises:
            LlamaGeneError: They are single rows already, or other processes wait for this one.
        """
        rows_now = -(-num_rows // self._num_parts)
        if rows_now == 1:
            hint = (
                'set gradient_checkpointing = true, lower block_size, or train less: train = "lora+new-rows" or "lora"'
            )
            raise LlamaGeneError(f"the memory of the GPU does not hold a single row ({problem})", hint=hint)
        if self.args.world_size > 1:
            hint = f"halve batch_size (now {num_rows}) and double accumulate: the step stays the same"
            raise LlamaGeneError(f"the memory of a GPU does not hold a micro-batch ({problem})", hint=hint)
        self._num_parts *= 2
        rows_then = -(-num_rows // self._num_parts)
        said = f"  out of GPU memory: micro-batches of {rows_then} instead of {rows_now} rows from here on"
        print(f"{said}, with as many rows in a step as before", file=sys.stderr, flush=True)

    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> Any:
        """The norm; this is the last moment at which the weights are still good."""
        norm = super()._get_grad_norm(model, grad_norm)
        losses = torch.stack([loss for _, loss in self._step])
        if not bool(losses.isfinite().all() & torch.as_tensor(norm).isfinite().to(losses.device)):
            self._stop(losses.tolist(), float(norm))
        return norm

    def _stop(self, losses: list[float], norm: float) -> None:
        """Raise the error that says which rows have a loss or a gradient that is no number."""
        bad = [rows for (rows, _), loss in zip(self._step, losses, strict=True) if not math.isfinite(loss)]
        what = "loss" if bad else "gradient"
        value = next((loss for loss in losses if not math.isfinite(loss)), norm)
        rows = sorted(row for group in bad or [rows for rows, _ in self._step] for row in group)
        named = ", ".join(map(str, rows[:_MAX_NAMED_ROWS])) + (", ..." if len(rows) > _MAX_NAMED_ROWS else "")
        hint = "lower learning_rate, or use fp32"
        if kept := list_checkpoints(Path(self.args.output_dir)):
            hint += f"; the last good checkpoint is {kept[-1]}"
        step = self.state.global_step + 1
        raise LlamaGeneError(f"the {what} is no number ({value}) at step {step}, in the rows {named}", hint=hint)

    def _get_output_dir(self, trial: Any) -> str:
        return str(self._draft or self.args.output_dir)

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Tensor] | None = None) -> None:
        assert output_dir is not None
        save_weights(self.model, state_dict, Path(output_dir))

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        load_weights(self.model if model is None else model, Path(resume_from_checkpoint))

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        folder = Path(self.args.output_dir)
        self._draft = folder / "draft"
        shutil.rmtree(self._draft, ignore_errors=True)
        try:
            super()._save_checkpoint(model, trial)
        finally:
            draft, self._draft = self._draft, None
        name = f"checkpoint-{self.state.global_step}"
        finish_checkpoint(draft / name, folder / name, self.args.save_total_limit)
