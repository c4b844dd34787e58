"""What we ask of ``transformers.Trainer`` beyond what it does: our loss, our checkpoints, and what to do when it fails.

This module imports torch and transformers; import it where it is used.
"""

import math
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import DistributedType, FullyShardedDataParallelPlugin
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule
from transformers import Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_callback import PrinterCallback

from llama_gene.corpus.pack import Row
from llama_gene.errors import LlamaGeneError
from llama_gene.files import write_json
from llama_gene.model.attention import attend_by_length
from llama_gene.model.convolution import keep_documents_apart
from llama_gene.model.head import find_head, plain_model
from llama_gene.model.rows import find_memory, row_parameters
from llama_gene.training.checkpoints import (
    finish_checkpoint,
    list_checkpoints,
    load_optimizer,
    load_random_states,
    load_scheduler,
    load_weights,
    save_optimizer,
    save_random_states,
    save_scheduler,
    save_weights,
)
from llama_gene.training.gather import whole
from llama_gene.training.log import VALIDATION
from llama_gene.training.loss import packed_loss
from llama_gene.training.parallel import all_agree, gather_objects
from llama_gene.training.strategy import DEEPSPEED, sharing
from llama_gene.training.train import Rows
from llama_gene.training.validation import Validation

_MAX_NAMED_ROWS = 16


class PackedModel(nn.Module):
    """A model that gives its loss, so that all of a step happens inside of what DDP and FSDP wrap.

    Args:
        model: A causal language model, with adapters or without.
        autocast: The type to compute in.
        sequence_weight: What the loss on a token of a sequence weighs beside that on one of an answer.
    """

    def __init__(self, model: Any, autocast: torch.dtype = torch.float32, *, sequence_weight: float = 0.0) -> None:
        super().__init__()
        keep_documents_apart(model)
        self.model, self._autocast, self._sequence_weight = model, autocast, sequence_weight
        self._has_head = find_head(model) is not None
        if self._has_head and autocast == torch.bfloat16:
            attend_by_length(plain_model(model))
        # What FSDP gathers at a time; all else, the rows of embedding and head too, it gathers for the whole forward.
        self._no_split_modules = decoder_layers(model)

    def forward(self, batch: dict[str, Tensor], num_targets: Any = None) -> Tensor:
        """The mean loss of a packed batch; see `packed_loss`."""
        device = batch["input_ids"].device.type
        # A cast weight that is kept till the end of the forward would be a whole one, where FSDP keeps pieces.
        keep = not isinstance(self, FSDPModule)
        with torch.autocast(device, self._autocast, enabled=self._autocast != torch.float32, cache_enabled=keep):
            # Its rows may be other tensors by now: on another device, or gathered for this step.
            return packed_loss(
                self.model, batch, num_targets, chunked=self._has_head, sequence_weight=self._sequence_weight
            )


def decoder_layers(model: Any) -> list[str]:
    """The names of the classes of a causal language model's layers."""
    model = plain_model(model)
    found = {type(module).__name__ for module in model.modules()}
    return sorted(found & set(model._no_split_modules or ()))


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


class PackedTrainer(Trainer):  # type: ignore[misc]
    """Rows in their given order, our loss, checkpoints that are whole or absent, and faults that say where they are.

    Args:
        model: The model that gives its loss.
        arguments: The settings.
        rows: All rows of the training, in their order.
        validation: Measures the model when a callback asks for it.
        callbacks: See ``transformers``.
        row_rate: The learning rate of embedding and head.
        memory_rate: That of a memory of n-grams.
    """

    def __init__(
        self,
        model: PackedModel,
        arguments: TrainingArguments,
        rows: Rows,
        validation: Validation,
        callbacks: list[TrainerCallback],
        *,
        row_rate: float,
        memory_rate: float,
    ) -> None:
        self.optimizer: Any
        self.control: Any
        self._row_rate, self._memory_rate, self._validation = row_rate, memory_rate, validation
        self._draft: Path | None = None
        self._step: list[tuple[list[int], Tensor]] = []  # numbers of rows and loss of each micro-batch
        self._batches: list[dict[str, Tensor]] = []
        self._num_parts = 1  # that a micro-batch is cut into
        super().__init__(
            model=model,
            args=arguments,
            train_dataset=NumberedRows(rows),
            data_collator=collate,
            callbacks=callbacks,
        )
        self.remove_callback(PrinterCallback)
        if self.is_deepspeed_enabled:
            from deepspeed import zero

            for value in model.model.get_output_embeddings().parameters():  # our loss reads them, not their module
                zero.register_external_parameter(model, value)
        # Our loss divides by the targets of the whole step, and the first token of a row is none.
        self.model_accepts_loss_kwargs = self._loss_shifts_labels = True

    def create_accelerator_and_postprocess(self) -> None:
        """Let FSDP share a model on CPUs, too: torch can, and accelerate asks for it on accelerators only."""
        super().create_accelerator_and_postprocess()
        state = self.accelerator.state
        if self.args.fsdp_plugin_args is not None and state.distributed_type == DistributedType.MULTI_CPU:
            state.distributed_type = DistributedType.FSDP
            state.fsdp_plugin = FullyShardedDataParallelPlugin(**self.args.fsdp_plugin_args)
            self.is_fsdp_enabled = True

    def _get_train_sampler(self, *_: Any) -> Any:
        return torch.utils.data.SequentialSampler(self.train_dataset)

    def create_optimizer(self, model: Any = None) -> Any:
        """Groups by learning rate and by whether they decay."""
        if self.optimizer is None:
            trained = self.model if model is None else model
            plain = plain_model(trained.model)
            rates = {id(value): self._row_rate for value in row_parameters(plain)}
            if (memory := find_memory(plain)) is not None:
                rates[id(memory.table)] = self._memory_rate
            decays = set(self.get_decay_parameter_names(trained))
            groups: dict[tuple[float, float], list[nn.Parameter]] = {}
            for name, value in trained.named_parameters():
                if value.requires_grad:
                    rate = rates.get(id(value), self.args.learning_rate)
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
        """Our loss: this process's part of the mean over the targets of all of them."""
        # Gradients are averaged over the processes, and here they are parts of a sum.
        return model(inputs, num_items_in_batch) * self.args.world_size

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
            smaller = -(-num_rows // 2)
            rows_a_step = num_rows * self.args.gradient_accumulation_steps * self.args.world_size
            hint = f"take batch_size = {smaller} and accumulate = {rows_a_step // smaller}: the step stays the same"
            raise LlamaGeneError(f"the memory of a GPU does not hold a micro-batch ({problem})", hint=hint)
        self._num_parts *= 2
        rows_then = -(-num_rows // self._num_parts)
        said = f"  out of GPU memory: micro-batches of {rows_then} instead of {rows_now} rows from here on"
        print(f"{said}, with as many rows in a step as before", file=sys.stderr, flush=True)

    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> Any:
        """The norm; this is the last moment at which the weights are still good."""
        norm = super()._get_grad_norm(model, grad_norm)
        losses = torch.stack([loss for _, loss in self._step])
        good = losses.isfinite().all()
        if norm is not None:  # DeepSpeed knows it after the step only
            norm = whole(torch.as_tensor(norm))
            good &= norm.isfinite().to(losses.device)
        if not all_agree(good):
            self._stop(losses.tolist(), math.nan if norm is None else float(norm))
        return norm

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Log what the validation measures; a callback says when."""
        figures = {f"{VALIDATION}{name}": value for name, value in self._validation(self).items()}
        self.log(figures)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, figures)
        return figures

    def _stop(self, losses: list[float], norm: float) -> None:
        """Raise the error that says which rows have a loss or a gradient that is no number."""
        mine = [(rows, loss) for (rows, _), loss in zip(self._step, losses, strict=True)]
        step = [part for parts in gather_objects(mine) for part in parts]
        bad = [rows for rows, loss in step if not math.isfinite(loss)]
        what = "loss" if bad else "gradient"
        value = next((loss for _, loss in step if not math.isfinite(loss)), norm)
        rows = sorted(row for group in bad or [rows for rows, _ in step] for row in group)
        named = ", ".join(map(str, rows[:_MAX_NAMED_ROWS])) + (", ..." if len(rows) > _MAX_NAMED_ROWS else "")
        hint = "lower learning_rate, or use fp32"
        if kept := list_checkpoints(Path(self.args.output_dir)):
            hint += f"; the last good checkpoint is {kept[-1]}"
        place = f"at step {self.state.global_step + 1}, in the rows {named}"
        raise LlamaGeneError(f"the {what} is no number ({value}) {place}", hint=hint)

    def _get_output_dir(self, trial: Any) -> str:
        return str(self._draft or self.args.output_dir)

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Save what trains, for any number of processes to go on from; DeepSpeed saves it with its optimizer."""
        assert output_dir is not None
        if not self.is_deepspeed_enabled:
            save_weights(self.model, Path(output_dir))

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        load_weights(self.model if model is None else model, Path(resume_from_checkpoint))

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        if self.is_deepspeed_enabled:
            self.model_wrapped.save_checkpoint(output_dir)
            if self.args.should_save:
                stage = self.model_wrapped.zero_optimization_stage()
                write_json(Path(output_dir) / DEEPSPEED, sharing(f"zero{stage}", self.args.world_size))
        else:
            save_optimizer(self.optimizer, self.model, Path(output_dir))
        save_scheduler(self.lr_scheduler, Path(output_dir))

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is None:
            return
        load_scheduler(self.lr_scheduler, Path(checkpoint))
        if not self.is_deepspeed_enabled:  # else it lies with the weights
            load_optimizer(self.optimizer, self.model, Path(checkpoint), self.lr_scheduler.get_last_lr())

    def _save_rng_state(self, output_dir: str) -> None:
        save_random_states(Path(output_dir))

    def _load_rng_state(self, checkpoint: str | None) -> None:
        if checkpoint is not None:
            load_random_states(Path(checkpoint))

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        folder = Path(self.args.output_dir)
        self._draft = folder / "draft"
        if self.args.should_save:
            shutil.rmtree(self._draft, ignore_errors=True)
        self.accelerator.wait_for_everyone()
        try:
            super()._save_checkpoint(model, trial)
        finally:
            draft, self._draft = self._draft, None
        self.accelerator.wait_for_everyone()
        if self.args.should_save:
            name = f"checkpoint-{self.state.global_step}"
            finish_checkpoint(draft / name, folder / name, self.args.save_total_limit)
